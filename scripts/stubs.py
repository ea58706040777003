"""Write pi_system/kernels/_native.pyi, the types of what the compiled kernels offer. ``--check``: compare only.

nanobind reads the signatures from the module itself. Of an array's type its elements are kept; what else the kernel
checks (dimensions, order) mypy could not. Arrays of either carrier are ``NDArray[Any]``.
"""

import re
import sys
from pathlib import Path

from nanobind.stubgen import StubGen

from pi_system.kernels import _native

STUB = Path(__file__).resolve().parents[1] / "pi_system" / "kernels" / "_native.pyi"
_ANNOTATED = re.compile(r"Annotated\[(NDArray(?:\[[\w.]+\])?), dict\([^][]*\)\]")


def stub() -> str:
    """The stub of the module as it is installed."""
    generator = StubGen(module=_native)
    generator.put(_native)
    text = _ANNOTATED.sub(r"\1", generator.get()).replace("import Annotated", "import Any")
    return re.sub(r"\bNDArray\b(?=[,)])", "NDArray[Any]", text)


def main() -> int:
    """Write or compare; 1 if they differ."""
    text = stub()
    if "--check" not in sys.argv[1:]:
        STUB.write_text(text)
        return 0
    if STUB.is_file() and STUB.read_text() == text:
        return 0
    print(f"{STUB}: expected what the kernels offer, found another stub: run scripts/stubs.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
