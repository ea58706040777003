"""1-of-2^m OTs of 2-bit strings, m <= 4, with the receiver's choices known offline and the sender's strings online.

Functionality: the receiver gets string number ``choice`` of the sender's 2^m.
Inputs:   sender: words (n,) uint32, the first bits of the strings in the low half of 2^(m+1) bits, the second bits in
          the high half; receiver: choice (n,) uint8 below 2^m. n is a multiple of 32.
Outputs:  receiver: planes of the first and of the second bits.
Offline:  m n COTs; the receiver sends choice ^ random choice, m n bits.
Online:   the sender sends its words under the pads: 2^(m+1) n bits. Callers that add this to a message of their own
          use the pads themselves: words ^ pads is the message, bit ``choice`` of each half under the planes the result.
Cost:     1 message each way, as said.
Error:    none.
Security: semi-honest; correlation robustness of the hash.
Source:   Naor and Pinkas, STOC 1999 (1-of-N from log N 1-of-2); Beaver 1995 (choices ahead of time).
"""

import numpy as np
from numpy.typing import NDArray

from pi_system.channel.base import Channel
from pi_system.kernels.ot import Blocks, Bytes, pads_receiver, pads_sender, pads_shift
from pi_system.protocols.ot.base import Cots, receive_array

__all__ = ["receive_pads", "receive_strings", "send_pads", "send_strings"]

Words = NDArray[np.uint32]


def send_pads(channel: Channel, cots: Cots, delta: Blocks, count: int, m: int) -> Words:
    """The sender's pads (n,), after the receiver's shift. Raises RemoteProtocolError."""
    q, tweak = cots.take(m * count)
    pads = pads_sender(q, delta.tobytes(), tweak, m)
    pads_shift(pads, receive_array(channel, (m, count // 8), np.uint8), m)
    return pads


def receive_pads(channel: Channel, cots: Cots, choice: Bytes, m: int) -> tuple[Bytes, Bytes]:
    """The receiver's pads of its entry: planes of first and second bits."""
    t, tweak = cots.take(m * len(choice))
    shift, first, second = pads_receiver(t, tweak, m, choice)
    channel.send(shift.tobytes())
    return first, second


def send_strings(channel: Channel, pads: Words, strings: Words) -> None:
    """Online: send ``strings`` (n,) under the pads, as 32-bit words."""
    channel.send((strings ^ pads).tobytes())


def receive_strings(channel: Channel, planes: tuple[Bytes, Bytes], choice: Bytes, m: int) -> tuple[Bytes, Bytes]:
    """Online: the chosen strings as planes. Raises RemoteProtocolError."""
    masked = receive_array(channel, (len(choice),), np.uint32)
    low = (masked >> choice) & np.uint32(1)
    high = (masked >> (choice + np.uint32(1 << m))) & np.uint32(1)
    first, second = (np.packbits(bits.astype(np.uint8), bitorder="little") for bits in (low, high))
    return first ^ planes[0], second ^ planes[1]
