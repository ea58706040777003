"""Measuring: real processes started and pinned, results with their environment in one versioned schema.

processes.py       dealer and server as processes, ready when the block starts, gone when it ends
client_process.py  the program of a measured client: one session, driven by lines of JSON
line_process.py    a process that answers lines of JSON, seen from the benchmark
measured_client.py that program seen so
memory.py          peak memory of a process, size of a folder
environment.py     what the numbers were measured on
schema.py          the JSON of benchmarks/latency.py
question.py        the JSON of benchmarks/qNN_*.py: raw samples and answers with intervals
statistics.py      those intervals
floor.py           what no runtime of this shape can beat
reference.py       plaintext oracles and times
random_artifacts.py networks of random weights by name
runs.py            every network with every backend over every link
side_by_side.py    the same for questions: many short runs, in turn over all links

The last four need torch and are imported by name.

Measuring needs Linux: processes are pinned and watched through /proc.
"""

from pi_system.measure.environment import Environment, environment
from pi_system.measure.floor import floor_ms
from pi_system.measure.measured_client import ClientTask, MeasuredClient
from pi_system.measure.processes import RunningProgram, party_cores, pinned, start_dealer, start_server
from pi_system.measure.schema import LatencyReport, LatencyResult, NetworkCounts, Timing, latency_ratios

__all__ = [
    "ClientTask",
    "Environment",
    "LatencyReport",
    "LatencyResult",
    "MeasuredClient",
    "NetworkCounts",
    "RunningProgram",
    "Timing",
    "environment",
    "floor_ms",
    "latency_ratios",
    "party_cores",
    "pinned",
    "start_dealer",
    "start_server",
]
