"""The online phase on a clock: the turns of secure/turns.py without values.

Both parties and both directions of the link are moments that move on. The server feeds a chunk, sends it and goes on;
the client answers what has arrived; a message takes its turn on the link, then half a round trip. What overlaps in the
real run overlaps here by the same rules, so nothing is said about overlap anywhere else.

Units: ``start``: an inference; ``gate``: setting up one gate at one party; ``hop``: a message from one process to the
other, beside the link; ``byte``: a payload byte handed to or taken from the transport by one party.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pi_system.channel.link import Link
from pi_system.channel.shaped import CHUNK_BYTES
from pi_system.cost.layers import NodeWork, RowWork, total
from pi_system.cost.work import START, Moment, Prices, Work, delayed, later, work
from pi_system.protocols.gate import GateSpec
from pi_system.protocols.record import GateProtocol
from pi_system.secure.schedule import Gates
from pi_system.secure.turns import chunks, turns

_GATE = work(gate=1)

StepWork = Mapping[str, Work]
"""Work of a chunk in one exchange, by the steps of protocols/phases.py."""


def transfer_ns(link: Link, nbytes: int) -> float:
    """Nanoseconds that a message keeps the link busy."""
    return 1e9 * link.transfer_s(nbytes)


@dataclass(slots=True)
class _Direction:
    """One direction of the link: when it is free again."""

    link: Link
    prices: Prices
    free: Moment = START

    def carry(self, sent: Moment, nbytes: int) -> Moment:
        """When a message handed over at ``sent`` has arrived."""
        arrived = self.prices.after(sent, work(hop=1))
        size = min(nbytes, CHUNK_BYTES)  # of a long message the first frame is on its way while the next is written
        while nbytes > 0:
            self.free = self.prices.after(later(self.free, arrived), work(transfer=transfer_ns(self.link, size)))
            nbytes -= size
            size = min(nbytes, CHUNK_BYTES)
        return self.prices.after(self.free, delayed(self.link, 1))


@dataclass(slots=True)
class Replay:
    """One inference; call ``begin``, ``node`` for every node in order, ``gate`` for what is revealed, ``end``."""

    gates: Gates
    link: Link
    prices: Prices
    server: Moment = START
    client: Moment = START
    down: _Direction = field(init=False)
    up: _Direction = field(init=False)

    def __post_init__(self) -> None:
        """Both directions are free."""
        self.down, self.up = (_Direction(self.link, self.prices) for _ in range(2))

    def begin(self, nbytes: int) -> None:
        """The client sends its masked picture."""
        self.client = self.prices.after(START, work(start=1, byte=nbytes))
        self.server = self.prices.after(self.up.carry(self.client, nbytes), work(byte=nbytes))

    def node(self, node: NodeWork) -> None:
        """One node of the graph."""
        self._compute(node.at_once)
        drawn = node.drawn
        for _, spec in node.gates:
            self.gate(spec, drawn)
            drawn = ()
        self._compute(node.after)

    def end(self, nbytes: int) -> Moment:
        """The server sends what is opened; when the client has it."""
        self.server = self.prices.after(self.server, work(byte=nbytes))
        self.client = later(self.client, self.down.carry(self.server, nbytes))
        return self.client

    def _compute(self, parts: tuple[RowWork, ...]) -> None:
        self.server = self.prices.after(self.server, total(parts))

    def gate(self, spec: GateSpec, drawn: tuple[RowWork, ...] = ()) -> None:
        """One gate, whose input the server computes meanwhile."""
        gate, feed = self.gates[spec.kind], total(drawn) / spec.count
        self.server = self.prices.after(self.server, _GATE)
        self.client = self.prices.after(self.client, _GATE)
        lengths = {length for _, length in chunks(spec.count)}
        pieces = {length: (_by_step(gate, spec, length), gate.exchanges(spec, length)) for length in lengths}
        arrived: dict[int, Moment] = {}
        for step, exchange, _, first, length in turns(spec.count, gate.round_trips):
            steps, (down, up) = pieces[length][0], pieces[length][1][exchange]
            if step == "send":
                fed = work() if exchange else feed * length
                arrived[first] = self._send(steps, down, fed)
            elif step == "reply":
                arrived[first] = self._reply(steps, (down, up), arrived[first])
            else:
                taken = steps["receive"] + work(byte=up)
                self.server = self.prices.after(later(self.server, arrived[first]), taken)

    def _send(self, steps: StepWork, nbytes: int, feed: Work) -> Moment:
        """The server makes a chunk's message and sends it; when it arrives."""
        self.server = self.prices.after(self.server, feed + steps["send"] + work(byte=nbytes))
        arrived = self.down.carry(self.server, nbytes)
        self.server = self.prices.after(self.server, steps["work"])
        return arrived

    def _reply(self, steps: StepWork, nbytes: tuple[int, int], arrived: Moment) -> Moment:
        """The client answers a chunk's message; when the answer arrives."""
        answer = steps["reply"] + work(byte=sum(nbytes))
        self.client = self.prices.after(later(self.client, arrived), answer)
        return self.up.carry(self.client, nbytes[1])


def _by_step(gate: GateProtocol, spec: GateSpec, count: int) -> StepWork:
    return {name: work(**units) for name, units in gate.work(spec, count).items()}
