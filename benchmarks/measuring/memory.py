"""Peak memory of a process and size of a folder; imports nothing, since measured processes import it."""

import re
from pathlib import Path


def peak_memory_bytes(pid: int | str = "self") -> int:
    """Peak resident set (VmHWM) of a process; 0 if it is gone. Pages shared with others count in full."""
    try:
        found = re.search(r"^VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0  # a zombie has no memory left


def folder_bytes(folder: Path) -> int:
    """Sum of the sizes of all files under ``folder`` but sqlite's, which grow by pages; 0 if it does not exist."""
    files = (path for path in folder.rglob("*") if path.is_file() and ".sqlite3" not in path.name)
    return sum(path.stat().st_size for path in files)
