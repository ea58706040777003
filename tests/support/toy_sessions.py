"""Server and dealer with the toy backend as processes, and sessions with them out of this one."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from processes import TOY, Process, toy_dealer, toy_server
from tiny_artifact import tiny_artifact

from pi_system.artifact import save
from pi_system.rpc.client_session import ClientSession
from pi_system.rpc.endpoint import Endpoint
from pi_system.rpc.session_config import SessionConfig

PICTURE = np.full((1, 1, 2, 2), 0.25, np.float32)
CONFIG = SessionConfig(backend="toy", artifact_digest="", client_id=bytes(16))


@dataclass(frozen=True)
class Toy:
    """Where the model lies, and both running processes with their addresses."""

    model: Path
    dealer: tuple[Process, str]
    server: tuple[Process, str]

    def session(
        self, config: SessionConfig = CONFIG, *, prepares: bool = False, ticket: str = "", **changes: Any
    ) -> ClientSession:
        """A client's session; ``changes`` are of its endpoint."""
        fields: dict[str, Any] = {
            "server": self.server[1],
            "dealer": self.dealer[1],
            "store_dir": Path("unused"),
            "backends": TOY,
        }
        endpoint = Endpoint(**(fields | {"timeout_s": 20.0} | changes))
        return ClientSession(endpoint, config, prepares=prepares, ticket=ticket)

    def session_on_a_line(self, **changes: Any) -> ClientSession:
        """One whose line is there."""
        session, until_s = self.session(**changes), time.monotonic() + 20
        while session._line is None or not session._line.idle():
            assert time.monotonic() < until_s
            time.sleep(0.01)
        return session

    def assert_serves(self) -> None:
        """Whatever happened to other sessions, a new one is served."""
        with self.session() as session:
            session.prepare(1)
            assert session.infer(PICTURE)[0][0, 0] == 0.25


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Toy]:
    """No test changes what they serve."""
    model = tmp_path_factory.mktemp("toy") / "artifact"
    save(tiny_artifact(), model)
    with toy_dealer() as dealer, toy_server(model, dealer[1]) as server:
        yield Toy(model, dealer, server)
