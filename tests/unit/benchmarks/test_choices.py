"""choices.py: what auto takes beside what was measured."""

from statistics import geometric_mean

import choices
from choices import Case, Outcome

from pi_system.backends.registry import AUTO_BACKENDS


def case(**times: float) -> Case:
    return Case("run", "net", "lan", times)


def test_a_case_is_of_the_model_that_runs_under_all_its_backends() -> None:
    assert [case(gmw=2.0, gc=1.0).model, case(table=1.0, gmw=2.0).model] == ["net", "net/compare=8"]
    assert [case(gc=1.0, gmw=2.0).ordered, case(gc=1.0, gmw=2.0, table=3.0).ordered] == ["gmw", "table"]
    assert case(gmw=3.0, gc=2.0).behind("gmw") == 1.5


def test_the_sentence_counts_hits_and_says_how_far_others_are_behind() -> None:
    found = [Outcome(case(gmw=2.0, gc=1.0), "gc"), Outcome(case(gmw=4.0, gc=5.0), "gc")]
    text = choices.statement(found)
    assert text.startswith(
        "Of 2 measured pairs of network and link, `auto` takes the fastest in 1; where it does not, its choice takes "
        "1.25 to 1.25 times as long (median 1.25)."
    )
    assert "fixed order (the first of `table`, `gmw`, `gc` that was measured) takes the fastest in 1, " in text
    assert "no longer" in choices.statement(found[:1])


def test_auto_is_nearer_to_the_fastest_than_the_fixed_order() -> None:
    """Over all networks and links of which a run has several backends without a third party."""
    found = choices.outcomes()
    assert len(found) == len(choices.cases()) > 60  # `choices.py networks` keeps those of new runs
    chosen = [one.case.behind(one.chosen) for one in found]
    ordered = [one.case.behind(one.case.ordered) for one in found]
    assert sum(ratio == 1 for ratio in chosen) > 0.85 * len(found) > sum(ratio == 1 for ratio in ordered)
    assert geometric_mean(chosen) < 1.02 < geometric_mean(ordered)
    assert all(one.chosen in AUTO_BACKENDS for one in found)
