import pytest
from reductions import MakeTask

from pi_system.errors import ConfigError
from pi_system.reduce import Gradual, RandomMask


def test_search_takes_its_share_of_the_epochs(make_task: MakeTask) -> None:
    result = Gradual(search=0.25).reduce(make_task(100, epochs=4))
    assert (result.report["search_epochs"], len(result.fitted.history)) == (1, 3)


def test_random_masks_fall_on_the_same_schedule_or_at_once(make_task: MakeTask) -> None:
    for schedule, epochs in (("gradual", (2, 2)), ("once", (0, 4))):
        result = RandomMask(schedule=schedule).reduce(make_task(100, epochs=4))
        assert (result.report["search_epochs"], len(result.fitted.history)) == epochs


def test_bad_options_are_refused(make_task: MakeTask) -> None:
    for bad in ({"importance": "luck"}, {"granularity": "row"}, {"search": 2.0}, {"search": 0.0}):
        with pytest.raises(ConfigError, match="expected"):
            Gradual(**bad).reduce(make_task(100))
