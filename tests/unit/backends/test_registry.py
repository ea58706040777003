"""What a server offers unless it is told."""

from parties import BACKENDS as TESTED

from pi_system.backends.registry import BACKENDS, SERVED_BY_DEFAULT


def test_a_server_offers_those_that_were_put_on_its_list_and_not_the_baseline() -> None:
    """A new backend is not served until somebody decides so, here and there."""
    assert SERVED_BY_DEFAULT == ("gmw", "gc", "table", "fss")
    assert set(SERVED_BY_DEFAULT) < set(BACKENDS)


def test_suites_over_all_backends_leave_none_out_but_the_baseline() -> None:
    """It runs in processes of its own."""
    assert set(TESTED) == set(BACKENDS) - {"crypten"}
