"""What a gate prepared by a dealer offers to a backend besides its online part: one record of functions a protocol.

    server                       dealer                       client
    seed_0, salt         <-                  ->               seed_1, salt     once a picture
    deal's for the server <-     deal        -> deal's for the client
    server_offline       <---------------------------------- client_offline's message

Each function is of one party and does no IO: messages in, messages and material out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pi_system.protocols.gate import GateSpec
from pi_system.protocols.half import Readable
from pi_system.protocols.material import Material
from pi_system.protocols.record import GateProtocol
from pi_system.ring.carrier import RingArray

Sent = Sequence[Readable]
"""Messages in the order in which they are sent."""
Received = Sequence[memoryview]
"""Messages in the order in which they came, of the sizes that were asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DealtGate(GateProtocol):
    """A protocol.

    Its steps' material holds besides what is stored: "seed", the party's of this gate, "salt", 16 bytes each, and where
    ``client_takes_mask`` the client's "mask" r (count,).

    Attributes:
        client_takes_mask: the client needs r online; else it is in what it stores.
        deal: (spec, seed_0, seed_1, salt) to the dealer's messages: for the server, for the client.
        dealt_bytes: (spec) to the sizes of both.
        client_offline: (spec, seed_1, salt, y_1, r, dealt) to what the client stores, and its message to the server.
        client_message_bytes: (spec) to the message's size.
        server_offline: (spec, seed_0, salt, dealt, message) to what the server stores.
    """

    client_takes_mask: bool
    deal: Callable[[GateSpec, bytes, bytes, bytes], tuple[Sent, Sent]]
    dealt_bytes: Callable[[GateSpec], tuple[Sequence[int], Sequence[int]]]
    client_offline: Callable[[GateSpec, bytes, bytes, RingArray, RingArray, Received], tuple[Material, Readable]]
    client_message_bytes: Callable[[GateSpec], int]
    server_offline: Callable[[GateSpec, bytes, bytes, Received, memoryview], Material]
