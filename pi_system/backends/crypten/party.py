"""Backend ``crypten``: CrypTen's own protocols over our channel, with correlations from our dealer.

It is the baseline every figure is compared with, and the cross-check of the other backends. The server (party 0) owns
the weights, the client (party 1) the picture; logits, scores or the label go to the client. What is CrypTen's:
sharing, encoding (64-bit ring, 16 fraction bits), every protocol and its costs, weights that are masked and opened anew
in every inference. What is ours: transport, dealer, randomness, gathering of active ReLU positions, and how label and
scores are made of its comparison. Pictures of one call run one after the other, each with its own material.

A process holds one runtime at a time, because CrypTen's state is global; ``close`` gives the process back.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pi_system.artifact.graph import Graph
from pi_system.artifact.model import Masks, Weights
from pi_system.backends.crypten.communicator import ChannelCommunicator, DryRunCommunicator
from pi_system.backends.crypten.dealer import SEED_BYTES
from pi_system.backends.crypten.environment import (
    SessionStreams,
    ZeroStream,
    claim_process,
    crypten_session,
    release_process,
)
from pi_system.backends.crypten.interpreter import CryptenInterpreter, active_indices, share_weights, to_grid
from pi_system.backends.crypten.library import crypten
from pi_system.backends.crypten.plan import CorrelationPlan, encode_plan
from pi_system.backends.crypten.provider import RecordingProvider, StoredProvider
from pi_system.backends.crypten.reveal import check_step, opened
from pi_system.backends.crypten.store import CorrelationStore
from pi_system.backends.crypten.stream import RingStream
from pi_system.channel.base import Channel, DealerLink
from pi_system.channel.profile import profiler_of
from pi_system.errors import ConfigError, InputError, InvariantError, LocalProtocolError
from pi_system.program.reveal import Reveal
from pi_system.ring.prg import Prg, fresh_seed


def correlation_plan(graph: Graph, masks: Masks, reveal: Reveal = "logits") -> CorrelationPlan:
    """What one inference takes from the dealer, by a dry run on shapes without data; the same for both parties.

    Raises LocalProtocolError if CrypTen is at work in this process.
    """
    provider, zeros = RecordingProvider(), ZeroStream()
    streams = SessionStreams(zeros, zeros, zeros)
    with crypten_session(DryRunCommunicator(0), provider, streams):
        interpreter = CryptenInterpreter(share_weights(graph, None, device="meta"), active_indices(graph, masks))
        picture = torch.empty((1, *graph.input.shape), device="meta")
        logits = interpreter.run(graph, crypten.cryptensor(picture, src=1))
        opened(logits, reveal, 0, 0)  # the step changes no shape
    return CorrelationPlan(items=tuple(provider.items))


class _Party:
    """What server and client share; ``rank`` is 0 or 1."""

    def __init__(
        self,
        rank: int,
        graph: Graph,
        weights: dict[str, torch.Tensor] | None,
        masks: Masks,
        *,
        insecure_provider: bool = False,
        reveal: Reveal = "logits",
        score_step_log2: int = 0,
    ) -> None:
        """``score_step_log2``: of the step of scores. Raises ConfigError where they cannot be had."""
        if reveal == "scores":
            check_step(score_step_log2)
        claim_process()
        self._open, self._dead = True, False
        try:
            self._rank, self._graph, self._weights = rank, graph, weights
            self._active = active_indices(graph, masks)
            self._insecure, self._reveal, self._step_log2 = insecure_provider, reveal, score_step_log2
            plan = CorrelationPlan(items=()) if insecure_provider else correlation_plan(graph, masks, reveal)
            self._request = encode_plan(plan)
            self._store = CorrelationStore(plan, is_server=rank == 0)
            self._streams: SessionStreams | None = None
            self._interpreter: CryptenInterpreter | None = None
        except BaseException:
            self.close()
            raise

    def available(self) -> int:
        """How many inferences the prepared, unused material is good for."""
        return self._store.available()

    def close(self) -> None:
        """Drop this runtime and let the process hold another; safe to call twice."""
        if self._open:
            self._open, self._dead = False, True
            release_process()

    def communicator(self, peer: Channel) -> Any:
        """The CrypTen communicator of the online phase."""
        return ChannelCommunicator(self._rank, peer)

    def prepare(self, count: int, peer: Channel, dealer: DealerLink) -> None:
        """Offline phase: the first time shared seeds and shares of the weights, then ``count`` inferences' material.

        Raises:
            ConfigError: count below 1.
            ChannelError: peer or dealer went away.
            RemoteProtocolError: one of them sent something else than expected.
        """
        if count < 1:
            raise ConfigError(f"count: expected at least 1, found {count}")
        with self._alive():
            if self._interpreter is None:
                self._share_setup(peer)
            if self._insecure:
                self._store.add_empty(count)
                return
            profiler_of(peer).enter("correlations")
            link = dealer(self._request)
            try:
                self._store.receive(count, link)
            finally:
                link.close()

    def _share_setup(self, peer: Channel) -> None:
        """Exchange the seeds of CrypTen's zero sharings and share the weights with them (no further message)."""
        mine = fresh_seed()
        peer.send(mine)
        theirs = bytes(peer.recv(SEED_BYTES))
        self._streams = SessionStreams(*(RingStream(Prg(seed)) for seed in (theirs, mine, fresh_seed())))
        with crypten_session(ChannelCommunicator(self._rank, peer), None, self._streams):
            shared = share_weights(self._graph, self._weights)
        self._interpreter = CryptenInterpreter(shared, self._active)

    def _classify(self, picture: torch.Tensor, name: str, peer: Channel) -> Any:
        """One picture (1, C, H, W), the client's secret: what is revealed at the client, None at the server."""
        if self._interpreter is None or self._streams is None:
            raise LocalProtocolError("infer: expected a prepared runtime, found none")
        material = self._store.use(name)
        provider: Any = crypten.mpc.provider.TrustedFirstParty() if self._insecure else StoredProvider(material)
        self._interpreter.watch = profiler_of(peer)
        with crypten_session(self.communicator(peer), provider, self._streams):
            logits = self._interpreter.run(self._graph, crypten.cryptensor(picture, src=1))
            if self._reveal != "logits":
                profiler_of(peer).enter(self._reveal)
            output = opened(logits, self._reveal, self._step_log2, self._rank)
            profiler_of(peer).enter("output")
            plain = output.get_plain_text(dst=1)
        if material:
            raise InvariantError(f"expected an inference to use its whole material, found {len(material)} left")
        return plain

    @contextmanager
    def _alive(self) -> Iterator[None]:
        """After any error the runtime is dead: the parties' states may differ."""
        if self._dead:
            raise LocalProtocolError("expected a live runtime, found one that failed or was closed before")
        try:
            yield
        except BaseException:
            self._dead = True
            raise


