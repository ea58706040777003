"""A server tidies its store by itself, and a store that cannot be tidied ends nothing."""

import logging
import time
from pathlib import Path

import pytest
from bundles import put

from pi_server import upkeep
from pi_system.errors import StorageError
from pi_system.secure.layout import Layout
from pi_system.secure.store import MaterialStore


def test_what_expired_goes_when_a_server_starts(tmp_path: Path) -> None:
    store = MaterialStore(
        tmp_path, role="server", digest="d" * 64, backend="gmw", pairing_id="ab" * 16, limit_bytes=1 << 30
    )
    store.index.set(keep_s=0.01)
    put(store, "1" * 32, Layout.of([("seed", 16)]))
    time.sleep(0.05)
    assert store.index.held() > 0
    upkeep.start_upkeep(tmp_path)
    until_s = time.monotonic() + 20
    while store.index.held():
        assert time.monotonic() < until_s
        time.sleep(0.02)


def test_a_store_that_cannot_be_tidied_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tries = []

    def fail(*_: object) -> None:
        tries.append(1)
        if len(tries) == 3:
            raise SystemExit  # ends the loop, which nothing else does
        raise StorageError("storage: No space left on device")

    monkeypatch.setattr(upkeep, "tidy", fail)
    monkeypatch.setattr(upkeep, "_EVERY_S", 0.01)
    with caplog.at_level(logging.ERROR), pytest.raises(SystemExit):
        upkeep._keep(tmp_path)
    assert caplog.text.count("store: cannot be tidied: storage: No space left") == 2
