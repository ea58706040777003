import os
import subprocess
import sys
from pathlib import Path

from measuring.memory import folder_bytes, peak_memory_bytes
from measuring.processes import peak_of_descendants_bytes

# A child with a grandchild that once held 200 MB; both live until stdin ends.
FAMILY = """
import subprocess, sys
hungry = "bytearray(b'x') * (200 << 20); print('ready', flush=True); input()"
subprocess.run([sys.executable, "-c", hungry])
"""


def test_peak_of_descendants_sees_a_grandchild() -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", FAMILY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline().strip() == b"ready"
        assert peak_of_descendants_bytes(child.pid) > 200 << 20
        assert peak_memory_bytes(child.pid) < 200 << 20
        assert peak_of_descendants_bytes(os.getpid()) > 200 << 20
    finally:
        child.communicate(b"\n", timeout=20)


def test_peak_of_a_process_that_is_gone_is_zero() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert peak_memory_bytes(child.pid) == 0
    assert peak_of_descendants_bytes(child.pid) == 0
    assert peak_memory_bytes() > 0


def test_folder_bytes_sums_files_at_every_depth(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one").write_bytes(bytes(10))
    (tmp_path / "two").write_bytes(bytes(5))
    assert folder_bytes(tmp_path) == 15
    assert folder_bytes(tmp_path / "missing") == 0
