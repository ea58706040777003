"""The server: multiplies encrypted masks by its weights and hides everything else about them.

An answer must tell the client W r - c_s and nothing more. Before it leaves, a product is

    re-randomised   + u (client's encryption of zero) + (0, e''), u ternary, e'' distributed as an encryption's error:
                    without it the second half, W times a polynomial the client knows, would be the weights in the clear
    flooded         + noise a - b on every coefficient sent, a and b uniform in [0, 2^f), f from params.py: the errors
                    left over from encryption, which depend on W, are hidden to 2^-40 an inference
    masked          - c_s, uniform; coefficients without an output are not sent
    reduced         divided by the primes that only the noise needed, and cut
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from pi_system.errors import ConfigError, FixedPointRangeError, RemoteProtocolError
from pi_system.kernels.cores import threads
from pi_system.kernels.he import SEED_BYTES, RlweContext, expand_seed, rlwe_paths
from pi_system.kernels.packing import Words, packed_bytes, unpack_bits
from pi_system.program.encoding import weight_norm_bits
from pi_system.protocols.half import Half, Readable, Send, receive
from pi_system.protocols.linear_he.plan import AnswerChunk, LinearPlan
from pi_system.ring.carrier import Ring, RingArray
from pi_system.ring.prg import Prg

# Transformed weights are kept, in memory or by KeptWeights, where all of a model's are no more than this; else each is
# transformed for every inference anew. More: disk, and a session's first inference waits for their digests, or the
# model's first for their writing, which takes longer than to transform them. Less: the others wait for transforms.
_CACHE_BYTES = 4 << 30

# Ciphertexts that weights which are not kept are multiplied with after one transform. More: memory. Less: transforms.
_SETS = 16


class KeptWeights(Protocol):
    """Transformed weights of one model by name, outside of memory. They are as secret as the weights."""

    def get(self, name: str) -> Words | None:
        """What was put under ``name``, None if nothing was or it is damaged; for several threads at once."""

    def put(self, name: str, words: Words) -> Words:
        """Keep ``words``; returns them as they are kept."""


def kept_weights(plan: LinearPlan, cache_bytes: int = _CACHE_BYTES) -> dict[str, int]:
    """Bytes of a plan's transformed weights by name, where they are kept (KeptWeights); plans may share some."""
    found = {
        _name(plan, bundle, chunk): plan.weight_bytes(bundle, chunk)
        for bundle in range(len(plan.packings))
        for chunk in plan.chunks(bundle)
    }
    return found if sum(found.values()) <= cache_bytes else {}


def _name(plan: LinearPlan, bundle: int, chunk: AnswerChunk) -> str:
    pictures = plan.packings[bundle].pictures
    several = f"-{pictures}" if pictures > 1 else ""
    return f"{rlwe_paths()[0]}-{bundle}-{chunk.layer}-{chunk.first}{several}"  # of another path the order is another


