"""CrypTen's global state, fenced: its communicator, provider and generators exist only inside ``crypten_session``.

CrypTen keeps all three in module and class attributes, so one process can be one party of one session. Its random
functions are replaced for good, when this module is imported: masks come from a RingStream, and a call that reaches
for a torch.Generator (not a cryptographic one) is an error.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from pi_system.backends.crypten.library import crypten
from pi_system.errors import InvariantError, LocalProtocolError


class TensorStream(Protocol):
    """Where CrypTen's random tensors come from: a RingStream, or zeros in a dry run."""

    def tensor(self, size: Sequence[int], bits: int = 64) -> torch.Tensor:
        """int64 of shape ``size``."""


class ZeroStream:
    """Tensors without data on torch's meta device: what a dry run computes its shapes with."""

    def tensor(self, size: Sequence[int], bits: int = 64) -> torch.Tensor:
        """A shape without data."""
        return torch.empty(tuple(size), dtype=torch.int64, device="meta")


@dataclass(frozen=True, slots=True)
class SessionStreams:
    """A party's generators: ``previous`` and ``following`` are shared with the peer, crossed; ``local`` is not."""

    previous: TensorStream
    following: TensorStream
    local: TensorStream


def _stream_of(generator: object) -> TensorStream:
    if generator is None:
        generator = crypten.generators["local"].get("stream")
    if generator is None or isinstance(generator, torch.Generator):
        raise InvariantError("expected a stream of pi_system.ring.prg, found a generator of torch")
    return generator  # type: ignore[return-value]


def _ring_element(
    size: Sequence[int], ring_size: int = 2**64, generator: object = None, **kwargs: object
) -> torch.Tensor:
    if ring_size != 2**64:
        raise InvariantError(f"expected ring size 2**64, found {ring_size}")
    return _stream_of(generator).tensor(size)


def _kbit_tensor(
    size: Sequence[int], bitlength: int | None = None, generator: object = None, **kwargs: object
) -> torch.Tensor:
    return _stream_of(generator).tensor(size, bits=64 if bitlength is None else bitlength)


def _replace_randomness() -> None:
    provider = crypten.mpc.provider
    for module in (
        crypten.common.rng,
        crypten.mpc.primitives.arithmetic,
        crypten.mpc.primitives.binary,
        provider.tfp_provider,
        provider.ttp_provider,
    ):
        for name, function in (
            ("generate_random_ring_element", _ring_element),
            ("generate_kbit_random_tensor", _kbit_tensor),
        ):
            if hasattr(module, name):
                setattr(module, name, function)


def _no_provider() -> Any:
    raise LocalProtocolError("expected CrypTen inside a session, found a call outside of one")


_replace_randomness()
crypten.mpc.get_default_provider = _no_provider
_Distributed = crypten.communicator.DistributedCommunicator
# CrypTen's own test asks torch.distributed, which we do not use.
_Distributed.is_initialized = classmethod(lambda cls: cls.instance is not None)

_session = threading.Lock()
_process = threading.Lock()


def claim_process() -> None:
    """Reserve this process for one runtime. Raises LocalProtocolError when another one has it."""
    if not _process.acquire(blocking=False):
        raise LocalProtocolError("expected one CrypTen runtime in this process, found a second; close the first")


def release_process() -> None:
    """Give the process back, after ``claim_process``."""
    _process.release()


@contextmanager
def crypten_session(communicator: Any, provider: Any, streams: SessionStreams) -> Iterator[None]:
    """Run CrypTen with this communicator, provider and randomness, without autograd, and clear them afterwards."""
    if not _session.acquire(blocking=False):
        raise LocalProtocolError("expected CrypTen to be free in this process, found a session at work")
    try:
        _Distributed.instance = communicator
        crypten.mpc.get_default_provider = lambda: provider
        devices = (torch.device("cpu"), torch.device("meta"))
        crypten.generators["prev"] = dict.fromkeys(devices, streams.previous)
        crypten.generators["next"] = dict.fromkeys(devices, streams.following)
        crypten.generators["local"] = {"stream": streams.local}
        with crypten.no_grad():
            yield
    finally:
        _Distributed.instance = None
        crypten.mpc.get_default_provider = _no_provider
        crypten.generators.update({name: {} for name in crypten.generators})
        _session.release()
