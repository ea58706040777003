"""ReLU ``gc``: garbled circuits, the server garbling; no dealer.

Functionality: D = floor(ReLU(y) / 2^f + 1/2) - r at the server, for y = y_0 + y_1 mod 2^l, f the shift; see
          protocols/gate.py. The half is added to y_0 by the server.
Inputs:   y_0 at the server (online), y_1 and the fresh mask r at the client (both known offline); uint32 or uint64.
Outputs:  D at the server; the client's share is r.
Offline:  1. k correlated OTs an element: q is the zero label of a client's wire, Delta the free-XOR offset, so t is
             the active label, up to
          2. client -> server: its bits of y_1 against the COTs' random choices.
          3. server -> client: k - 1 half-gates (carries of the addition of k bits) and rows of ring elements: the bits
             y_i, times p and times 1 - 2p, projected to Z_{2^l}, summed, and multiplied by a colour (garble.h).
Online:   1. server -> client: the active labels of its k bits.
          2. client -> server: its share of the rounded ReLU, minus r.
Cost:     1 round trip. Online 16 k bytes down, l bits up. Offline 32 (k - 1) + (2 (k - 1 - f) + 1) l / 8 bytes down,
          k bits up and k COTs an element (k = 24, l = 32, f = 10: 844, 3, 2.2 bytes). Declared by cost.py.
Error:    none for |y| < 2^(k-1); undefined outside, not detected.
Security: semi-honest, one corrupted party; fixed-key AES as a random permutation, hash P(P(x) ^ i) ^ P(x) with a
          tweak that is never reused under one Delta. A fixed key and one Delta a session cost about log2 of the
          session's hash count of the 128 bits (Guo et al. 2019/1168): 146 an element at k = 24, f = 10.
Source:   Zahur, Rosulek, Evans 2014/756 (half-gates); Guo et al. 2019/074 (hash); Ball, Malkin, Rosulek 2016/969
          (projections); Delphi (2020/050) for who garbles and when. Deviation: the output leaves the circuit as a
          sum of projections, so gating by the sign and subtracting r take k - f rows instead of l + k - f gates.
"""

from pi_system.protocols.ot.gate import OtGate
from pi_system.protocols.relu_gc import cost
from pi_system.protocols.relu_gc.offline import offline_client, offline_server
from pi_system.protocols.relu_gc.online import GcClient, GcServer

__all__ = ["GC"]

GC = OtGate(
    name="gc",
    round_trips=1,
    message_bytes=cost.message_bytes,
    reply_bytes=cost.reply_bytes,
    offline_cost=cost.offline_cost,
    offline_server=offline_server,
    offline_client=offline_client,
    server_steps=GcServer,
    client_steps=GcClient,
    server_shapes=cost.server_shapes,
    client_shapes=cost.client_shapes,
    work=cost.work,
    prepared=cost.prepared,
)
