"""Mutation tests: each small change listed in tests/mutants must make one of the tests it names fail.

    [[mutant]]
    name = "ot-lpn-rows-repeat"         # starts with the topic
    file = "pi_system/protocols/ot/ferret.py"
    old = "self._row += len(leaves)"    # found exactly once
    new = "self._row += 0"
    breaks = "every tree gets the same rows of the code's matrix"
    tests = ["tests/conformance/test_ledger.py"]

A worker has a copy of the tree, in which it applies one change, runs the named tests until the first fails, and takes
the change back. The compiled kernels are shared; a change of C++ is built in the copy. Killed is what makes a test
fail: an error of collection or of a fixture, or a crash, does not count. Exit code 1 names the survivors.
"""

import argparse
import hashlib
import json
import os
import queue
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
import zipfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[1]
LIST = ROOT / "tests" / "mutants"
STATE = ROOT / "build" / "mutants.json"
COPIED = ("pi_system", "server", "client", "tests")
LEFT_OUT = {".git", ".venv", "build", *COPIED}
RUN_S = 300  # all tests of one mutant; one that hangs is ended by its own timeout before
TEST_S = 100
# The installed package is redirected to its source tree by a finder; the copy, first on the path, must win.
SITE = "import sys\n\nsys.meta_path[:] = [finder for finder in sys.meta_path if isinstance(finder, type)]\n"


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """One entry of the list."""

    name: str
    file: str
    old: str
    new: str
    breaks: str
    tests: tuple[str, ...]

    @property
    def compiled(self) -> bool:
        """Whether the kernels must be built for it."""
        return self.file.endswith((".cpp", ".h"))

    def mutated(self) -> str:
        """The file's text with the change."""
        return (ROOT / self.file).read_text().replace(self.old, self.new)

    def fingerprint(self) -> str:
        """Changes with the entry, the file and the tests."""
        paths = [ROOT / test.partition("::")[0] for test in self.tests]
        parts = [json.dumps(asdict(self)), (ROOT / self.file).read_text(), *(path.read_text() for path in paths)]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant: why it survived (None: killed), by which test it was killed, and how long it took."""

    name: str
    survived: str | None
    killer: str
    seconds: float


def read_list() -> list[Mutant]:
    """All mutants, by file of the list."""
    mutants = []
    for path in sorted(LIST.glob("*.toml")):
        for entry in tomllib.loads(path.read_text())["mutant"]:
            mutants.append(Mutant(**(entry | {"tests": tuple(entry["tests"])})))
    return mutants


def mistakes(mutants: Sequence[Mutant]) -> list[str]:
    """What is wrong with the list itself."""
    found = [
        f"{m.name}: another has that name" for i, m in enumerate(mutants) if m.name in {n.name for n in mutants[:i]}
    ]
    for mutant in mutants:
        path = ROOT / mutant.file
        count = path.read_text().count(mutant.old) if path.is_file() else 0
        if count != 1:
            found.append(f"{mutant.name}: expected the old text once in {mutant.file}, found it {count} times")
        if mutant.old == mutant.new or not mutant.breaks or not mutant.tests:
            found.append(f"{mutant.name}: expected a change, what it breaks, and tests")
        for test in mutant.tests:
            if not (ROOT / test.partition("::")[0]).is_file():
                found.append(f"{mutant.name}: expected the test file of {test}, found none")
    return found


class Copy:
    """A copy of the tree in which one mutant at a time lives."""

    def __init__(self, folder: Path):
        """Copy sources and tests, link the rest."""
        self.folder = folder
        for name in COPIED:
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
        for path in ROOT.iterdir():
            if path.name not in LEFT_OUT and not path.name.startswith(".venv"):
                (folder / path.name).symlink_to(path)
        (folder / "sitecustomize.py").write_text(SITE)
        self._native = folder / "pi_system" / "kernels" / native().name
        self._native.symlink_to(native())
        # Bytecode checked by the hash of its source: a change within a second, of the same size, is seen.
        command = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "checked-hash", *COPIED[:3]]
        subprocess.run(command, cwd=folder, check=True)

    def run(self, tests: Iterable[str]) -> tuple[int, list[ElementTree.Element]]:
        """Run tests until one fails; the exit code and the test cases."""
        report = self.folder / "report.xml"
        report.unlink(missing_ok=True)
        options = ["-q", "-x", "-p", "no:cacheprovider", "--tb=short", f"--timeout={TEST_S}", f"--junitxml={report}"]
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(str(self.folder / part) for part in (".", "server", "client")),
            "PYTHONDONTWRITEBYTECODE": "1",
            "OMP_NUM_THREADS": "1",
        }
        with open(self.folder / "log.txt", "w") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "pytest", *options, *tests],
                cwd=self.folder,
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            code = wait_for(process)
        return code, list(ElementTree.parse(report).iter("testcase")) if report.exists() else []

    def log(self) -> str:
        """The end of the last run's output."""
        return (self.folder / "log.txt").read_text()[-3000:]

    def judge(self, mutant: Mutant) -> Outcome:
        """Apply a mutant, run its tests, take it back."""
        started, path = time.monotonic(), self.folder / mutant.file
        try:
            path.write_text(mutant.mutated())
            if mutant.compiled:
                self._build()
            code, cases = self.run(mutant.tests)
        finally:
            path.write_text((ROOT / mutant.file).read_text())
            if mutant.compiled:
                self._native.unlink(missing_ok=True)
                self._native.symlink_to(native())
        killers = [case.get("name", "") for case in cases if case.find("failure") is not None]
        survived = None if code == 1 and killers else why(code, cases)
        return Outcome(mutant.name, survived, killers[0] if killers else "", time.monotonic() - started)

    def _build(self) -> None:
        """Compile the copy's kernels into the copy."""
        wheels = self.folder / "wheels"
        command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--wheel-dir", str(wheels), "."]
        if find_spec("scikit_build_core") and find_spec("nanobind"):
            command.append("--no-build-isolation")
        subprocess.run(command, cwd=self.folder, check=True, capture_output=True)
        (wheel,) = wheels.glob("*.whl")
        self._native.unlink()
        with zipfile.ZipFile(wheel) as archive:
            self._native.write_bytes(archive.read(f"pi_system/kernels/{self._native.name}"))
        wheel.unlink()


