"""What a server does not offer is refused before anything is made, whatever else the package could do."""

from dataclasses import replace
from pathlib import Path

import pytest
from tiny_artifact import tiny_artifact

from pi_system.errors import ArtifactDigestError, ConfigError
from pi_system.rpc.server_session import SessionHost
from pi_system.rpc.session_config import SessionConfig

HOST = SessionHost(artifact=tiny_artifact(), store_dir=Path("unused"), dealer=None, allowed=("gmw",))
ASKED = SessionConfig(backend="gmw", artifact_digest="", client_id=bytes(16))


def test_what_is_offered_is_taken():
    HOST.check(ASKED)
    HOST.check(replace(ASKED, artifact_digest=HOST.artifact.public.digest))


@pytest.mark.parametrize("backend", ["gc", "fss", "crypten", "none", ""])
def test_a_backend_of_the_package_that_is_not_allowed_is_refused(backend):
    with pytest.raises(ConfigError, match="allows"):
        HOST.check(replace(ASKED, backend=backend))


def test_an_insecure_provider_takes_both_parties():
    with pytest.raises(ConfigError, match="insecure-provider"):
        HOST.check(replace(ASKED, insecure_provider=True))
    replace(HOST, insecure_provider=True).check(replace(ASKED, insecure_provider=True))


@pytest.mark.parametrize("digest", ["0" * 64, "x"])
def test_another_model_is_refused(digest):
    with pytest.raises(ArtifactDigestError):
        HOST.check(replace(ASKED, artifact_digest=digest))
