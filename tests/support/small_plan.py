"""A plan of a study on the digits that takes seconds, and a repository to commit it in."""

import subprocess
from pathlib import Path

from measuring.study_plan import Plan, parse_plan

M2, M1 = (f"resnet18:m={m},classes=10,size=8,channels=1" for m in (2, 1))
TEXT = f"""
schema = 1
baseline = "short"

[data]
name = "digits"
tuning_fraction = 0.1

[recipes.short]
epochs = 1
batch_size = 256
device = "cpu"

[networks]
"{M2}" = 1
"{M1}" = 1

[tuning]
block = "B"
seed = 7
budget = 200
trials = 2

[[blocks]]
name = "A"
text = "first"
reference = "{M2}"
seeds = [0, 1]

[[blocks]]
name = "B"
text = "second"
reference = "{M2}"
seeds = [0]

[[blocks]]
name = "C"
text = "third"
reference = "{M2}"
seeds = [0]
needs = "cuda"

[[curves]]
label = "random"
block = "A"
network = "{M2}"
recipe = "short"
method = "random"
budgets = [600, 200]

[[curves]]
label = "narrow"
block = "A"
network = "{M1}"
recipe = "short"
method = "random"
budgets = [600, 200]

[[curves]]
label = "sensitivity"
block = "A"
network = "{M2}"
recipe = "short"
measure = "sensitivity"
seeds = [0]

[[curves]]
label = "tuned"
block = "B"
network = "{M2}"
recipe = "short"
method = "random"
options = {{ schedule = "once" }}
budgets = [200]
trials = [{{ recipe = {{ learning_rate = 0.05 }} }}, {{ options = {{ granularity = "channel" }} }}]

[[curves]]
label = "gpu"
block = "C"
network = "{M2}"
recipe = "short"
method = "random"
budgets = [200]

[[claims]]
id = "wide"
primary = true
block = "A"
text = "wide beats narrow"
source = "a paper"
better = "random"
worse = "narrow"
"""
LATER = """
[[claims]]
id = "later"
primary = true
block = "A"
text = "thought of later"
source = "a paper"
better = "narrow"
worse = "random"
"""


def plan_of(text: str = TEXT) -> Plan:
    return parse_plan(text.encode(), "plan.toml")


def git(folder: Path, *arguments: str) -> str:
    about = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", "-C", str(folder), *about, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def write(path: Path, text: str) -> str:
    path.write_text(text)
    git(path.parent, "add", ".")
    git(path.parent, "commit", "-q", "-m", "plan")
    return git(path.parent, "rev-parse", "HEAD")
