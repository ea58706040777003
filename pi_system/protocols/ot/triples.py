"""Bit products and bit triples from COTs, 32 to a word of a plane.

Functionality: product: the sender's random beta and v, the receiver's random u and w, v ^ w = u beta;
               triple: each party's a, b and c are random with c0 ^ c1 = (a0 ^ a1)(b0 ^ b1).
Inputs:   Cots; n a multiple of 32.
Outputs:  planes, uint8 (n / 8,).
Offline:  no message: a triple is two products, one a direction of the cross terms; the sender's beta is its a
          (first product) and its b (second), the receiver's u its b and its a.
Online:   none.
Cost:     0 bits; one COT a product, two a triple.
Error:    none.
Security: semi-honest; correlation robustness of the hash.
Source:   Asharov, Lindell, Schneider, Zohner, eprint 2013/552 (triples from random OTs).
"""

from pi_system.kernels.ot import Blocks, Bytes, bit_products_receiver, bit_products_sender
from pi_system.protocols.ot.base import Cots

__all__ = ["BitTriples", "triples_receiver", "triples_sender"]

BitTriples = tuple[Bytes, Bytes, Bytes]
"""Planes of a, b, c."""


def triples_sender(cots: Cots, delta: Blocks, count: int) -> BitTriples:
    """The COT sender's share of ``count`` triples."""
    first, second = cots.take(count), cots.take(count)
    a, v = bit_products_sender(first[0], delta.tobytes(), first[1], 1)
    b, w = bit_products_sender(second[0], delta.tobytes(), second[1], 1)
    return a[0], b[0], (a & b ^ v ^ w)[0]


def triples_receiver(cots: Cots, count: int) -> BitTriples:
    """The COT receiver's share."""
    first, second = cots.take(count), cots.take(count)
    b, v = bit_products_receiver(first[0], first[1], 1)
    a, w = bit_products_receiver(second[0], second[1], 1)
    return a, b, a & b ^ v[0] ^ w[0]
