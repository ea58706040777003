"""The square's products from a dealer, and the client's offline message; see protocols/square.

server             dealer              client
a, z_0 from seed_0     <- both seeds ->     b from seed_1
                        z_1 = a b - z_0 -->
delta              <----------------- y_1 - b

a, z_0 and b are drawn again for the online phase; of the server's material delta is stored, of the client's offset.
"""

from pi_system.protocols.dealt import Received, Sent
from pi_system.protocols.gate import GateSpec
from pi_system.protocols.half import Readable
from pi_system.protocols.material import Material
from pi_system.protocols.ot.strings import carrier, pack_ring, unpack_message
from pi_system.protocols.square.cost import product_bits
from pi_system.protocols.square.gates import SquareClient, SquareServer
from pi_system.ring.carrier import Ring, RingArray
from pi_system.ring.prg import Prg


def deal(spec: GateSpec, seed0: bytes, seed1: bytes, salt: bytes) -> tuple[Sent, Sent]:
    """The dealer's correction for the client, z_1 packed to m bits, from both parties' gate seeds."""
    product = _stream(spec, seed0, "a") * _stream(spec, seed1, "b")
    return (), (pack_ring(product - _stream(spec, seed0, "z"), product_bits(spec)).data,)


def client_offline(
    spec: GateSpec, seed1: bytes, salt: bytes, share: RingArray, fresh_mask: RingArray, dealt: Received
) -> tuple[Material, Readable]:
    """The client: y_1^2 + 2 z_1 - r (count,) to keep, and delta for the server. Raises RemoteProtocolError."""
    products = unpack_message(dealt[0], spec.count, product_bits(spec), spec.ring_bits)
    delta = pack_ring(share - _stream(spec, seed1, "b"), product_bits(spec)).data
    return {"offset": Ring(spec.ring_bits).reduce(share * share + products + products - fresh_mask)}, delta


def server_offline(spec: GateSpec, seed0: bytes, salt: bytes, dealt: Received, message: memoryview) -> Material:
    """The server: delta (count,) from the client's message. Raises RemoteProtocolError."""
    return {"delta": unpack_message(message, spec.count, product_bits(spec), spec.ring_bits)}


def server_steps(spec: GateSpec, material: Material) -> SquareServer:
    """Party 0 with a and z_0 from its seed."""
    seed = material["seed"].tobytes()
    return SquareServer(spec, {name: _stream(spec, seed, name) for name in ("a", "z")} | {"delta": material["delta"]})


def client_steps(spec: GateSpec, material: Material) -> SquareClient:
    """Party 1 with b from its seed."""
    return SquareClient(spec, {"b": _stream(spec, material["seed"].tobytes(), "b"), "offset": material["offset"]})


def _stream(spec: GateSpec, seed: bytes, name: str) -> RingArray:
    """Uniform elements of m bits, in the ring's carrier."""
    drawn = Prg(seed).child("square", name).ring(spec.count, product_bits(spec))
    return drawn.astype(carrier(spec.ring_bits), copy=False)
