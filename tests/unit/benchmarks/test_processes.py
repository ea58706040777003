import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from measuring.processes import Place, end_group, party_cores, pinned, start_dealer, start_server

from pi_system.errors import PeerUnavailableError

ASLEEP = Place(prefixes=(("sh", "-c", "exec sleep 600"), ()))
# A leader with a child of its own that ignores being asked to end.
STUBBORN = """
import signal, subprocess, sys, time
child = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(600)"
grandchild = subprocess.Popen([sys.executable, "-c", child], stdout=subprocess.PIPE)
grandchild.stdout.readline()
print(grandchild.pid, flush=True)
time.sleep(600)
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
        pytest.raises(PeerUnavailableError, match=r"pi-server: .*ended with code 20; .*cannot be read"),
        start_server(tmp_path / "missing", "127.0.0.1:1", tmp_path),
    ):
        pass


def test_a_program_that_never_gets_ready_is_ended(tmp_path: Path) -> None:
    with (
        pytest.raises(PeerUnavailableError, match=r"silence for 0\.1 s"),
        start_dealer(tmp_path, place=ASLEEP, startup_timeout_s=0.1),
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
