"""Both parties' offline phase: OTs of a gate, then its rounds, which may run beside those of other gates.

    server                                                                       client
    OTs of every chunk, both directions (products.py)                       <->
    k rounds of the adder (adder.py)                                        <->  in the first also y_1 + b mod 2^k
    corrections; carry, wrap, top bit and rho to the ring; first doubling   <->
    products of rho; second doubling                                        <->
    the other doublings (doubling.py)                                       <->

In every round both send, then both receive.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pi_system.errors import InvariantError
from pi_system.kernels.packing import Bytes
from pi_system.protocols.gate import GateSpec
from pi_system.protocols.half import Half
from pi_system.protocols.material import BLOCK, Material, padded_shares
from pi_system.protocols.ot import OtParty
from pi_system.protocols.relu_table.adder import Sums, add
from pi_system.protocols.relu_table.doubling import Doubling
from pi_system.protocols.relu_table.products import Chosen, Offered, take
from pi_system.protocols.relu_table.ring_words import RhoProducts, RingBits, ring_bits_of
from pi_system.protocols.relu_table.rounds import Party
from pi_system.protocols.relu_table.shape import shape_of
from pi_system.ring.carrier import RingArray
from pi_system.ring.prg import Prg


def offline_server(spec: GateSpec, ots: OtParty, prg: Prg) -> Half[Material]:
    """The server's material; see protocols/relu_table. Raises RemoteProtocolError, ConfigError (n is too large)."""
    return (yield from (yield from begin_server(spec, ots, prg)))


def offline_client(spec: GateSpec, y_share: RingArray, fresh_mask: RingArray, ots: OtParty, prg: Prg) -> Half[Material]:
    """The client's; likewise."""
    return (yield from (yield from begin_client(spec, y_share, fresh_mask, ots, prg)))


def begin_server(spec: GateSpec, ots: OtParty, prg: Prg) -> Half[Half[Material]]:
    """The server's OTs; what is left are rounds. All that it draws is drawn by OTs."""
    party = Party.of(shape_of(spec), 0)
    return _server(party, *(yield from take(party.shape, 0, ots)))


def begin_client(
    spec: GateSpec, y_share: NDArray[Any], fresh_mask: NDArray[Any], ots: OtParty, prg: Prg
) -> Half[Half[Material]]:
    """The client's OTs; what is left are rounds. All that it draws is drawn by OTs."""
    share, mask = padded_shares(spec.count, y_share, fresh_mask)
    party = Party.of(shape_of(spec), 1)
    return _client(party, share, mask, *(yield from take(party.shape, 1, ots)))


def _server(party: Party, offered: Offered, chosen: Chosen) -> Half[Material]:
    spec = party.shape.spec
    sums = yield from add(party, offered, chosen, None)
    if sums.masked is None:
        raise InvariantError("table: expected the client's masked share, found none")
    made = yield from _rest(party, sums, offered, chosen)
    wide, low = np.uint32 if spec.comparison_bits <= 32 else np.uint64, np.uint64((1 << spec.comparison_bits) - 1)
    key, shift = [_by_block(made.table)], np.uint64(spec.shift)
    if sums.other is not None:  # d = a' - a, a multiple of 2^t
        offsets = (sums.other - (sums.mask >> shift) << shift) & low
        key.append(offsets.astype(wide).view(np.uint8).reshape(len(key[0]), -1))
    masked = (sums.masked.astype(np.uint64) + sums.mask) & low
    return {
        "key": np.concatenate(key, axis=1).reshape(-1),
        "corrections": _shares_by_block(made.dealt).reshape(-1),
        "masked": masked.astype(wide)[: spec.count],
    }


def _client(party: Party, share: RingArray, fresh_mask: RingArray, offered: Offered, chosen: Chosen) -> Half[Material]:
    sums = yield from add(party, offered, chosen, share)
    made = yield from _rest(party, sums, offered, chosen)
    made.dealt[1:] += fresh_mask  # the client's answer is its share less r: what it subtracts has r in it
    return {"key": np.concatenate([_by_block(made.table), _shares_by_block(made.dealt)], axis=1).reshape(-1)}


@dataclass(slots=True)
class _Made:
    """A party's share of the table, (2^(n-1), n / 8), and of the five dealt values (kernels/src/gate.h), (5, n)."""

    table: Bytes
    dealt: RingArray


def _rest(party: Party, sums: Sums, offered: Offered, chosen: Chosen) -> Half[_Made]:
    """All rounds after the adder."""
    shape, rho = party.shape, chosen.words[-1][0]
    doubling = Doubling(shape, sums.compared[:-1], offered, chosen)
    carry = {} if sums.carry is None else {"carry": sums.carry}
    bits = RingBits(party, {"rho": rho, **carry, "wrap": sums.wrap, "top": sums.top}, offered, chosen)
    corrections = [*doubling.corrections(), *bits.corrections()]
    rows, words = yield from party.swap([*corrections, *doubling.message(0)], bits.offers())
    pieces, end = shape.pieces, len(rows) - doubling.rows(0)
    own, shared = rows[:pieces], bits.shares(rows[pieces:end], words)
    doubling.grow(0, rows[end:], own)
    values = _values(party, sums, shared)
    products = RhoProducts(ring_bits_of(party, rho), values, offered, chosen)
    rows, words = yield from party.swap([*doubling.message(1)], products.offers())
    doubling.grow(1, rows, own)
    for j in range(2, len(shape.strings)):
        rows, _ = yield from party.swap([*doubling.message(j)])
        doubling.grow(j, rows, own)
    # Every entry is masked by a = rho ^ the highest bit compared: rho is that bit and both parties' a.
    table = doubling.table ^ rho ^ sums.compared[-1]
    return _Made(table, _dealt(shape.spec, shared["rho"], values, products.shares(words)))


def _values(party: Party, sums: Sums, shared: dict[str, RingArray]) -> list[RingArray]:
    """The party's shares of R = r' >> t in the ring, and of its highest bit mod 2^(l-K), if anything is left of it."""
    spec, dtype = party.shape.spec, shared["rho"].dtype
    r: RingArray = (sums.mask >> np.uint64(spec.shift)).astype(dtype)
    if spec.shift:
        r = r + shared["carry"]
    if not party.shape.high_bits:
        return [r]
    return [r - (shared["wrap"] << dtype.type(spec.opened_bits)), shared["top"]]


def _dealt(spec: GateSpec, rho: RingArray, values: list[RingArray], multiplied: list[RingArray]) -> RingArray:
    """Shares of rho, and of b (R - s 2^K m) for the four values of (f, s): kernels/src/gate.h."""
    r, rho_r = values[0], multiplied[0]
    if len(values) > 1:
        k = r.dtype.type(spec.opened_bits)
        carried, rho_carried = values[1] << k, multiplied[1] << k
    else:
        carried, rho_carried = np.zeros_like(r), np.zeros_like(r)
    return np.stack([rho, rho_r, rho_r - rho_carried, r - rho_r, r - carried - rho_r + rho_carried])


def _by_block(table: Bytes) -> Bytes:
    """(2^(n-1), count / 8) to a row a block, entry by entry 32 bits (kernels/src/dcf_table.h)."""
    words = np.ascontiguousarray(table).view(np.uint32)
    return np.ascontiguousarray(words.T).view(np.uint8).reshape(words.shape[1], -1)


def _shares_by_block(dealt: RingArray) -> Bytes:
    """(5, count) to a row a block."""
    rows = np.ascontiguousarray(dealt.reshape(len(dealt), -1, BLOCK).swapaxes(0, 1))
    return rows.view(np.uint8).reshape(len(rows), -1)
