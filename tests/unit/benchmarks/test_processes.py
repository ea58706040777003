import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from measuring.line_process import LineProcess
from measuring.memory import folder_bytes, peak_memory_bytes
from measuring.processes import Site, end_group, party_cores, peak_of_descendants_bytes, pinned
from measuring.programs import start_dealer, start_server

from pi_system.errors import PeerUnavailableError

ASLEEP = Site(prefixes=(("sh", "-c", "exec sleep 600"), ()))
# A leader with a child of its own that ignores being asked to end.
STUBBORN = """
import signal, subprocess, sys, time
child = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(600)"
grandchild = subprocess.Popen([sys.executable, "-c", child], stdout=subprocess.PIPE)
grandchild.stdout.readline()
print(grandchild.pid, flush=True)
time.sleep(600)
"""

# A child with a grandchild that once held 200 MB; both live until stdin ends.
FAMILY = """
import subprocess, sys
hungry = "bytearray(b'x') * (200 << 20); print('ready', flush=True); input()"
subprocess.run([sys.executable, "-c", hungry])
"""


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_a_dealer_runs_in_the_block_and_is_gone_after_it(tmp_path: Path) -> None:
    with start_dealer(tmp_path, core=min(os.sched_getaffinity(0))) as dealer:
        assert is_running(dealer.pid)
        assert os.sched_getaffinity(dealer.pid) == {min(os.sched_getaffinity(0))}
        health = [sys.executable, "-m", "pi_system.cli.dealer", "health", "--insecure", "--dealer", dealer.address]
        assert subprocess.run(health, capture_output=True, timeout=60).returncode == 0
    assert not is_running(dealer.pid)


def test_a_program_that_fails_is_reported_with_its_log(tmp_path: Path) -> None:
    with (
        pytest.raises(PeerUnavailableError, match=r"pi-server: .*its end with code 20; .*cannot be read"),
        start_server(tmp_path / "missing", "127.0.0.1:1", tmp_path),
    ):
        pass


def test_a_program_that_never_gets_ready_is_ended(tmp_path: Path) -> None:
    with (
        pytest.raises(PeerUnavailableError, match=r"silence for 0\.1 s"),
        start_dealer(tmp_path, site=ASLEEP, startup_timeout_s=0.1),
    ):
        pass


def test_end_group_ends_grandchildren_that_refuse() -> None:
    leader = subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE, start_new_session=True)
    assert leader.stdout is not None
    grandchild = int(leader.stdout.readline())
    leader.stdout.close()
    end_group(leader)
    assert leader.returncode is not None
    deadline_s = time.monotonic() + 10
    while is_running(grandchild):  # killed, but the kernel may take a moment
        assert time.monotonic() < deadline_s
    end_group(leader)  # a second time does nothing


def test_pinned_holds_for_the_block_and_for_children_started_in_it() -> None:
    before = os.sched_getaffinity(0)
    core = party_cores()["client"]
    with pinned(core):
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert os.sched_getaffinity(child.pid) == {core}
        assert os.sched_getaffinity(0) == before
    finally:
        child.communicate(b"\n", timeout=20)


def test_parties_get_two_cores_where_there_are_two() -> None:
    cores = party_cores()
    assert set(cores.values()) <= os.sched_getaffinity(0)
    assert (cores["server"] != cores["client"]) == (len(os.sched_getaffinity(0)) > 1)
    with pinned(cores["server"]):
        assert party_cores() == {"server": cores["server"], "client": cores["server"]}


ECHO = "import sys\nfor line in sys.stdin: print(line, end='', flush=True)"


def test_lines_are_answered_and_the_process_ends_with_its_block(tmp_path: Path) -> None:
    with LineProcess("echo", [sys.executable, "-c", ECHO], log=tmp_path / "log") as process:
        assert process.ask({"a": 1}) == {"a": 1}
        with pytest.raises(PeerUnavailableError, match="expected an answer, found silence"):
            process.answer(0.1)
        with pytest.raises(PeerUnavailableError, match="echo: no room"):
            process.ask({"error": "no room"})
    with pytest.raises(PeerUnavailableError, match="found it gone"):
        process.tell({})


def test_a_process_that_ends_shows_its_last_words(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; sys.exit('out of luck')"]
    with (
        LineProcess("short", command, log=tmp_path / "log") as short,
        pytest.raises(PeerUnavailableError, match=r"its end with code 1.*out of luck"),
    ):
        short.answer(30)


def test_peak_memory_sees_a_grandchild_and_nothing_of_who_is_gone() -> None:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([sys.executable, "-c", FAMILY], **pipes) as child:  # type: ignore[call-overload]
        assert child.stdout.readline().strip() == b"ready"
        assert peak_of_descendants_bytes(child.pid) > 200 << 20 > peak_memory_bytes(child.pid)
        assert peak_of_descendants_bytes(os.getpid()) > 200 << 20
        child.communicate(b"\n", timeout=20)
    assert peak_memory_bytes(child.pid) == peak_of_descendants_bytes(child.pid) == 0 < peak_memory_bytes()


def test_folder_bytes_sums_files_at_every_depth(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one").write_bytes(bytes(10))
    (tmp_path / "two").write_bytes(bytes(5))
    (tmp_path / "index.sqlite3-wal").write_bytes(bytes(99))
    assert folder_bytes(tmp_path) == 15
    assert folder_bytes(tmp_path / "missing") == 0