class CryptenServer(_Party):
    """The network owner's side; see ServerRuntime."""

    def __init__(
        self,
        graph: Graph,
        weights: Weights,
        masks: Masks,
        **options: Any,
    ) -> None:
        """Find the plan; weights (``<node>.weight``, ``<node>.bias``) and masks are those of a checked artifact.

        ``insecure_provider`` takes CrypTen's first-party provider instead of the dealer: the server then draws
        every mask and can read the picture. ``reveal`` is what the client learns; ``score_step_log2`` that of the
        artifact. Both parties must choose alike.

        Raises:
            ConfigError: scores are asked for whose step CrypTen's precision does not have.
            LocalProtocolError: this process holds a runtime already.
        """
        tensors = {name: torch.from_numpy(np.array(array)) for name, array in weights.items()}
        super().__init__(0, graph, tensors, masks, **options)

    def reserve(self, ids: tuple[str, ...]) -> None:
        """Take the material the client named: marked used, then expanded; see ServerRuntime."""
        with self._alive():
            self._store.take(ids)

    def infer(self, ids: tuple[str, ...], peer: Channel) -> None:
        """Online phase for ``len(ids)`` pictures."""
        with self._alive():
            for name in ids:
                self._classify(torch.zeros((1, *self._graph.input.shape)), name, peer)


class CryptenClient(_Party):
    """The picture owner's side; see ClientRuntime."""

    def __init__(self, graph: Graph, masks: Masks, **options: Any) -> None:
        """Find the plan; errors and options as for CryptenServer."""
        super().__init__(1, graph, None, masks, **options)

    def reserve(self, count: int) -> tuple[str, ...]:
        """Take material for ``count`` inferences: marked used, then expanded; see ClientRuntime."""
        ids = self._store.next_ids(count)  # an empty store is no reason to die: more can be prepared
        with self._alive():
            self._store.take(ids)
        return ids

    def infer(self, pictures: NDArray[np.float32], ids: tuple[str, ...], peer: Channel) -> NDArray[np.float64]:
        """Online phase: finite pictures (N, C, H, W), N = len(ids), to what is revealed; see ClientRuntime."""
        expected = (len(ids), *self._graph.input.shape)
        if pictures.shape != expected or not np.isfinite(pictures).all():
            raise InputError(f"pictures: expected finite values of shape {expected}, found {pictures.shape}")
        with self._alive():
            inputs = to_grid(torch.from_numpy(np.array(pictures, dtype=np.float32)))
            parts = [self._classify(inputs[i : i + 1], name, peer) for i, name in enumerate(ids)]
            values = np.concatenate([part.numpy() for part in parts]).astype(np.float64)
            return values * 2.0**self._step_log2 if self._reveal == "scores" else values
