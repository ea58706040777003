"""What both parties compute alike from the public shapes: parameters, packings, and the size of every message."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from pi_system.errors import ConfigError
from pi_system.protocols.linear_he.layer import LinearShape
from pi_system.protocols.linear_he.packing import LayerBundle, Packing
from pi_system.protocols.linear_he.params import HeParams, derive_params, worst_norm_bits

# Requests that the client may have sent beyond the one whose answers it reads next: bundles, whatever their size, so
# that the server never waits; and as many more as fit in these bytes with their answers, so that the layers of most
# networks share a round trip. More: memory, and messages that must find room on their way (rpc/frames.py).
_AHEAD = 2
_AHEAD_BYTES = 32 << 20

# Transformed weights of one message, and its products before they are cut. More: longer streams from memory; less:
# answers leave earlier, and a server needs less memory.
_CHUNK_BYTES = 16 << 20

# Bytes of a ciphertext that as many bytes of transformed weights are worth. More: messages grow. Less: a server
# transforms and keeps the weights of 1x1 convolutions at two to sixteen times the size.
_WEIGHT_PRICE = 2**-10


@dataclass(frozen=True, slots=True)
class AnswerChunk:
    """Answers of one layer that go in one message, each for all bands; they need the same input polynomials.

    Attributes:
        layer: index in the bundle.
        first: first answer.
        count: how many, in each band.
    """

    layer: int
    first: int
    count: int

    @property
    def answers(self) -> range:
        """Indices of the answers."""
        return range(self.first, self.first + self.count)


@dataclass(frozen=True)
class LinearPlan:
    """Everything public about the linear layers of one model.

    Attributes:
        layers: their shapes, unique names.
        params: of the encryption.
        packings: one for each bundle of layers, in the order of the exchange.
        pictures: that are prepared together; a bundle's ciphertexts hold as many of them at a time as its packing says.
    """

    layers: tuple[LinearShape, ...]
    params: HeParams
    packings: tuple[Packing, ...]
    pictures: int = 1

    @cached_property
    def mean_outputs(self) -> float:
        """How many outputs an answer has, in the mean over all coefficients that hold one."""
        squares = sum(
            (high - low) ** 2 * math.prod(layer.out_size)
            for packing in self.packings
            for index, layer in enumerate(packing.bundle.layers)
            for low, high in (packing.outputs(index, answer) for answer in range(packing.answers[index]))
        )
        return squares / self.params.coefficients

    def memory_bytes(self) -> int:
        """Of masks and shares of all layers, and of the largest request as the server reads it: evaluated residues."""
        elements = sum(math.prod(la.mask_shape) + 2 * math.prod(la.share_shape) for la in self.layers)
        residues = 2 * len(self.params.primes) * self.params.degree
        request = max(self.ciphertexts(b) * packing.inputs for b, packing in enumerate(self.packings))
        return 8 * (self.pictures * elements + request * residues)

    def hello_bytes(self) -> int:
        """The client's first message of a session: an encryption of zero."""
        return self.params.upload_bytes

    def ciphertexts(self, bundle: int) -> int:
        """How many ciphertexts one input polynomial, or answer, of a bundle is: pictures side by side, and bands."""
        packing = self.packings[bundle]
        return self.pictures // packing.pictures * packing.bands

    def request_bytes(self, bundle: int) -> int:
        """The client's message for a bundle."""
        return self.ciphertexts(bundle) * self.packings[bundle].inputs * self.params.upload_bytes

    def chunks(self, bundle: int) -> tuple[AnswerChunk, ...]:
        """The server's messages for a bundle, in order."""
        return self._chunks[bundle]

    @cached_property
    def _chunks(self) -> tuple[tuple[AnswerChunk, ...], ...]:
        return tuple(tuple(self._cut(bundle)) for bundle in range(len(self.packings)))

    def _cut(self, bundle: int) -> Iterator[AnswerChunk]:
        packing = self.packings[bundle]
        for layer, total in enumerate(packing.answers):
            first = 0
            terms = [tuple(packing.terms(layer, a).tolist()) for a in range(total)]
            for end in range(1, total + 1):
                larger = AnswerChunk(layer, first, end - first + 1)
                full = end < total and self._working_bytes(bundle, larger) > _CHUNK_BYTES
                if end == total or full or terms[end] != terms[first]:
                    yield AnswerChunk(layer, first, end - first)
                    first = end

    @cached_property
    def ahead(self) -> tuple[int, ...]:
        """For every bundle how many requests the client has sent when it reads the answers to this one."""
        count = len(self.packings)
        sizes = [
            self.request_bytes(b) + sum(self.chunk_bytes(b, chunk) for chunk in self.chunks(b)) for b in range(count)
        ]
        sent, found = 0, []
        for bundle in range(count):
            while sent < count and (sent <= bundle + _AHEAD or sum(sizes[bundle : sent + 1]) <= _AHEAD_BYTES):
                sent += 1
            found.append(sent)
        return tuple(found)

    def weight_bytes(self, bundle: int, chunk: AnswerChunk) -> int:
        """Memory of a chunk's transformed weights."""
        packing = self.packings[bundle]
        words = packing.terms(chunk.layer, chunk.first).size * packing.weight_degree(chunk.layer)
        return chunk.count * words * 8 * len(self.params.primes)

    def _working_bytes(self, bundle: int, chunk: AnswerChunk) -> int:
        """What the weights of a chunk take, or the products with one ciphertext of each input: whichever is more."""
        products = chunk.count * 2 * 8 * len(self.params.primes) * self.params.degree
        return max(self.weight_bytes(bundle, chunk), products)

    def answer_bytes(self, bundle: int, layer: int, answer: int, band: int) -> int:
        """One ciphertext of an answer, without the coefficients that hold no output."""
        packing = self.packings[bundle]
        low, high = packing.outputs(layer, answer)
        top, bottom = packing.rows(band)
        used = packing.pictures * (high - low) * (bottom - top) * packing.out_cols
        return self.params.finish.answer_bytes(self.params.degree, used)

    def chunk_bytes(self, bundle: int, chunk: AnswerChunk) -> int:
        """The server's message for a chunk."""
        packing = self.packings[bundle]
        once = sum(
            self.answer_bytes(bundle, chunk.layer, answer, band)
            for band in range(packing.bands)
            for answer in chunk.answers
        )
        return self.pictures // packing.pictures * once


