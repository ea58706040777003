"""The walk that every role of the fast runtime makes over the graph: dealer, client and server, offline and online.

Every value is additively shared, and the client's share never depends on the picture: it is known offline
(the shape of Delphi, eprint 2020/050). Where the client's share is a mask that the dealer (or, without a
dealer, the encryption) has seen, it is *fresh*; only fresh masks may enter a weighted layer, because the
correlation W * r is made for them. A value that is not fresh is re-masked: the client sends the difference to a
fresh mask offline, which costs nothing online.

    value                    client's share
    input, ReLU output       fresh
    output of a square       fresh (at positions it passes on: if the operand is)
    conv, linear             not fresh (c_c of that layer)
    truncation               fresh
    add, pools, concat       fresh if all operands are
    selection, gather        as its operand; zero, which is public, has a zero mask
    affine                   as its operand: the bias is in the server's share

Max-pool is a tournament of max(a, b) = b + ReLU(a - b), so it runs on the same gate as ReLU does; so do label and
scores (secure/reveal.py).
A subclass says what its role does at a weighted layer, at a gate, at a truncation and at a re-masking.
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pi_system.artifact import graph as ops
from pi_system.artifact.ring_config import RingConfig
from pi_system.channel.profile import OFF, LayerWatch
from pi_system.program.encoding import pool_factor
from pi_system.program.interpreter import Interpreter
from pi_system.program.reveal import Reveal, score_shift
from pi_system.protocols.gate import GateKind, GateSpec
from pi_system.protocols.truncation import TruncationSpec
from pi_system.ring.carrier import Ring, RingArray
from pi_system.secure.reveal import Revealer
from pi_system.secure.values import Computed, Kept, Value, added, scaled

Positions = NDArray[np.int64] | None


@dataclass(frozen=True, slots=True)
class Share:
    """One role's view of a value: its share, zeros where the role holds none, and whether it is fresh."""

    data: Value
    fresh: bool


