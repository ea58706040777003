"""Peak memory of processes and size of folders, as the kernel counts them (Linux: /proc)."""

import re
from pathlib import Path

__all__ = ["descendants", "folder_bytes", "peak_memory_bytes", "peak_of_descendants_bytes"]


def peak_memory_bytes(pid: int | str = "self") -> int:
    """Peak resident set (VmHWM) of a process; 0 if it is gone. Pages shared with others count in full."""
    try:
        found = re.search(r"^VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0  # a zombie has no memory left


def peak_of_descendants_bytes(pid: int) -> int:
    """The largest peak among the processes below ``pid``; 0 if there are none."""
    return max(map(peak_memory_bytes, descendants(pid)), default=0)


def descendants(pid: int) -> set[int]:
    """Children of ``pid``, their children, and so on."""
    children, waiting, found = _children_by_parent(), [pid], set[int]()
    while waiting:
        below = children.get(waiting.pop(), [])
        found.update(below)
        waiting += below
    return found


def folder_bytes(folder: Path) -> int:
    """Sum of the sizes of all files under ``folder``; 0 if it does not exist."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _children_by_parent() -> dict[int, list[int]]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            text = (entry / "stat").read_text()
        except OSError:
            continue  # it ended in between
        parent = int(text.rpartition(")")[2].split()[1])  # the name in parentheses may hold anything
        children.setdefault(parent, []).append(int(entry.name))
    return children