def plan_linear(layers: Sequence[LinearShape], ring_bits: int, norm_bits: int | None = None) -> LinearPlan:
    """Plan the linear layers of a model, for one picture.

    Args:
        layers: in execution order.
        ring_bits: l, 16..64.
        norm_bits: public bound, log2, on the Euclidean norm of the weights that one output reads; by default what
            weights below 2^15 can reach. A closer bound makes smaller ciphertexts.

    Raises:
        ConfigError: no layers, names twice, sources of several shapes, or parameters out of reach.
    """
    if not layers or len({layer.name for layer in layers}) != len(layers):
        raise ConfigError(f"layers: expected one or more with different names, found {len(layers)}")
    norm_bits = worst_norm_bits(layers) if norm_bits is None else norm_bits
    bundles, outputs = _bundles(layers), 1
    while True:  # how many outputs an answer has follows from the sizes of ciphertexts, and they from it
        params = derive_params(ring_bits, norm_bits, sum(math.prod(la.share_shape) for la in layers), outputs)
        plan = LinearPlan(tuple(layers), params, tuple(_packing(bundle, params, 1) for bundle in bundles))
        if plan.mean_outputs <= outputs:
            return plan
        outputs = 1 << math.ceil(math.log2(plan.mean_outputs))


def plan_together(alone: LinearPlan, pictures: int) -> LinearPlan:
    """The plan for several pictures under the parameters, and so the key, of one picture's.

    Raises:
        ConfigError: not a power of two, or answers would have more outputs than the parameters are made for.
    """
    if pictures < 1 or pictures & (pictures - 1):
        raise ConfigError(f"pictures: expected a power of two, found {pictures}")
    packings = tuple(_packing(packing.bundle, alone.params, pictures) for packing in alone.packings)
    plan = LinearPlan(alone.layers, alone.params, packings, pictures)
    if plan.mean_outputs > alone.params.outputs:
        found = f"{plan.mean_outputs:.1f} in an answer of {pictures} pictures"
        raise ConfigError(f"outputs: expected at most {alone.params.outputs} in the mean, found {found}")
    return plan


def _bundles(layers: Sequence[LinearShape]) -> list[LayerBundle]:
    shared: dict[object, list[LinearShape]] = {}
    shapes: dict[str, tuple[int, int, int]] = {}
    for layer in layers:
        if shapes.setdefault(layer.source, layer.mask_shape) != layer.mask_shape:
            raise ConfigError(f"source {layer.source}: expected one shape, found {layer.mask_shape}")
        shared.setdefault((layer.source, layer.stride, layer.out_size), []).append(layer)
    return [LayerBundle(tuple(group)) for group in shared.values()]


def _packing(bundle: LayerBundle, params: HeParams, pictures: int) -> Packing:
    """The cheapest a picture; the fewer pictures side by side on a tie."""
    costs = params.upload_bytes, params.finish.answer_bytes(params.degree, 0)
    weight = 8 * len(params.primes) * _WEIGHT_PRICE
    best = Packing.cheapest(bundle, params.degree, *costs, weight_cost=weight)
    for side_by_side in (1 << k for k in range(1, pictures.bit_length())):
        try:
            found = Packing.cheapest(bundle, params.degree, *costs, side_by_side, weight)
        except ConfigError:
            break
        if found.cost(*costs) / side_by_side < best.cost(*costs) / best.pictures:
            best = found
    return best
