import pytest
from reductions import MakeTask

from pi_system.errors import ConfigError
from pi_system.reduce import METHODS, Gradual, RandomMask, make_method
from pi_system.reduce.presets import presets_of
from pi_system.train import TrainConfig


def test_search_takes_its_share_of_the_epochs(make_task: MakeTask) -> None:
    result = Gradual(search=0.25).reduce(make_task(100, epochs=4))
    assert (result.report["search_epochs"], len(result.fitted.history)) == (1, 3)


def test_random_masks_fall_on_the_same_schedule_or_at_once(make_task: MakeTask) -> None:
    for schedule, epochs in (("gradual", (2, 2)), ("once", (0, 4))):
        result = RandomMask(schedule=schedule).reduce(make_task(100, epochs=4))
        assert (result.report["search_epochs"], len(result.fitted.history)) == epochs


def test_bad_options_are_refused(make_task: MakeTask) -> None:
    for bad in ({"importance": "luck"}, {"granularity": "row"}, {"search": "2.0"}, {"search": "0.0"}):
        with pytest.raises(ConfigError, match="expected"):
            make_method("gradual", bad).reduce(make_task(100))


def test_the_preset_of_relupruner_is_at_the_budget_after_ninety_epochs() -> None:
    preset = presets_of(METHODS["gradual"])["relupruner"]
    method = make_method("gradual", preset.options)
    assert isinstance(method, Gradual)
    assert (method.importance, method.granularity) == ("relupruner", "pixel")
    epochs = preset.recipe["epochs"]
    assert (epochs, round(0.9 * round(method.search * epochs))) == (150 + 240, 90)
    recipe = TrainConfig(**preset.recipe)
    assert (recipe.learning_rate, recipe.batch_size, recipe.distill_temperature) == (0.05, 128, 4.0)
