"""The client: encrypts its masks, decrypts its shares."""

import copy
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from pi_system.errors import InputError, LocalProtocolError, RemoteProtocolError
from pi_system.kernels.he import SEED_BYTES
from pi_system.kernels.packing import Words, pack_bits, packed_bytes, unpack_bits
from pi_system.protocols.half import Half, Readable, Send, receive
from pi_system.protocols.linear_he.key import SecretKey
from pi_system.protocols.linear_he.plan import AnswerChunk, LinearPlan
from pi_system.ring.carrier import Ring, RingArray
from pi_system.ring.prg import Prg


class LinearHeClient:
    """One key, used for any number of inferences with any number of servers, by one thread at a time.

    Attributes:
        plan: the layers and their messages.
    """

    def __init__(self, plan: LinearPlan, prg: Prg):
        """Draw the key from ``prg``, which is never used for another."""
        self.plan = plan
        self._key = SecretKey(plan.params, prg)
        # Fresh pages for every ciphertext would cost as much as its arithmetic.
        self._halves = np.empty((2, len(plan.params.primes) * plan.params.degree), np.uint64)
        self._ring = Ring(plan.params.ring_bits)

    def of(self, plan: LinearPlan) -> "LinearHeClient":
        """The client with the same key for the plan of another number of pictures."""
        other = copy.copy(self)
        other.plan = plan
        return other

    def hello(self) -> npt.NDArray[np.uint8]:
        """First message of a session: a fresh encryption of zero, (plan.hello_bytes(),)."""
        return self._encrypted(np.zeros((1, self.plan.params.degree), np.uint64))

    def request(self, bundle: int, mask: RingArray) -> npt.NDArray[np.uint8]:
        """The message for a bundle: the encryption of its mask.

        Args:
            bundle: index into ``plan.packings``.
            mask: r of the bundle's source for the plan's pictures, as many ring elements as (pictures, C, H, W).

        Raises:
            InputError: a mask of another size.
        """
        packing = self.plan.packings[bundle]
        shape = self.plan.pictures, *packing.bundle.layers[0].mask_shape
        if mask.size != np.prod(shape):
            raise InputError(f"mask of {packing.bundle.layers[0].source}: expected {shape}, found {mask.shape}")
        groups = self._ring.reduce(mask).astype(np.uint64).reshape(-1, packing.pictures, *shape[1:])
        polynomials = np.stack([packing.encode(masks) for masks in groups])
        return self._encrypted(polynomials.reshape(-1, self.plan.params.degree))

    def _encrypted(self, polynomials: Words) -> npt.NDArray[np.uint8]:
        params = self.plan.params
        out = np.empty((len(polynomials), params.upload_bytes), np.uint8)
        first = self._halves[0].reshape(-1, params.degree)
        for row, polynomial in zip(out, polynomials, strict=True):
            row[:SEED_BYTES] = self._key.encrypt(polynomial, first)
            at = SEED_BYTES
            for residues, bits in zip(first, params.prime_bits, strict=True):
                end = at + packed_bytes(residues.size, bits)
                pack_bits(residues, bits, row[at:end])
                at = end
        return out.reshape(-1)

    def receive(self, bundle: int, chunk: AnswerChunk, message: Readable, share: RingArray) -> None:
        """Decrypt a message of the server into the client's share c_c of the chunk's layer.

        Args:
            bundle: index into ``plan.packings``.
            chunk: which answers these are.
            message: ``plan.chunk_bytes(bundle, chunk)`` bytes.
            share: (pictures, O, Ho, Wo), carrier; the part that the answers hold is written.

        Raises:
            RemoteProtocolError: a message of another size, or not of ciphertexts.
        """
        packing, data = self.plan.packings[bundle], np.frombuffer(message, np.uint8)
        if data.size != self.plan.chunk_bytes(bundle, chunk):
            raise RemoteProtocolError(
                f"answers: expected {self.plan.chunk_bytes(bundle, chunk)} bytes, found {data.size}"
            )
        at = 0
        for answer in chunk.answers:
            for number in range(self.plan.ciphertexts(bundle)):
                pictures, band = packing.part(number)
                end = at + self.plan.answer_bytes(bundle, chunk.layer, answer, band)
                positions = packing.positions(chunk.layer, answer, band)
                values = self._decrypt(data[at:end], positions)
                (low, high), (top, bottom) = packing.outputs(chunk.layer, answer), packing.rows(band)
                share[pictures, low:high, top:bottom] = values.reshape(-1, high - low, bottom - top, packing.out_cols)
                at = end

    def _decrypt(self, answer: npt.NDArray[np.uint8], positions: npt.NDArray[np.int32]) -> Words:
        """The values at ``positions``, the only ones of the first half that were sent."""
        params, at = self.plan.params, 0
        first = self._halves[0, : params.kept * positions.size].reshape(params.kept, -1)
        second = self._halves[1, : params.kept * params.degree].reshape(params.kept, -1)
        primes = np.array(params.primes[: params.kept], np.uint64)[:, None]
        for row, bits in zip(second, params.prime_bits, strict=False):
            at += _unpack(answer[at:], bits, row)
        for row, bits in zip(first, params.prime_bits, strict=False):
            at += _unpack(answer[at:], bits - params.drop_bits, row)
        first <<= np.uint64(params.drop_bits)
        if (first >= primes).any() or (second >= primes).any():
            raise RemoteProtocolError("answers: expected residues below the ciphertext modulus")
        for row, prime in zip(first, primes, strict=True):
            row += np.uint64((1 << params.drop_bits) >> 1)  # the middle of what the cut bits can be
            np.minimum(row, row - prime, out=row)
        return self._key.decrypt(first, second, positions)

    def setup(self) -> Half[None]:
        """The half that opens a session with a server: once a connection, before any ``run``."""
        yield Send(self.hello().data)

    def run(self, masks: Sequence[Mapping[str, RingArray]]) -> Half[list[dict[str, RingArray]]]:
        """The client's half for the plan's pictures; ``setup`` came before.

        Args:
            masks: picture by picture for each source its mask r, uniform in Z_{2^l}, used for this inference only.

        Returns:
            Picture by picture for each layer c_c, (O, Ho, Wo), carrier.

        Raises:
            LocalProtocolError: a mask is missing.
            RemoteProtocolError: the server sent something else than its answers.
        """
        if len(masks) != self.plan.pictures:
            raise LocalProtocolError(f"masks: expected those of {self.plan.pictures} pictures, found {len(masks)}")
        missing = sorted({layer.source for layer in self.plan.layers for one in masks if layer.source not in one})
        if missing:
            raise LocalProtocolError(f"masks: expected one for every source, found none for {missing[0]}")
        shares = {la.name: np.empty((len(masks), *la.share_shape), self._ring.dtype) for la in self.plan.layers}
        sent = 0
        for bundle, ahead in enumerate(self.plan.ahead):
            for number in range(sent, ahead):
                source = self.plan.packings[number].bundle.layers[0].source
                yield Send(self.request(number, np.stack([one[source] for one in masks])).data)
            sent = ahead
            yield from self._collect(bundle, shares)
        return [{name: share[picture] for name, share in shares.items()} for picture in range(len(masks))]

    def _collect(self, bundle: int, shares: dict[str, RingArray]) -> Half[None]:
        for chunk in self.plan.chunks(bundle):
            layer = self.plan.packings[bundle].bundle.layers[chunk.layer]
            message = yield from receive(self.plan.chunk_bytes(bundle, chunk))
            self.receive(bundle, chunk, message, shares[layer.name])


def _unpack(packed: npt.NDArray[np.uint8], bits: int, out: Words) -> int:
    """Read ``out.size`` values from the front; returns the bytes read."""
    size = packed_bytes(out.size, bits)
    unpack_bits(packed[:size], bits, out)
    return size