class LinearHeServer:
    """The weights of one model, transformed when they are needed first; shared by all sessions.

    Attributes:
        plan: the layers and their messages.
    """

    def __init__(
        self,
        plan: LinearPlan,
        weights: Mapping[str, npt.NDArray[Any]],
        *,
        cache_bytes: int = _CACHE_BYTES,
        kept: KeptWeights | None = None,
    ):
        """Nothing is transformed yet.

        Args:
            plan: of the model.
            weights: for each layer signed integers, (O, C / groups, kh, kw) or (O, C).
            cache_bytes: they are kept transformed if they take no more.
            kept: where they outlive this object, and from where each comes for its answers alone; None: in memory.

        Raises:
            ConfigError: weights are missing or have another shape.
            FixedPointRangeError: weights exceed the plan's norm_bits.
        """
        self.plan = plan
        self.context = RlweContext(plan.params.degree, plan.params.primes)
        degrees = {packing.weight_degree(i) for packing in plan.packings for i in range(len(packing.steps))}
        self._contexts = {degree: RlweContext(degree, plan.params.primes) for degree in degrees - {plan.params.degree}}
        self._contexts[plan.params.degree] = self.context
        self._weights = {layer.name: _checked(plan, layer.name, weights) for layer in plan.layers}
        self._kept, self._memory = kept, dict[tuple[int, AnswerChunk], Words]()
        self._keeps = bool(kept_weights(plan, cache_bytes))

    def _transformed(self, bundle: int, chunk: AnswerChunk) -> Words:
        """The weights of a chunk that is kept."""
        if self._kept is None:
            if (bundle, chunk) not in self._memory:
                self._memory[bundle, chunk] = self._transform(bundle, chunk)
            return self._memory[bundle, chunk]
        name = _name(self.plan, bundle, chunk)
        found = self._kept.get(name)
        if found is None or found.nbytes != self.plan.weight_bytes(bundle, chunk):
            found = self._kept.put(name, self._transform(bundle, chunk))
        return found

    def products(self, bundle: int, chunk: AnswerChunk, inputs: Words) -> Iterator[tuple[int, int, Words]]:
        """The products of a chunk: answer, number of the ciphertext, (2, primes, n) in the evaluation domain.

        Args:
            bundle: index into ``plan.packings``.
            chunk: of the bundle.
            inputs: the request's ciphertexts, of ``load_ciphertexts``.
        """
        packing = self.plan.packings[bundle]
        terms = packing.terms(chunk.layer, chunk.first)
        select = np.arange(self.plan.ciphertexts(bundle), dtype=np.int32)[:, None] * packing.inputs + terms
        if self._keeps:
            weights = self._transformed(bundle, chunk)
            for number, one in enumerate(select):  # one number at a time in memory
                for answer, product in zip(chunk.answers, self.context.multiply(weights, inputs, one), strict=True):
                    yield answer, number, product
            return
        narrow = self._contexts[packing.weight_degree(chunk.layer)]
        together = chunk.count if len(select) == 1 else 1
        for first in range(chunk.first, chunk.first + chunk.count, together):
            fresh = self._polynomials(bundle, AnswerChunk(chunk.layer, first, together))
            for at in range(0, len(select), _SETS):  # so many ciphertexts at a time in memory
                products = self.context.multiply_once(narrow, fresh, inputs, select[at : at + _SETS])
                for number, some in enumerate(products, at):
                    yield from ((first + i, number, product) for i, product in enumerate(some))

    def _transform(self, bundle: int, chunk: AnswerChunk) -> Words:
        context = self._contexts[self.plan.packings[bundle].weight_degree(chunk.layer)]
        return context.load_weights(self._polynomials(bundle, chunk))

    def _polynomials(self, bundle: int, chunk: AnswerChunk) -> npt.NDArray[np.int32]:
        packing = self.plan.packings[bundle]
        weight = self._weights[packing.bundle.layers[chunk.layer].name]
        return np.stack([packing.weight_polynomials(chunk.layer, answer, weight) for answer in chunk.answers])

    def shares(self, prg: Prg) -> dict[str, RingArray]:
        """c_s of every layer for the inference with this ``prg``: (O, Ho, Wo), carrier."""
        return {layer.name: linear_share(self.plan, layer.name, prg) for layer in self.plan.layers}

    def setup(self) -> "Half[LinearHeSession]":
        """The half that accepts a client's session: once a connection."""
        hello = yield from receive(self.plan.hello_bytes())
        return LinearHeSession(self, hello)


