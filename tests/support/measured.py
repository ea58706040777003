"""Results as benchmarks write them, made up."""

from typing import Any

from measuring.environment import Environment
from measuring.question import QuestionReport

ENVIRONMENT = Environment(
    date="2026-11-20T10:00:00+00:00",
    git_sha="abc",
    git_dirty=False,
    python="3.11",
    packages={"torch": "2"},
    system="Linux",
    machine="x86_64",
    cpu="Intel(R) Xeon(R) CPU @ 2.60GHz",
    cores=2,
    usable_cores=2,
    memory_bytes=8_000_000_000,
    pinned_cores={"server": 0},
    threads=1,
    kernels={"aes": "vaes"},
    load_before=(0.1, 0.1, 0.1),
    load_after=(1.0, 0.5, 0.1),
)


def question_report(**changes: Any) -> QuestionReport:
    """One sample of a tiny network, no answers."""
    content: dict[str, Any] = {
        "question": "q01",
        "title": "What is it?",
        "mode": "quick",
        "command": "python benchmarks/q01_x.py run",
        "environment": ENVIRONMENT,
        "samples": ({"network": "tiny", "relus": 4352, "online_ms": [1.0, 2.0, 3.0]},),
        "answers": (),
    }
    return QuestionReport(**content | changes)
