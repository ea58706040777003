"""The study's pictures and tables as a user makes them."""

import json
from pathlib import Path

import plot_study
from click.testing import CliRunner

STUDY = {
    "schema": 1,
    "runs": [
        {
            "run": f"seed{seed}/{label}@{fraction}",
            "label": label,
            "fraction": fraction,
            "seed": seed,
            "network": "resnet18:m=16",
            "relus": int(139264 * (fraction or 1)),
            "macs": 35_058_176,
            "test_accuracy": 0.5 + 0.01 * seed,
        }
        for seed in (0, 1)
        for label, fraction in (("baseline", None), ("snl", 0.25), ("snl", 0.06), ("random", 0.25), ("random", 0.06))
    ],
}
RESULT = {
    "run": "seed0/snl@0.25",
    "link": "lan",
    "backend": "fss",
    "online_ms": {"median": 40.5},
    "online_rounds": 18,
    "online_bytes": {"client_to_server": 1_000_000, "server_to_client": 500_000},
}
COSTS = {
    "schema": 1,
    "networks": {"seed0/snl@0.25": {"relus": 34816}},
    "results": [RESULT, {"run": "seed0/snl@0.25", "link": "lan", "backend": "gmw", "error": "a ring of 64 bits"}],
}


def test_pictures_and_tables_from_json_only(tmp_path: Path) -> None:
    (tmp_path / "study.json").write_text(json.dumps(STUDY))
    (tmp_path / "costs.json").write_text(json.dumps(COSTS))
    page = tmp_path / "results.md"
    page.write_text("# Results\n<!-- study:begin -->\nold\n<!-- study:end -->\nmore\n")
    command = [f"{tmp_path}/study.json", "--costs", f"{tmp_path}/costs.json", "--out", f"{tmp_path}/img"]
    done = CliRunner().invoke(plot_study.main, [*command, "--into", str(page)])
    assert done.exit_code == 0, done.output
    names = ["study-bytes-fss", "study-ms-fss-lan", "study-relus-pixel"]
    assert sorted(path.name for path in (tmp_path / "img").iterdir()) == sorted(f"{name}.svg" for name in names)
    text = page.read_text()
    assert text.startswith("# Results\n<!-- study:begin -->\n| curve |")
    assert text.endswith("<!-- study:end -->\nmore\n")
    assert "old" not in text
    assert "| `fast 25 %` | 34,816 | 50.5 | 40.5, 18, 1,500 | - |" in text
    assert "| `fast` | at most 8,355, 8,355 | 1.00 (1.00 to 1.00) |" in text
    assert "- `seed0/snl@0.25`, `gmw`: a ring of 64 bits." in text

    page.write_text("no marks")
    failed = CliRunner().invoke(plot_study.main, [*command, "--into", str(page)])
    assert failed.exit_code != 0
    assert "expected the lines <!-- study:begin -->" in failed.stderr
