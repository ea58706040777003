"""ReLU ``gmw``: comparison by 1-of-2^m OTs and one-way products of shared bits, the output by two OTs; no dealer.

Functionality: D = floor(ReLU(y) / 2^t + 1/2) - r at the server, for y = y_0 + y_1 mod 2^l, t the shift; see
          protocols/gate.py. Below, y includes the half, which the server adds to y_0.
Inputs:   y_0 at the server (online), y_1 and the fresh mask r at the client (both known offline); uint32 or uint64.
Outputs:  D at the server; the client's share is r.
Offline:  1. correlated OTs: 52 an element from the server, 2 from the client (k = 24, t = 10).
          2. server -> client: coefficients of level 1, 1 bit each.
          3. client -> server: its choices for the leaves (its chunks of y_1 are known) and for the wrap (its sign)
             against its random ones; coefficients of level 2; its terms A_1 = y_1 >> t and r, times (1 - 2 c_s), by one
             OT whose choice is c_s, the server's share of the carry, a random bit.
Online:   carry into bit k-1 of y_0 + y_1 = [not y_1 < y_0] on k-1 bits, in leaves of 2 to 4 bits, merged by threes,
          none across bit t: the carry c out of the low t bits is a second output of the last merge.
          1. server -> client: tables of masked (less, equal) bits; (1 - 2 c_s) (A_0 + c_s) - rho with A_0 = y_0 >> t;
             a COT with the sign of y_0, times (1 - 2 c_s).
          2. client -> server: level 1, products of up to three bits (merge.py): masked bits, one way.
          3. server -> client: level 2, likewise; the client's shares of b = [y >= 0] and of c are now new, the
             server's old. V = (1 - 2 c_s) (A_0 + A_1 + c_s) + c_c - rho is known to the client.
          4. client -> server: b V - (1 - 2 c_s) r for both values of the server's share of b, under the pads of an OT
             whose choice is that share; and one masked bit for b rho. The server negates it where c_s = 1.
Cost:     2 round trips. k = 24, l = 32, t = 10: 20.4 bytes down, 11.3 up; offline 1.5 down, 11.4 up, and 54 COTs
          (5.0 bytes by Ferret): 49.5 bytes in all. Declared by cost.py.
Error:    none for |y| < 2^(k-1): rounded to nearest, ties up; undefined outside, not detected. For a non-negative y the
          shares wrap modulo 2^l exactly if both are negative: one COT of t bits corrects it.
Security: semi-honest, one corrupted party, kappa = 128: that of the OTs. k <= 37.
Source:   CrypTFlow2 (2020/1002) for the comparison tree, of 1-of-2^m OTs by Naor and Pinkas (1999); Cheetah
          (2022/207) for its use of silent OT and the wrap of a known sign; Beaver 1995 for OTs with choices ahead of
          time. Deviations: shares that one party knows offline make every level one message one way instead of an
          exchange, levels merge three at a time, and one OT with the server's share of b as its choice replaces the
          two of the multiplexer.
"""

from pi_system.protocols.ot.gate import OtGate
from pi_system.protocols.reach import Reach
from pi_system.protocols.relu_gmw import cost
from pi_system.protocols.relu_gmw.cut import MAX_COMPARISON_BITS
from pi_system.protocols.relu_gmw.offline_client import offline_client
from pi_system.protocols.relu_gmw.offline_server import offline_server
from pi_system.protocols.relu_gmw.online import GmwClient, GmwServer

__all__ = ["GMW"]

GMW = OtGate(
    name="gmw",
    round_trips=cost.ROUND_TRIPS,
    message_bytes=cost.message_bytes,
    reply_bytes=cost.reply_bytes,
    offline_cost=cost.offline_cost,
    offline_server=offline_server,
    offline_client=offline_client,
    server_steps=GmwServer,
    client_steps=GmwClient,
    server_shapes=cost.server_shapes,
    client_shapes=cost.client_shapes,
    work=cost.work,
    prepared=cost.prepared,
    reach=Reach(bits=MAX_COMPARISON_BITS),
)