class LinearHeSession:
    """The server's side with one client."""

    def __init__(self, server: LinearHeServer, hello: Readable):
        """``hello`` is the client's encryption of zero. Raises RemoteProtocolError."""
        self._server, self._plan = server, server.plan
        self._zero = server.context.load_ciphertexts(self._ciphertexts(hello, 1))

    def of(self, server: LinearHeServer) -> "LinearHeSession":
        """The session with another server object for the same weights, whose plan is of another number of pictures."""
        other = copy.copy(self)
        other._server, other._plan = server, server.plan
        return other

    def answers(self, bundle: int, request: Readable, prgs: Sequence[Prg]) -> Iterator[memoryview]:
        """The messages that answer a request, one for each chunk of the bundle.

        Args:
            bundle: index into ``plan.packings``.
            request: ``plan.request_bytes(bundle)`` bytes.
            prgs: of the plan's pictures, never used for others.

        Raises:
            RemoteProtocolError: not the encryption of a mask.
        """
        packing, data = self._plan.packings[bundle], np.frombuffer(request, np.uint8)
        if data.size != self._plan.request_bytes(bundle):
            raise RemoteProtocolError(f"request: expected {self._plan.request_bytes(bundle)} bytes, found {data.size}")
        inputs = self._inputs(data.reshape(self._plan.ciphertexts(bundle), -1), packing.inputs)
        ring = Ring(self._plan.params.ring_bits)
        masks = [
            ring.reduce(np.negative([linear_share(self._plan, layer.name, prg) for prg in prgs])).astype(np.uint64)
            for layer in packing.bundle.layers
        ]

        def work(chunk: AnswerChunk) -> memoryview:
            return self._answer(bundle, chunk, inputs, masks[chunk.layer], prgs[0])

        chunks = self._plan.chunks(bundle)
        if (cores := threads()) == 1:
            yield from map(work, chunks)
        else:
            with ThreadPoolExecutor(cores) as pool:
                yield from pool.map(work, chunks)

    def _inputs(self, parts: npt.NDArray[np.uint8], count: int) -> Words:
        """The ciphertexts of a request of as many ``parts``, ``count`` each, in the evaluation domain."""
        context = self._server.context
        first = context.load_ciphertexts(self._ciphertexts(parts[0].data, count))
        if len(parts) == 1:
            return first
        inputs = np.empty((*first.shape[:2], len(parts) * count, *first.shape[3:]), np.uint64)
        inputs[:, :, :count] = first
        for number, part in enumerate(parts[1:], 1):
            loaded = context.load_ciphertexts(self._ciphertexts(part.data, count))
            inputs[:, :, number * count : (number + 1) * count] = loaded
        return inputs

    def _answer(self, bundle: int, chunk: AnswerChunk, inputs: Words, masks: Words, prg: Prg) -> memoryview:
        packing = self._plan.packings[bundle]
        noise = prg.child("linear_he.noise", bundle, chunk.layer, chunk.first)
        message: dict[tuple[int, int], npt.NDArray[np.uint8]] = {}
        for answer, number, product in self._server.products(bundle, chunk, inputs):
            (pictures, band), (low, high) = packing.part(number), packing.outputs(chunk.layer, answer)
            top, bottom = packing.rows(band)
            mask = np.ascontiguousarray(masks[pictures, low:high, top:bottom]).reshape(-1)
            positions = packing.positions(chunk.layer, answer, band)
            message[answer, number] = self._finished(product, positions, mask, noise)
        return np.concatenate([message[key] for key in sorted(message)]).data

    def _finished(
        self, product: Words, positions: npt.NDArray[np.int32], mask: Words, noise: Prg
    ) -> npt.NDArray[np.uint8]:
        random = np.empty((self._plan.params.degree, 2), np.uint64)
        flood = np.empty((positions.size, 4), np.uint64)
        noise.into(random)
        noise.into(flood)
        return self._server.context.finish(
            self._plan.params.finish, product, self._zero, random, positions, flood, mask
        )

    def _ciphertexts(self, message: Readable, count: int) -> Words:
        """Received ciphertexts, (count, 2, primes, n) residues."""
        params, data = self._plan.params, np.frombuffer(message, np.uint8)
        if data.size != count * params.upload_bytes:
            raise RemoteProtocolError(f"ciphertexts: expected {count * params.upload_bytes} bytes, found {data.size}")
        out = np.empty((count, 2, len(params.primes), params.degree), np.uint64)
        for row, ciphertext in zip(data.reshape(count, -1), out, strict=True):
            at = SEED_BYTES
            for residues, bits in zip(ciphertext[0], params.prime_bits, strict=True):
                end = at + packed_bytes(params.degree, bits)
                unpack_bits(row[at:end], bits, residues)
                at = end
            expand_seed(row[:SEED_BYTES], params.primes, ciphertext[1])
        if (out >= np.array(params.primes, np.uint64)[:, None]).any():
            raise RemoteProtocolError("ciphertexts: expected residues below the ciphertext modulus")
        return out

    def run(self, prgs: Sequence[Prg]) -> Half[list[dict[str, RingArray]]]:
        """The server's half for the plan's pictures with the client whose ``setup`` made this session.

        Args:
            prgs: one a picture, never used for another.

        Returns:
            Picture by picture for each layer c_s, (O, Ho, Wo), carrier.

        Raises:
            RemoteProtocolError: the client sent something else than its requests.
        """
        for bundle in range(len(self._plan.packings)):
            request = yield from receive(self._plan.request_bytes(bundle))
            for message in self.answers(bundle, request, prgs):
                yield Send(message)
        return [self._server.shares(prg) for prg in prgs]


def linear_share(plan: LinearPlan, name: str, prg: Prg) -> RingArray:
    """c_s of the layer ``name`` for the inference with this ``prg``: (O, Ho, Wo), carrier."""
    (shape,) = (layer.share_shape for layer in plan.layers if layer.name == name)
    drawn: RingArray = prg.child("linear_he.share", name).ring(shape, plan.params.ring_bits)
    return drawn


def _checked(plan: LinearPlan, name: str, weights: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """The weights of a layer, (O, C / groups, kh, kw) of at most 32 bits, after the checks of ``LinearHeServer``."""
    layer = next(layer for layer in plan.layers if layer.name == name)
    if name not in weights or weights[name].size != np.prod(layer.weight_shape):
        raise ConfigError(f"layer {name}: expected weights {layer.weight_shape}")
    found = weights[name].reshape(layer.weight_shape)
    if found.dtype.kind != "i":
        raise ConfigError(f"layer {name}: expected weights of signed integers, found {found.dtype}")
    if weight_norm_bits([found]) > plan.params.norm_bits:
        raise FixedPointRangeError(f"layer {name}: expected weights of norm 2^{plan.params.norm_bits} at most")
    return found if found.itemsize <= 4 else found.astype(np.int32)
