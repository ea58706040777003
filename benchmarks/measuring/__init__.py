"""What all benchmarks share; not in the wheel, and nothing of the product imports it.

processes.py       where processes run, and how they end
line_process.py    a process that answers lines of JSON; programs.py: dealer and server
client_process.py  the program of a measured client: one session, driven by lines of JSON
sessions.py        networks, servers and measured clients, ready to be called
party_channel.py   our channel between two processes without a session; ways.py: what channel.py compares over it
memory.py          peak memory of a process, size of a folder
machine.py         one measurement at a time, on an idle machine
environment.py     what the numbers were measured on
statistics.py      95 % intervals
reference.py       plaintext oracles and times
networks.py        networks of random weights by name
cnns.py            well-known CNNs, published.py: files of their weights; known.py: their export and private inferences
known_table.py     what these cost
latency.py         every network with every backend over every link, its JSON in schema.py
side_by_side.py    the same for questions: many short runs, in turn
question.py        a question's JSON and its two commands
crowd.py           many clients beside few; kills.py: killed workers, leftovers.py reads what they leave;
recording.py       sessions to be sent again, mutation.py: with mutated frames, frames.py: at a real server
stopping.py        probes and SIGTERM under load; steady.py: runs that go on where they were ended
endurance_table.py what these found
study_plan.py      the plan of a study; study_queue.py: its runs in order; study_record.py: what each leaves
study_runner.py    works through the queue, with study_work.py as the process of a sitting
study_report.py    from records to JSON; study_runs.py reads it, study_analysis.py judges, study_tables.py shows it
study_claims.py    docs/reference/claims.md; study_costs.py: what a study's networks cost online
equal_accuracy.py  what curves need for one accuracy
documents.py       options and files that benchmarks have in common
plots.py           their pictures, with plots.mplstyle
arrivals.py        requests that come when they come (q04); experiment.py: with real processes
samples.py         measurements for the cost model; fit.py: its prices; validation.py: its errors
"""

import sys
from pathlib import Path
from typing import Final

BENCHMARKS: Final = Path(__file__).resolve().parents[1]
ROOT: Final = BENCHMARKS.parent
RESULTS: Final = BENCHMARKS / "results"

if str(ROOT) not in sys.path:
    sys.path.insert(1, str(ROOT))  # a benchmark runs from a checkout, installed or not
