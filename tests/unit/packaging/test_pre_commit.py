"""The hooks before a commit fetch nothing, and every file they run is there."""

from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[3]
REPOS = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]


def test_every_hook_runs_what_the_environment_has():
    assert [repo["repo"] for repo in REPOS] == ["local"]
    for hook in REPOS[0]["hooks"]:
        assert hook["language"] == "system"
        first, *others = hook["entry"].split()
        assert first.startswith(".venv/bin/") or (ROOT / first).is_file()
        assert all((ROOT / word).is_file() for word in others if word.startswith("scripts/"))
