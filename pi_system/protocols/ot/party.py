"""Setup of oblivious transfer between server and client: both directions."""

import hashlib
from dataclasses import dataclass

import numpy as np

from pi_system.kernels.ot import Blocks
from pi_system.protocols.half import Half, Send, receive, receive_array
from pi_system.protocols.ot.base import CotReceiver, CotSender
from pi_system.protocols.ot.base_ot import BaseOtReceiver, BaseOtSender
from pi_system.protocols.ot.ferret import LARGE, SMALL, FerretReceiver, FerretSender
from pi_system.protocols.ot.softspoken import BASE_OTS, CORRECTION_SHAPE, SoftSpokenReceiver, SoftSpokenSender
from pi_system.ring.prg import Prg

_NONCE_BYTES = 16


@dataclass(frozen=True, slots=True)
class OtParty:
    """One party's ends of both directions: its ``sender`` belongs to the peer's ``receiver`` and the reverse."""

    sender: CotSender
    receiver: CotReceiver


def ot_setup(prg: Prg, *, silent: bool = True, sends: bool = False, receives: bool = False) -> Half[OtParty]:
    """The setup, 3 rounds and 8,240 bytes each way; both halves are the same function.

    Args:
        prg: this party's randomness.
        silent: extend by Ferret; else by SoftSpokenOT alone (more bytes, no large tables).
        sends: begin the direction in which this party is the sender; the peer says ``receives``. Then every later
            message goes from sender to receiver, as halves side by side need it, with no round for it now. Without,
            it begins when it is first extended: a direction that is never used costs nothing.
        receives: the other direction.

    Raises:
        RemoteProtocolError: a message of the peer is malformed.
    """
    delta = np.frombuffer(prg.child("delta").bytes(16), np.uint64).reshape(1, 2).copy()
    delta[0, 0] |= np.uint64(1)
    nonce = prg.child("nonce").bytes(_NONCE_BYTES)
    yield Send(nonce)
    base_sender = BaseOtSender(prg.child("base sender"))
    yield Send(base_sender.point)
    other = bytes((yield from receive(_NONCE_BYTES)))
    choices = SoftSpokenSender.base_choices(delta)
    chosen = yield from BaseOtReceiver(choices, prg.child("base receiver")).run()
    pairs = yield from base_sender.finish(BASE_OTS)
    roots = np.empty((16, 2), np.uint64)
    prg.child("roots").into(roots)
    receiver = SoftSpokenReceiver(pairs, roots)
    yield Send(receiver.corrections.tobytes())
    if not silent:
        return OtParty((yield from _sender(delta, chosen)), receiver)
    silent_receiver = yield from _silent_receiver(receiver, other + nonce, begin=receives)
    sender = yield from _sender(delta, chosen)
    return OtParty((yield from _silent_sender(sender, nonce + other, prg.child("trees"), begin=sends)), silent_receiver)


def _sender(delta: Blocks, chosen: Blocks) -> Half[SoftSpokenSender]:
    return SoftSpokenSender(delta, chosen, (yield from receive_array(CORRECTION_SHAPE, np.uint64)))


def _silent_sender(source: CotSender, nonces: bytes, prg: Prg, *, begin: bool) -> Half[CotSender]:
    small = FerretSender(SMALL, _matrix_seed("small", nonces), source, prg.child("small"))
    if begin:
        yield from small.begin()
    return FerretSender(LARGE, _matrix_seed("large", nonces), small, prg.child("large"))


def _silent_receiver(source: CotReceiver, nonces: bytes, *, begin: bool) -> Half[CotReceiver]:
    small = FerretReceiver(SMALL, _matrix_seed("small", nonces), source)
    if begin:
        yield from small.begin()
    return FerretReceiver(LARGE, _matrix_seed("large", nonces), small)


def _matrix_seed(name: str, nonces: bytes) -> bytes:
    """The code's matrix is public, drawn for each session, direction and set; neither party alone chooses it.

    ``nonces``: that of the COTs' sender, then that of their receiver.
    """
    return hashlib.sha256(b"pi-system LPN matrix " + name.encode() + nonces).digest()[:16]