def why(code: int, cases: list[ElementTree.Element]) -> str:
    """Why a run did not kill."""
    if code == 0:
        return f"{len(cases)} tests pass"
    if any(case.find("error") is not None for case in cases):
        return "no test failed: an error outside of the tests"
    return f"no test failed: pytest ended with code {code}"


def wait_for(process: subprocess.Popen[bytes]) -> int:
    """The exit code; whatever the tests started is ended, too."""
    try:
        return process.wait(RUN_S)
    except subprocess.TimeoutExpired:
        return -1
    finally:
        try:
            os.killpg(process.pid, 9)
        except ProcessLookupError:
            pass
        process.wait()


def native() -> Path:
    """The compiled kernels in use."""
    spec = find_spec("pi_system.kernels._native")
    if spec is None or spec.origin is None:
        raise SystemExit("kernels: expected the package installed, found no compiled module")
    return Path(spec.origin)


def unmutated(copies: Sequence[Copy], tests: Sequence[str]) -> bool:
    """Whether all named tests pass without a change."""
    shares = [tests[i :: len(copies)] for i in range(len(copies))]

    def check(copy: Copy, share: Sequence[str]) -> bool:
        code = copy.run(share)[0] if share else 0
        if code:
            print(copy.log())
        return code == 0

    with ThreadPoolExecutor(len(copies)) as pool:
        return all(list(pool.map(check, copies, shares)))


def judge_all(copies: Sequence[Copy], mutants: Sequence[Mutant], done: dict[str, str]) -> list[Outcome]:
    """Every mutant's outcome; ``done`` gets the fingerprints of those killed and is kept on disk."""
    free: queue.SimpleQueue[Copy] = queue.SimpleQueue()
    for copy in copies:
        free.put(copy)

    def judge(mutant: Mutant) -> Outcome:
        copy = free.get()
        try:
            outcome = copy.judge(mutant)
        finally:
            free.put(copy)
        print(
            f"{outcome.seconds:6.1f} s  {mutant.name:48} {outcome.survived or 'killed by ' + outcome.killer}",
            flush=True,
        )
        if outcome.survived is None:
            done[mutant.name] = mutant.fingerprint()
            STATE.parent.mkdir(exist_ok=True)
            STATE.write_text(json.dumps(done, indent=1))
        return outcome

    with ThreadPoolExecutor(len(copies)) as pool:
        return list(pool.map(judge, mutants))


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="every mutant of tests/mutants must make a named test fail")
    parser.add_argument("only", nargs="*", help="names, or patterns such as ot-*; default: all")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--check-list", action="store_true", help="check the list, run nothing")
    parser.add_argument("--resume", action="store_true", help="leave out what was killed and has not changed since")
    return parser.parse_args(arguments)


def main() -> int:
    """Run the list."""
    options = parse()
    mutants = read_list()
    wrong = mistakes(mutants)
    if wrong or options.check_list:
        print("\n".join(wrong) or f"{len(mutants)} mutants, the list is sound")
        return 1 if wrong else 0
    if options.only:
        mutants = [m for m in mutants if any(fnmatch(m.name, pattern) for pattern in options.only)]
        if not mutants:
            raise SystemExit(f"expected the name of a mutant or a pattern of names, found {' '.join(options.only)}")
    done: dict[str, str] = json.loads(STATE.read_text()) if STATE.exists() else {}
    if options.resume:
        mutants = [m for m in mutants if done.get(m.name) != m.fingerprint()]
    mutants.sort(key=lambda m: not m.compiled)  # builds first: they are the longest
    tests = sorted({test for m in mutants for test in m.tests})
    if not mutants:
        print("no mutant to run")
        return 0
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        started = time.monotonic()
        with ThreadPoolExecutor(options.jobs) as pool:
            copies = list(pool.map(Copy, (Path(folder) / str(i) for i in range(options.jobs))))
        if not unmutated(copies, tests):
            print("the named tests do not pass without a mutant")
            return 1
        print(f"{len(tests)} tests or files pass unmutated ({time.monotonic() - started:.0f} s)", flush=True)
        outcomes = judge_all(copies, mutants, done)
    survivors = [outcome for outcome in outcomes if outcome.survived is not None]
    for outcome in survivors:
        print(f"SURVIVED {outcome.name}: {outcome.survived}")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(
        f"{len(outcomes) - len(survivors)} of {len(outcomes)} mutants killed, {time.monotonic() - started:.0f} s, "
        f"{used.ru_utime + used.ru_stime:.0f} s of CPU"
    )
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
