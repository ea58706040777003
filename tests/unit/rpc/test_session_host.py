"""What a server does not offer is refused before anything is made, whatever else the package could do."""

from dataclasses import replace
from pathlib import Path

import pytest
from tiny_artifact import tiny_artifact

from pi_system.errors import ArtifactDigestError, ConfigError
from pi_system.program.reveal import REVEALS
from pi_system.rpc.server_session import SessionHost
from pi_system.rpc.session_config import SessionConfig

HOST = SessionHost(artifact=tiny_artifact(), store_dir=Path("unused"), dealer=None, allowed=("gmw",))
ASKED = SessionConfig(backend="gmw", artifact_digest="", client_id=bytes(16))


def test_what_is_offered_is_taken():
    HOST.agree(ASKED)
    HOST.agree(replace(ASKED, artifact_digest=HOST.artifact.public.digest))


@pytest.mark.parametrize("backend", ["gc", "fss", "crypten", "none", ""])
def test_a_backend_of_the_package_that_is_not_allowed_is_refused(backend):
    with pytest.raises(ConfigError, match="allows"):
        HOST.agree(replace(ASKED, backend=backend))


def test_an_insecure_provider_takes_both_parties():
    with pytest.raises(ConfigError, match="insecure-provider"):
        HOST.agree(replace(ASKED, insecure_provider=True))
    replace(HOST, insecure_provider=True).agree(replace(ASKED, insecure_provider=True))


@pytest.mark.parametrize("digest", ["0" * 64, "x"])
def test_another_model_is_refused(digest):
    with pytest.raises(ArtifactDigestError):
        HOST.agree(replace(ASKED, artifact_digest=digest))


@pytest.mark.parametrize("policy", REVEALS)
def test_a_client_may_learn_as_much_as_the_policy_says_and_no_more(policy):
    host = replace(HOST, reveal=policy)
    assert host.agree(ASKED).reveal == policy
    for asked in REVEALS:
        if REVEALS.index(asked) <= REVEALS.index(policy):
            assert host.agree(replace(ASKED, reveal=asked)).reveal == asked
        else:
            with pytest.raises(ConfigError, match=f"at most {policy}"):
                host.agree(replace(ASKED, reveal=asked))


def test_a_server_tells_the_label_unless_told_otherwise():
    assert HOST.agree(ASKED).reveal == "label"
