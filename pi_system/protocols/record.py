"""What a protocol of a gate offers to a backend: one record a protocol, whoever made its material."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from pi_system.protocols.gate import GateCost, GateSpec, GateWork, Units
from pi_system.protocols.material import Material, Shapes, check_material
from pi_system.protocols.phases import ClientGate, ClientSteps, ServerGate, ServerSteps
from pi_system.protocols.reach import UNLIMITED, Reach


@dataclass(frozen=True, slots=True, kw_only=True)
class GateProtocol:
    """A protocol online; OtGate and DealtGate add how its material is made.

    Attributes:
        name: of the protocol.
        round_trips: exchanges.
        message_bytes: (spec, exchange, count) to the size of the server's message about ``count`` elements.
        reply_bytes: of the client's.
        server_shapes: the arrays of the server's material that are stored.
        client_shapes: of the client's.
        server_steps: (spec, material) to party 0's steps.
        client_steps: to party 1's.
        work: (spec, count) to the work of a chunk of ``count`` elements in each exchange; of its kinds ``NAME_call`` is
            one call of a step and what it costs in Python, whatever the size of the chunk.
        prepared: (spec) to the work of preparing a gate offline, beside its bytes and OTs.
        reach: the widest comparison it takes; a gate beyond it is a ConfigError.
    """

    name: str
    round_trips: int
    message_bytes: Callable[[GateSpec, int, int], int]
    reply_bytes: Callable[[GateSpec, int, int], int]
    server_shapes: Callable[[GateSpec], Shapes]
    client_shapes: Callable[[GateSpec], Shapes]
    server_steps: Callable[[GateSpec, Material], ServerSteps]
    client_steps: Callable[[GateSpec, Material], ClientSteps]
    work: Callable[[GateSpec, int], GateWork]
    prepared: Callable[[GateSpec], Units]
    reach: Reach = UNLIMITED

    def server_gate(self, spec: GateSpec, material: Material) -> ServerGate:
        """Party 0's gate. Raises CorrelationMismatchError."""
        check_material(material, self.server_shapes(spec))
        reply_bytes = partial(self.reply_bytes, spec)
        return ServerGate(spec, self.server_steps(spec, material), self.round_trips, reply_bytes)

    def client_gate(self, spec: GateSpec, material: Material) -> ClientGate:
        """Party 1's gate. Raises CorrelationMismatchError."""
        check_material(material, self.client_shapes(spec))
        message_bytes = partial(self.message_bytes, spec)
        return ClientGate(spec, self.client_steps(spec, material), self.round_trips, message_bytes)

    def exchanges(self, spec: GateSpec, count: int) -> list[tuple[int, int]]:
        """Bytes (down, up) of every exchange about ``count`` elements."""
        return [
            (self.message_bytes(spec, exchange, count), self.reply_bytes(spec, exchange, count))
            for exchange in range(self.round_trips)
        ]

    def cost(self, spec: GateSpec) -> GateCost:
        """Declared online cost; tests hold it against the channel's counters."""
        down, up = zip(*self.exchanges(spec, spec.count), strict=True)
        return GateCost(round_trips=self.round_trips, server_to_client_bytes=sum(down), client_to_server_bytes=sum(up))
