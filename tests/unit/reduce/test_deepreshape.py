import pytest

from pi_system.errors import ConfigError
from pi_system.reduce import DeepReShape
from pi_system.train import ReluMap


def test_high_budgets_keep_all_relus_of_a_wide_network(make_task):
    spec, steps = DeepReShape().design(make_task(2000, "resnet18:m=4"))
    # 5x5x3x has 1,340 ReLUs for each m on pictures of 8 x 8: m = 1 is all that fits.
    assert (str(spec).partition(",")[0], steps) == ("hrn-5x5x3x:m=1", "none")


@pytest.mark.parametrize(
    ("options", "budget", "m", "relus"),
    [
        # Per m and layer, on 8 x 8: stage 1 64, 2 2*16=32, 3 10*4=40, 4 30*1=30; two blocks of two layers, a stem.
        ({}, 1000, 4, 4 * 2 * (32 + 40 + 30)),
        ({"steps": "cull"}, 1000, 2, 2 * 4 * (32 + 40 + 30)),
        ({"steps": "thin"}, 1000, 2, 2 * (64 + 2 * (64 + 32 + 40 + 30))),
        ({"steps": "none"}, 1000, 1, 64 + 4 * (64 + 32 + 40 + 30)),
        ({"reuse": 2}, 1000, 9, None),
        ({"stride": 2}, 1000, 10, 10 * 2 * (2 * 4 + 10 + 30)),
    ],
)
def test_width_follows_from_the_budget(make_task, options, budget, m, relus):
    task = make_task(budget, "resnet18:m=4", epochs=0)
    result = DeepReShape(base="hrn-2x5x3x", **options).reduce(task)
    assert result.spec.m == m
    assert result.relu_map.count == (relus or result.relu_map.count) <= budget


def test_reuse_keeps_the_last_group_of_channels(make_task):
    result = DeepReShape(reuse=4).reduce(make_task(400, "resnet18:m=4", epochs=0))
    kept = {name: mask for name, mask in ReluMap.of(result.network) if mask.any()}
    assert kept
    for mask in kept.values():
        group = max(mask.shape[0] // 4, 1)
        assert mask[-group:].all()
        assert not mask[:-group].any()


def test_bad_options_are_refused(make_task):
    for bad in ({"steps": "chop"}, {"reuse": 0}, {"base": "vgg99"}):
        with pytest.raises(ConfigError, match="expected"):
            DeepReShape(**bad).design(make_task(100))
