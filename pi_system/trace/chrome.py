"""A profile as a trace in Chrome's JSON format, which chrome://tracing and ui.perfetto.dev show.

One process a party, one track (thread) each for compute, wait and transfer, one complete event ("ph": "X") a piece:
its name is the layer, its category the phase, its arguments kind, bytes and rounds. Times are microseconds.
Nothing in it is secret to the client: no value, key or identifier, but how long the server took for its layers.
Source: Trace Event Format, "JSON Object Format" and "Complete Events".
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from pi_system.channel.profile import TRACKS, Track
from pi_system.errors import InputError
from pi_system.trace.timeline import Party, Timed

_PIDS: Final[dict[Party, int]] = {"client": 1, "server": 2}
_FIRST_TID: Final = 11  # a thread numbered as its process would be taken for its main thread
_TIDS: Final[dict[Track, int]] = {track: _FIRST_TID + i for i, track in enumerate(TRACKS)}


def trace_of(pieces: Iterable[Timed], metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The trace's JSON object; ``metadata`` (JSON values) goes to ``otherData``."""
    return {
        "traceEvents": [*_names(), *(_event(timed) for timed in pieces)],
        "displayTimeUnit": "ms",
        "otherData": dict(metadata),
    }


def write_trace(path: Path, pieces: Iterable[Timed], metadata: Mapping[str, Any]) -> None:
    """Write the trace. Raises InputError if the file cannot be written."""
    try:
        path.write_text(json.dumps(trace_of(pieces, metadata), separators=(",", ":")) + "\n")
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from None


def _names() -> list[dict[str, Any]]:
    """Metadata events: names and order of processes and tracks."""
    events = []
    for party, pid in _PIDS.items():
        events.append({"ph": "M", "name": "process_name", "pid": pid, "args": {"name": party}})
        events.append({"ph": "M", "name": "process_sort_index", "pid": pid, "args": {"sort_index": pid}})
        for track, tid in _TIDS.items():
            events.append({"ph": "M", "name": "thread_name", "pid": pid, "tid": tid, "args": {"name": track}})
            events.append({"ph": "M", "name": "thread_sort_index", "pid": pid, "tid": tid, "args": {"sort_index": tid}})
    return events


def _event(timed: Timed) -> dict[str, Any]:
    party, phase, piece = timed
    return {
        "ph": "X",
        "name": piece.layer,
        "cat": phase,
        "pid": _PIDS[party],
        "tid": _TIDS[piece.track],
        "ts": piece.start_ns / 1e3,
        "dur": piece.duration_ns / 1e3,
        "args": {
            "kind": piece.kind,
            "sent_bytes": piece.sent_bytes,
            "received_bytes": piece.received_bytes,
            "rounds": piece.rounds,
        },
    }
