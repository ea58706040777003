"""The server owns what is revealed: real processes, every backend, every policy and everything a client may ask."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chosen_logits import chosen_logits_artifact, pictures_of
from processes import ALL_BACKENDS, pi_server

from pi_system.artifact import save
from pi_system.cli.service import describe
from pi_system.errors import RevealError
from pi_system.program.reveal import REVEALS, outputs_to_float, revealed, tells_more
from pi_system.rpc.client_session import ClientSession
from pi_system.rpc.endpoint import Endpoint
from pi_system.rpc.session_config import SessionConfig

BACKENDS = ["gmw", "gc", "table", "fss", "crypten"]
SHIFT = 5
ARTIFACT = chosen_logits_artifact(59, 20, classes=12, shift=SHIFT)
GRAPH, RING = ARTIFACT.public.graph, ARTIFACT.public.ring


def _logits() -> Any:
    """Far from ties and from where rounding turns, because CrypTen's products err by an ulp."""
    logits = np.random.default_rng(3).permutation(np.arange(-600, 600, 50)).reshape(2, 12)
    return np.where(logits % (1 << SHIFT) == 1 << (SHIFT - 1), logits + 3, logits)


def _serving(folder: Path, dealer: Any, *options: Any) -> Any:
    save(ARTIFACT, folder / "model")
    return pi_server(folder / "model", folder / "store", "--insecure", "--dealer", dealer, *options)


@pytest.fixture(scope="module", params=REVEALS)
def server(request: pytest.FixtureRequest, dealer: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """(policy, address)."""
    with _serving(tmp_path_factory.mktemp("policy"), dealer, "--reveal", request.param, *ALL_BACKENDS) as (_, address):
        yield request.param, address


def _session(server: Any, dealer: Any, folder: Path, backend: str, asked: Any) -> Any:
    endpoint = Endpoint(server=server[1], dealer=dealer, store_dir=folder, timeout_s=60.0)
    config = SessionConfig(backend=backend, artifact_digest="", client_id=os.urandom(16), reveal=asked)
    return ClientSession(endpoint, config)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_client_learns_what_it_asks_for_up_to_the_policy(
    server: Any, dealer: str, backend: str, tmp_path: Path
) -> None:
    logits, seen = _logits(), set()
    for asked in ("", *REVEALS):
        if asked and tells_more(asked, server[0]):  # type: ignore[arg-type]
            with pytest.raises(RevealError, match=rf"at most {server[0]}, .*pi-server serve --reveal.*found {asked}"):
                _session(server, dealer, tmp_path, backend, asked)
            continue
        with _session(server, dealer, tmp_path, backend, asked) as session:
            reveal = session.config.revealed
            assert reveal == (asked or server[0])
            if reveal in seen:
                continue  # asking for what it would reveal anyway is the same session
            seen.add(reveal)
            session.prepare(2)
            found, _ = session.infer(pictures_of(logits, RING).astype(np.float32))
        expected = outputs_to_float(revealed(logits, GRAPH, RING, reveal), GRAPH, RING, reveal)
        tolerance = 2.0**-14 if (reveal, backend) == ("logits", "crypten") else 0.0
        assert found.shape == expected.shape
        assert np.abs(found - expected).max() <= tolerance


def test_the_policy_is_public(server: Any) -> None:
    assert describe(server[1], "server", 5.0).reveal == server[0]


def test_a_server_that_was_told_nothing_reveals_the_label(dealer: str, tmp_path: Path) -> None:
    with _serving(tmp_path, dealer) as (_, address):
        assert describe(address, "server", 5.0).reveal == "label"
        with _session(("label", address), dealer, tmp_path, "gmw", "") as session:
            assert session.config.revealed == "label"
        with pytest.raises(RevealError, match="at most label"):
            _session(("label", address), dealer, tmp_path, "gmw", "scores")
