"""Jobs on Ray, where it is not installed; what is sent to it is tested with the trials that send it."""

import sys

import pytest

from pi_system.errors import ConfigError
from pi_system.reduce.ray_jobs import run_on_ray


def test_ray_is_asked_for_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r'pip install "pi-system\[ray\]"'):
        list(run_on_ray(lambda job: {}, [1], 1, 1))
