"""Extras: what is installed only where it is asked for, and the line for who lacks one.

``pip install "pi-system[NAME]"`` installs the libraries of an extra beside a package that is there already. Nothing
else tells people what to install.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Final

from pi_system.errors import MissingExtraError

EXTRAS: Final[Mapping[str, tuple[str, ...]]] = {
    "server": ("grpc_health", "prometheus_client"),
    "train": ("torch", "onnx", "sklearn"),
    "crypten": ("crypten", "torch", "onnx", "omegaconf", "yaml"),
    "ray": ("ray",),
    "dicom": ("pydicom",),
    "web": ("starlette", "uvicorn"),
}
"""Modules that each brings and the package imports; of sklearn a file is read."""
_BESIDE: Final[Mapping[str, str]] = {"crypten": " && pip install --no-deps crypten==0.4.1"}
"""What no extra can name: CrypTen's own metadata asks for the dead package sklearn."""


def command(*extras: str) -> str:
    """What to type for extras."""
    return f'pip install "pi-system[{",".join(extras)}]"' + "".join(_BESIDE.get(extra, "") for extra in extras)


@contextmanager
def needs(extra: str, what: str) -> Iterator[None]:
    """Imports in the block may fail for want of an extra.

    Args:
        extra: a name in EXTRAS.
        what: who needs it, for the message.

    Raises:
        MissingExtraError: one of its modules cannot be found; others' errors are left as they are, and those of
            a module within one that is there: it is broken.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        if name not in EXTRAS[extra] or find_spec(name) is not None:
            raise
        raise missing(what, name, extra) from None


def check_installed(what: str, *extras: str) -> None:
    """Look for the modules of extras without importing them. Raises MissingExtraError: it names all that lack one."""
    absent = {extra: [name for name in EXTRAS[extra] if find_spec(name) is None] for extra in extras}
    lacking = {extra: names for extra, names in absent.items() if names}
    if lacking:
        raise missing(what, next(iter(lacking.values()))[0], *lacking)


def is_installed(extra: str) -> bool:
    """Whether all of an extra is there."""
    return all(map(find_spec, EXTRAS[extra]))


def missing(what: str, name: str, *extras: str) -> MissingExtraError:
    """The error of who needs extras, of whose modules ``name`` was not found."""
    return MissingExtraError(f"{what}: expected {name} installed, found none; type: {command(*extras)}")
