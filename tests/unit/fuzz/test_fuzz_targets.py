"""The fuzzers' Python targets on their seeds, on small changes of them and on noise: typed errors only.

``make sanitize`` goes on from here under atheris, guided by coverage.
"""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_artifact import tiny_artifact

from pi_system.artifact.store import public_from_bytes, public_to_bytes
from pi_system.errors import ArtifactDigestError

sys.path.insert(0, str(Path(__file__).parents[2] / "fuzz"))

import targets


@pytest.mark.parametrize("name", targets.TARGETS)
def test_seeds_are_what_the_parser_takes(name: str) -> None:
    """So that a fuzzer starts from inputs that pass the first checks."""
    good = 0
    for seed in targets.TARGETS[name].seeds():
        try:
            targets.TARGETS[name].parse(seed)
        except targets.PiError:  # type: ignore[attr-defined]
            continue
        good += 1
    assert good > 0


@pytest.mark.parametrize("name", targets.TARGETS)
def test_only_typed_errors_come_out(name: str) -> None:
    seeds = targets.TARGETS[name].seeds()

    @settings(max_examples=60)
    @given(st.sampled_from(seeds), st.integers(0, 1 << 20), st.integers(0, 3), st.binary(max_size=40))
    def check(seed: Any, at: Any, kind: Any, noise: Any) -> None:
        at %= len(seed) + 1
        changed = {
            0: noise,
            1: seed[:at],
            2: seed[:at] + noise + seed[at:],
            3: seed[:at] + noise + seed[at + len(noise) :],
        }[kind]
        targets.run(name, changed)

    check()


def test_a_digest_that_is_no_text_is_refused() -> None:
    """Found by reading beside the fuzzer: a lone surrogate in JSON ended in UnicodeEncodeError."""
    artifact = tiny_artifact()
    whole = public_to_bytes(artifact)
    size = int.from_bytes(whole[8:16], "little")
    content = json.loads(whole[16 : 16 + size])
    header = json.dumps(content | {"digest": "\ud800" * 64}).encode()
    with pytest.raises(ArtifactDigestError, match="ud800"):
        public_from_bytes(whole[:8] + len(header).to_bytes(8, "little") + header + whole[16 + size :])
