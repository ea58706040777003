"""docs/how-to/will-my-network-run.md is what the exporter's tables make; every refusal names a way round."""

import importlib.util
from pathlib import Path

from pi_system.export.ops import APPROXIMATED, REFUSALS, RULES

ROOT = Path(__file__).parents[3]


def test_the_page_is_current_and_names_every_operation() -> None:
    spec = importlib.util.spec_from_file_location("will_it_run", ROOT / "scripts/will_it_run.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    page = (ROOT / "docs/how-to/will-my-network-run.md").read_text()
    assert page == module.document(), "run python scripts/will_it_run.py --into docs/how-to/will-my-network-run.md"
    assert all(f"`{name}`" in page for name in (*RULES, *APPROXIMATED, *REFUSALS))


def test_no_operation_is_supported_and_refused() -> None:
    assert not set(RULES) & set(REFUSALS)


WAYS_ROUND = ("train", "use", "write", "return", "leave", "--approximate")


def test_every_refusal_names_a_way_round() -> None:
    without = [name for name, text in REFUSALS.items() if not any(word in text for word in WAYS_ROUND)]
    assert without == []
