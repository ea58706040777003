"""Fuzz one target of targets.py under atheris: run_python.py NAME [libFuzzer's options] CORPUS."""

import importlib
import sys
from pathlib import Path

import atheris

ROOT = Path(__file__).parents[2]


def _import_from_source() -> None:
    """Have ``pi_system`` imported from its files: atheris does not see into the finder of an editable install.

    The extension module stays as it is.
    """
    native = importlib.import_module("pi_system.kernels._native")
    for name in [name for name in sys.modules if name.split(".")[0] == "pi_system"]:
        del sys.modules[name]
    sys.modules[native.__name__] = native
    sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in type(finder).__module__]
    sys.path[:0] = [str(ROOT), str(Path(__file__).parent), str(ROOT / "tests" / "support")]


_import_from_source()
with atheris.instrument_imports(include=["pi_system"]):
    import targets


def main() -> None:
    """Write the seeds to the corpus (the last argument) and run until libFuzzer's limits."""
    name, corpus = sys.argv[1], Path(sys.argv[-1])
    corpus.mkdir(parents=True, exist_ok=True)
    for i, seed in enumerate(targets.TARGETS[name].seeds()):
        (corpus / f"seed-{i}").write_bytes(seed)
    atheris.Setup([sys.argv[0], *sys.argv[2:]], lambda data: targets.run(name, data))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
