"""A round: both parties send planes and words at once, then both receive; sizes are those of the plan."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pi_system.kernels.packing import Bytes
from pi_system.protocols.half import Half, Send, receive_array
from pi_system.protocols.material import padded
from pi_system.protocols.ot.strings import pack_ring, unpack_ring
from pi_system.protocols.relu_table.shape import Parts, Shape
from pi_system.ring.carrier import RingArray


@dataclass(slots=True)
class Party:
    """One party in the rounds of one gate.

    Attributes:
        shape: the gate's plan.
        role: 0 the server, 1 the client.
    """

    shape: Shape
    role: int
    _left: Iterator[tuple[Parts, Parts]]

    @classmethod
    def of(cls, shape: Shape, role: int) -> "Party":
        """Before the first round."""
        return cls(shape, role, zip(shape.rounds(role), shape.rounds(1 - role), strict=True))

    @property
    def count(self) -> int:
        """Elements, whole blocks."""
        return padded(self.shape.spec.count)

    def swap(self, planes: Sequence[Bytes], words: Sequence[RingArray] = ()) -> Half[tuple[Bytes, list[RingArray]]]:
        """The next round: send what is given, (n / 8,) and (n,) each; what the peer sent, planes as rows.

        Raises RemoteProtocolError for a message of another size.
        """
        mine, theirs = next(self._left)
        packed = [pack_ring(word, bits) for word, bits in zip(words, mine.words, strict=True)]
        yield Send(np.concatenate([*planes, *packed]).tobytes())
        data = yield from receive_array((theirs.nbytes(self.count),), np.uint8)
        at, found = theirs.planes * self.count // 8, []
        rows = data[:at].reshape(theirs.planes, self.count // 8)
        for bits in theirs.words:
            end = at + Parts(0, (bits,)).nbytes(self.count)
            found.append(unpack_ring(data[at:end], self.count, bits, self.shape.spec.ring_bits))
            at = end
        return rows, found
