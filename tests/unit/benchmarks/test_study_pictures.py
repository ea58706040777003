"""The study's pictures, and the tables of what its networks cost."""

import json
from pathlib import Path

from measuring.study_tables import costs_markdown, load_study, needed_markdown
from report import study_pictures

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
    files = [tmp_path / "study.json", tmp_path / "costs.json"]
    for file, content in zip(files, (STUDY, COSTS), strict=True):
        file.write_text(json.dumps(content))
    drawn = study_pictures.draw(files[:1], files[1:], tmp_path / "img")
    assert [path.stem for path in drawn] == ["study-relus-pixel", "study-ms-fss-lan", "study-bytes-fss"]
    assert all(path.stat().st_size > 10_000 for path in drawn)
    study = load_study(files[:1])
    text = costs_markdown(study, COSTS)
    assert "| `fast 25 %` | 34,816 | 50.5 | 1.00, 18, 1,500 | - |" in text
    assert "- `seed0/snl@0.25`, `gmw`: a ring of 64 bits." in text
    assert "| `fast` | at most 8,355, 8,355 | 1.00 (1.00 to 1.00) |" in needed_markdown(study, COSTS)


def test_the_front_is_what_no_other_point_beats() -> None:
    points = [(3.0, 50.0), (1.0, 30.0), (2.0, 25.0), (1.0, 28.0), (4.0, 50.0), (5.0, 60.0)]
    assert study_pictures.pareto_front(points) == [(1.0, 30.0), (3.0, 50.0), (5.0, 60.0)]
    assert study_pictures.pareto_front([]) == []
