from typing import Any

import numpy as np
import pytest
import torch

from pi_system.reduce.polynomials import Moments, fit_degree, lowest_degrees, measure_moments
from pi_system.train import named_relus


@pytest.mark.parametrize("degree", [0, 1, 2])
def test_fits_are_those_of_least_squares(degree: Any) -> None:
    x = torch.randn(8, 3, 5, 5, generator=torch.Generator().manual_seed(degree)) * 2 + 0.5
    coefficients, left = fit_degree(Moments.of(x), degree)
    for channel in range(3):
        values = x[:, channel].flatten().double().numpy()
        relu = np.maximum(values, 0)
        expected = np.polyfit(values, relu, degree)
        np.testing.assert_allclose(coefficients[channel, 2 - degree :].numpy(), expected, atol=1e-3)
        assert not coefficients[channel, : 2 - degree].any()
        rest = np.mean((relu - np.polyval(expected, values)) ** 2) / np.mean(relu**2)
        assert left[channel].item() == pytest.approx(rest, rel=1e-3, abs=1e-4)


def test_a_channel_gets_the_lowest_degree_that_fits() -> None:
    x = torch.randn(16, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    x[:, 0] = 2.0  # constant
    x[:, 1] += 10.0  # always positive: a straight line
    x[:, 3] = -x[:, 3].abs()  # never positive
    degrees, coefficients = lowest_degrees(Moments.of(x), (0, 1, 2), 0.001)
    assert degrees.tolist() == [0, 1, 2, 0]
    assert coefficients[:2].numpy() == pytest.approx(np.array([[0, 0, 2], [0, 1, 0]]), abs=1e-2)
    assert coefficients[3].abs().max() < 1e-6
    assert lowest_degrees(Moments.of(x), (1,), 0.0)[0].tolist() == [1] * 4
    assert lowest_degrees(Moments.of(x), (1, 2), 1.0)[0].tolist() == [1] * 4


def test_moments_are_of_what_each_relu_reads(make_task: Any) -> None:
    task = make_task(300)
    moments = measure_moments(task)
    relus = named_relus(task.network)
    assert moments.keys() == relus.keys()
    for name, relu in relus.items():
        assert moments[name].powers.shape == (relu.shape[0], 5)
        assert (moments[name].powers[:, 0] == 1).all()
        assert (moments[name].products[:, 1] <= moments[name].powers[:, 2] + 1e-9).all()
    assert not any(relu._forward_pre_hooks for relu in relus.values())