class SecureWalk(Interpreter[Share]):
    """One role's pass over the graph; see the module docstring."""

    party: int
    """0: the server's share, 1: the client's (the dealer follows the client's masks)."""
    _watch: LayerWatch = OFF
    """Is told of every value whose share this role has."""

    def __init__(self, graph: ops.Graph, ring: RingConfig, masks: Mapping[str, NDArray[np.bool_]]):
        """``masks``: the ReLU map, (C, H, W) booleans for every node of ``Graph.masked``."""
        self.graph, self.config, self.masks = graph, ring, masks
        self.ring = Ring(ring.ring_bits)
        self._refreshed: dict[str, RingArray] = {}

    @abstractmethod
    def _weighted(self, node: ops.WeightedNode, x: RingArray) -> Value:
        """This role's share of the layer's output, bias included, (N, *node.shape)."""

    @abstractmethod
    def _gate(self, name: str, spec: GateSpec, x: Value, positions: Positions) -> RingArray:
        """The activation ``spec.kind`` on the flat ``positions`` (None: all) of ``x``; (N, spec.count), fresh."""

    @abstractmethod
    def _truncate(self, name: str, spec: TruncationSpec, x: RingArray) -> RingArray:
        """Drop ``spec.shift`` bits of ``x`` (N, spec.count), no gate following; fresh."""

    @abstractmethod
    def _remask(self, name: str, x: RingArray) -> RingArray:
        """Replace the client's share of ``x`` (N, n) by a fresh mask."""

    def input(self, node: ops.Input, value: Share) -> Share:
        """The picture minus its mask at the server, the mask at the client."""
        self._watch.holds(node.name, value.data)
        return value

    def _step(self, node: ops.Node, operands: list[Share]) -> Share:
        out = super()._step(node, operands)
        self._watch.holds(node.name, out.data)
        return out

    def weighted(self, node: ops.WeightedNode, x: Share) -> Share:
        """Linear layer on a fresh value; layers that read the same value read it under the same mask."""
        source = node.inputs[0]
        if x.fresh:
            return Share(self._weighted(node, x.data.full()), False)
        if source not in self._refreshed:
            data = x.data.full()
            flat = self._remask(f"{source}/fresh", data.reshape(data.shape[0], -1))
            self._refreshed[source] = flat.reshape(data.shape)
        return Share(self._weighted(node, self._refreshed[source]), False)

    def relu(self, node: ops.Relu, x: Share) -> Share:
        """The gate on active positions; truncation and a fresh mask on the others."""
        shift = self.config.shift(node)
        unseen = self.config.unseen_bits(node)
        spec = self._spec(node.active, self.config.comparison_bits[node.name], shift, unseen_bits=unseen)
        if not node.masked:
            out = self._gate(node.name, spec, x.data, None)
            return Share(Computed(out.reshape(-1, *node.shape)), True)

        def passed(rest: RingArray) -> RingArray:
            return self._shifted(f"{node.name}/passive", rest, shift)

        return Share(self._partly(node, spec, x.data, passed), True)

    def square(self, node: ops.Square, x: Share) -> Share:
        """The square gate and the bias on active positions, a change of scale on the others.

        ``halvings`` is in the fraction bits.
        """
        spec = self._spec(node.count, self.config.comparison_bits[node.name], 0, "square")
        if node.active is None:
            out = self._biased(node, self._gate(node.name, spec, x.data, None), None)
            return Share(Computed(out.reshape(-1, *node.shape)), True)
        shift = -self.config.shift(node)
        return Share(self._partly(node, spec, x.data, lambda rest: scaled(rest, shift)), x.fresh)

    def select(self, node: ops.Select, x: Share) -> Share:
        """Zeros in both shares where the mask is not."""
        data = x.data.full()
        return Share(Computed(data * self.masks[node.name].astype(data.dtype)), x.fresh)

    def _partly(
        self, node: ops.Relu | ops.Square, spec: GateSpec, x: Value, passed: Callable[[RingArray], RingArray]
    ) -> Value:
        """The gate on the mask's positions, ``passed`` of (N, n) on the others."""
        mask = self.masks[node.name].reshape(-1)
        chosen, passive = np.flatnonzero(mask), np.flatnonzero(~mask)
        data = x if x.ready else Kept(x)  # the gate reads a part, then all is read
        out = self._biased(node, self._gate(node.name, spec, data, chosen), chosen)
        flat = data.full().reshape(out.shape[0], -1)
        merged = np.empty_like(flat)
        merged[:, chosen] = out
        merged[:, passive] = passed(flat[:, passive])
        return Computed(merged.reshape(-1, *node.shape))

    def _biased(self, node: ops.Relu | ops.Square | ops.Affine, out: RingArray, positions: Positions) -> RingArray:
        """``out`` (N, n) at ``positions`` (None: all) with the node's bias, which only the server has."""
        return out

    def add(self, node: ops.Add, a: Share, b: Share) -> Share:
        """Sum at the larger of the two scales."""
        shift_a, shift_b = self.config.alignments(node)
        return Share(added(a.data, shift_a, b.data, shift_b), a.fresh and b.fresh)

    def concat(self, node: ops.Concat, xs: list[Share]) -> Share:
        """Concatenation at the largest scale."""
        parts = [scaled(x.data.full(), up) for x, up in zip(xs, self.config.alignments(node), strict=True)]
        return Share(Computed(np.concatenate(parts, axis=1)), all(x.fresh for x in xs))

    def flatten(self, node: ops.Flatten, x: Share) -> Share:
        """One row a picture."""
        data = x.data.full()
        return Share(Computed(np.ascontiguousarray(data.reshape(data.shape[0], -1))), x.fresh)

    def avgpool(self, node: ops.AvgPool2d, x: Share) -> Share:
        """Window sums; a window that is no power of two also multiplies by its fixed-point reciprocal."""
        ph, pw = node.padding
        padded = np.pad(x.data.full(), ((0, 0), (0, 0), (ph, ph), (pw, pw)))
        total = sum((view for view in _windows(padded, node)), start=self.ring.element(0))
        factor = self.ring.element(pool_factor(node, self.config))
        return Share(Computed(np.ascontiguousarray(total * factor)), x.fresh)

    def maxpool(self, node: ops.MaxPool2d, x: Share) -> Share:
        """Tournament over the window; padding is the smallest value of the range."""
        bits = self.config.comparison_bits[node.name]
        (ph, pw), data = node.padding, x.data.full()
        unseen = self.config.unseen_bits(node)
        lowest = self._constant(-(1 << (bits - 2)) + (1 << unseen >> 1) + 1)
        padded = np.pad(data, ((0, 0), (0, 0), (ph, ph), (pw, pw)), constant_values=lowest)
        views = np.stack(list(_windows(padded, node)), axis=1)
        batch = views.shape[0]
        winner = self._tournament(node.name, views.reshape(batch, views.shape[1], -1), bits, unseen)
        return Share(Computed(winner.reshape(batch, *node.shape)), x.fresh)

    def gather(self, node: ops.Gather, x: Share) -> Share:
        """Both shares at the node's positions, zeros in both where there is none."""
        data, index = x.data.full(), node.indices()
        return Share(
            Computed(np.where(index < 0, self.ring.element(0), data.reshape(data.shape[0], -1)[:, index])), x.fresh
        )

    def affine(self, node: ops.Affine, x: Share) -> Share:
        """A sign in both shares, the bias in the server's."""
        data = x.data.full()
        signed = self.ring.element(0) - data if node.negated else data
        if node.biased:
            signed = self._biased(node, signed.reshape(signed.shape[0], -1), None)
        return Share(Computed(np.ascontiguousarray(signed.reshape(data.shape))), x.fresh)

    def truncate(self, node: ops.Truncate, x: Share) -> Share:
        """A truncation pair on every position."""
        data = x.data.full()
        out = self._shifted(node.name, data.reshape(data.shape[0], -1), self.config.shift(node))
        return Share(Computed(out.reshape(data.shape)), True)

    def _shifted(self, name: str, x: RingArray, shift: int) -> RingArray:
        """``x`` (N, n) without its low bits, if there are any to drop, under a fresh mask."""
        if x.shape[1] == 0:
            return x
        if shift == 0:
            return self._remask(name, x)
        spec = TruncationSpec(count=x.shape[1], ring_bits=self.config.ring_bits, shift=shift)
        return self._truncate(name, spec, x)

    def reveal(self, logits: RingArray, reveal: Reveal) -> RingArray:
        """Shares of what is opened of the logits (N, classes): the label (N, 1), scores or logits (N, classes)."""
        revealer = Revealer(self.config, self._shaped_gate, self._constant)
        if reveal == "label":
            return revealer.label(logits)
        return revealer.scores(logits, score_shift(self.graph, self.config)) if reveal == "scores" else logits

    def _shaped_gate(self, name: str, bits: int, shift: int, x: RingArray) -> RingArray:
        """An exact ReLU gate on all of x, in the shape of x."""
        flat = np.ascontiguousarray(x).reshape(x.shape[0], -1)
        return self._gate(name, self._spec(flat.shape[1], bits, shift, "exact"), Computed(flat), None).reshape(x.shape)

    def _tournament(self, name: str, x: RingArray, bits: int, unseen: int) -> RingArray:
        """Maximum over axis 1 of (N, m, n); ``bits`` hold any difference of two entries."""
        level = 0
        while x.shape[1] > 1:
            pairs = x.shape[1] // 2
            a, b = x[:, : 2 * pairs : 2], x[:, 1 : 2 * pairs : 2]
            flat = np.ascontiguousarray(a - b).reshape(x.shape[0], -1)
            spec = self._spec(flat.shape[1], bits, 0, unseen_bits=unseen)
            gate = self._gate(f"{name}/{level}", spec, Computed(flat), None)
            x = np.concatenate([b + gate.reshape(b.shape), x[:, 2 * pairs :]], axis=1)
            level += 1
        return x[:, 0]

    def _constant(self, value: int) -> Any:
        """A public constant: the server's share holds it, the client's is zero."""
        return self.ring.element(value if self.party == 0 else 0)

    def _spec(self, count: int, bits: int, shift: int, kind: GateKind = "relu", *, unseen_bits: int = 0) -> GateSpec:
        return GateSpec(
            kind=kind,
            count=count,
            ring_bits=self.config.ring_bits,
            comparison_bits=bits,
            shift=shift,
            unseen_bits=unseen_bits,
        )


def active(x: Value, positions: Positions) -> RingArray:
    """The elements (n,) of the only picture of ``x`` at ``positions``, contiguous."""
    flat = x.full().reshape(-1)
    return np.ascontiguousarray(flat if positions is None else flat[positions])


def _windows(padded: RingArray, node: ops.PoolNode) -> Any:
    """One strided view (N, C, OH, OW) for every offset in the window."""
    (kh, kw), (sh, sw), (_, oh, ow) = node.kernel, node.stride, node.shape
    for i in range(kh):
        for j in range(kw):
            yield padded[:, :, i : i + sh * (oh - 1) + 1 : sh, j : j + sw * (ow - 1) + 1 : sw]
