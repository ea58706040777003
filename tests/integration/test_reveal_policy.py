"""The server owns what is revealed: real processes, every backend, every policy and everything a client may ask."""

import os

import numpy as np
import pytest
from chosen_logits import chosen_logits_artifact, pictures_of
from processes import ALL_BACKENDS, started

from pi_system.artifact import save
from pi_system.cli.service import describe
from pi_system.errors import RevealError
from pi_system.program.reveal import REVEALS, outputs_to_float, revealed, tells_more
from pi_system.rpc.client_session import ClientSession, Endpoint
from pi_system.rpc.session_config import SessionConfig

BACKENDS = ["gmw", "gc", "fss", "crypten"]
SHIFT = 5
ARTIFACT = chosen_logits_artifact(59, 20, classes=12, shift=SHIFT)
GRAPH, RING = ARTIFACT.public.graph, ARTIFACT.public.ring


def _logits():
    """Far from ties and from where rounding turns, because CrypTen's products err by an ulp."""
    logits = np.random.default_rng(3).permutation(np.arange(-600, 600, 50)).reshape(2, 12)
    return np.where(logits % (1 << SHIFT) == 1 << (SHIFT - 1), logits + 3, logits)


@pytest.fixture(scope="module")
def dealer():
    with started("-m", "pi_system.cli.dealer", "serve", "--listen", "127.0.0.1:0", "--insecure") as (_, address):
        yield address


@pytest.fixture(scope="module", params=[None, "label", "scores", "logits"])
def server(request, dealer, tmp_path_factory):
    """(policy, address); None: started without the flag."""
    folder = tmp_path_factory.mktemp("policy")
    save(ARTIFACT, folder / "model")
    arguments = ["--artifact", f"{folder}/model", "--listen", "127.0.0.1:0", "--insecure", "--dealer", dealer]
    arguments += ["--store", f"{folder}/store", *(["--reveal", request.param] if request.param else []), *ALL_BACKENDS]
    with started("-m", "pi_server.cli", "serve", *arguments) as (_, address):
        yield request.param or "label", address


def _session(server, dealer, folder, backend, asked):
    endpoint = Endpoint(server=server[1], dealer=dealer, store_dir=folder, timeout_s=60.0)
    config = SessionConfig(backend=backend, artifact_digest="", client_id=os.urandom(16), reveal=asked)
    return ClientSession(endpoint, config)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_client_learns_what_it_asks_for_up_to_the_policy(server, dealer, backend, tmp_path):
    logits = _logits()
    for asked in ("", *REVEALS):
        if asked and tells_more(asked, server[0]):
            with pytest.raises(RevealError, match=rf"at most {server[0]}, .*pi-server serve --reveal.*found {asked}"):
                _session(server, dealer, tmp_path, backend, asked)
            continue
        with _session(server, dealer, tmp_path, backend, asked) as session:
            reveal = session.config.revealed
            assert reveal == (asked or server[0])
            session.prepare(2)
            found, _ = session.infer(pictures_of(logits, RING).astype(np.float32))
        expected = outputs_to_float(revealed(logits, GRAPH, RING, reveal), GRAPH, RING, reveal)
        tolerance = 2.0**-14 if (reveal, backend) == ("logits", "crypten") else 0.0
        assert found.shape == expected.shape
        assert np.abs(found - expected).max() <= tolerance


def test_the_policy_is_public(server):
    assert describe(server[1], "server", 5.0).reveal == server[0]
