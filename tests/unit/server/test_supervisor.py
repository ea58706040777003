"""What a reload finds does not end what is served."""

import logging
from pathlib import Path
from typing import Any

import pytest
from tiny_artifact import tiny_artifact

from pi_server.options import ServerOptions
from pi_server.supervisor import Supervisor
from pi_system.errors import ArtifactError


@pytest.mark.parametrize("error", [ArtifactError("damaged"), OSError("too many open files"), ZeroDivisionError("bug")])
def test_a_reload_that_fails_leaves_everything_as_it_was(
    error: Exception, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(options: Any) -> Any:
        raise error

    options = ServerOptions(
        artifact=tiny_artifact(), listen="127.0.0.1:0", dealer=None, store_dir=tmp_path, allowed=("gmw",)
    )
    supervisor = Supervisor(options, lambda address: None, fail)
    supervisor.reload()
    with caplog.at_level(logging.ERROR):
        supervisor._renew()
    assert supervisor.options is options
    assert f"everything stays as it was: {error}" in caplog.text
    assert not supervisor._reloads
