"""Both halves of a bundle or none: the server's is on disk before it says so, the client's only after that."""

import pytest
from parties import BACKENDS, make_parties, prepare
from scaled_artifact import relu_artifact

from pi_system.protocols.half import Readable
from pi_system.secure.party import ACK
from pi_system.secure.store import MaterialStore


class _Noting:
    """A channel end that notes the acknowledgement."""

    def __init__(self, name, inner, events):
        self.counters = inner.counters
        self._name, self._inner, self._events = name, inner, events

    def send(self, data: Readable) -> None:
        if bytes(memoryview(data).cast("B")[: len(ACK) + 1]) == ACK:
            self._events.append(f"{self._name} acknowledges")
        self._inner.send(data)

    def recv(self, nbytes: int) -> memoryview:
        return self._inner.recv(nbytes)

    def close(self) -> None:
        self._inner.close()


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_servers_half_is_on_disk_before_it_says_so(backend, tmp_path, monkeypatch):
    events = []
    put = MaterialStore.put

    def noted(store, material_id, bundle):
        put(store, material_id, bundle)
        events.append(f"{store._binding['role']} has stored")

    monkeypatch.setattr(MaterialStore, "put", noted)
    server, client = make_parties(backend, relu_artifact(0.1), tmp_path)
    prepare(server, client, 2, wrap=lambda role, channel: _Noting(role, channel, events))
    assert [event for event in events if event.startswith("server")] == ["server has stored", "server acknowledges"] * 2
    stored = [i for i, event in enumerate(events) if event == "client has stored"]
    assert [events[:at].count("server acknowledges") > number for number, at in enumerate(stored)] == [True, True]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_server_that_cannot_store_leaves_the_client_without_its_half(backend, tmp_path, monkeypatch):
    put = MaterialStore.put

    def full(store, material_id, bundle):
        if store._binding["role"] == "server":
            raise OSError("no space left on device")
        put(store, material_id, bundle)

    monkeypatch.setattr(MaterialStore, "put", full)
    server, client = make_parties(backend, relu_artifact(0.1), tmp_path)
    with pytest.raises(OSError, match="no space"):
        prepare(server, client, 1)
    assert client.available() == 0
