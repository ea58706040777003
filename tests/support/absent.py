"""Processes in which libraries cannot be imported, as where they are not installed."""

from pathlib import Path

from processes import SOURCES

EXTRAS_ONLY = (
    "torch",
    "onnx",
    "sklearn",
    "scipy",
    "crypten",
    "omegaconf",
    "yaml",
    "ray",
    "pydicom",
    "starlette",
    "uvicorn",
)
SERVERS_ONLY = ("grpc_health", "prometheus_client")


def without(folder: Path, *names: str) -> dict[str, str]:
    """Variables for a process, and those that it starts, that lack the modules ``names``; ``folder`` is made."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(f"import sys\nsys.modules.update(dict.fromkeys({names!r}))\n")
    return {"PYTHONPATH": f"{folder}:{SOURCES}"}
