"""Reads back the trace that ``pi-client infer --profile`` writes."""

import json
from pathlib import Path

from pi_system.channel.profile import TRACKS, Piece
from pi_system.trace.spans import LayerSpan, layer_spans
from pi_system.trace.timeline import Timed


def profile_of(trace: Path) -> tuple[LayerSpan, ...]:
    """Its spans."""
    events = [event for event in json.loads(trace.read_text())["traceEvents"] if event["ph"] == "X"]
    return layer_spans(
        Timed(
            "client" if event["pid"] == 1 else "server",
            event["cat"],
            Piece(
                layer=event["name"],
                track=TRACKS[event["tid"] - 11],
                start_ns=round(1e3 * event["ts"]),
                duration_ns=round(1e3 * event["dur"]),
                **event["args"],
            ),
        )
        for event in events
    )
