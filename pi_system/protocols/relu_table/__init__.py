"""ReLU ``table``: online as ``relu_dcf`` with tables; table and masks made by the two parties, no dealer.

Functionality: D = max(0, R(y / 2^t)) - r at the server, for y = y_0 + y_1 mod 2^l; R and the sign near zero are random
          as in relu_dcf; see protocols/gate.py.
Inputs:   y_0 at the server (online), y_1 and the fresh mask r at the client (both known offline); uint32 or uint64.
Outputs:  D at the server; the client's share is r.
Offline:  1. random OTs, both directions (products.py), the random bits of which are the parties' summands of the mask
             r' = a + b mod 2^k, a the server's, b the client's, and of rho.
          2. a two-party adder on bit products, k rounds: shares of the carry c into bit t, of the wrap w, of the top
             bit m of R = r' >> t, and of the n bits alpha that are compared: of R, or where n < K of (r' + d) >> (t+g),
             d = a' - a a multiple of 2^t that the server alone knows; client -> server: y_1 + b mod 2^k.
          3. the table [x < alpha] for all x of n - 1 bits by doubling, n - 2 rounds (doubling.py).
          4. beside them c, w, m and rho become shares in the ring, and rho R and rho m products (ring_words.py);
             R = (a >> t) + (b >> t) + c - 2^K w.
Online:   1. server -> client: the high K bits of y + r' mod 2^k, where n < K the high n of y + r' + d, and its masked
             bit of the comparison, read from its table.
          2. client -> server: its output share minus r, and its masked bit.
Cost:     1 round trip; online bits an element: K + l + 2, and n where n < K. Offline at k = 28, t = 14, n = 8, l = 32:
          declared by cost.py; k + max(2, n - 2) rounds in which both send at once, side by side for all gates of a
          network.
Error:    as relu_dcf: below one ulp, unbiased (none for t = 0), for |y| < 2^(k-1) - 2^(t+g); undefined outside, not
          detected. With g > 0 the sign near zero is that of the rounded value v, 1 with probability 1/2 + v / 2^g.
Security: semi-honest, one corrupted party, kappa = 128: that of the OTs. Both coins are bits of masks that are uniform
          given the view of either party: the rounding's is r' mod 2^t, the sign's (R + d / 2^t) mod 2^g, of which
          the client opens nothing. With d a multiple of 2^t one carry serves both sums. n <= 10.
Source:   one-time truth tables: Ishai et al., TCC 2013; made without a dealer: TinyTable (Damgard et al., 2016/695),
          FLUTE (Bruggemann et al., 2023/499). Deviation: the table of a comparison is made of log2 of its size many
          products, because it is a comparison.
"""

from pi_system.protocols.ot.gate import RoundsGate
from pi_system.protocols.relu_table import cost, offline
from pi_system.protocols.relu_table.online import TableClient, TableServer
from pi_system.protocols.relu_table.shape import MAX_COMPARED_BITS, REACH

__all__ = ["MAX_COMPARED_BITS", "TABLE"]

TABLE = RoundsGate(
    name="table",
    round_trips=cost.ROUND_TRIPS,
    message_bytes=cost.message_bytes,
    reply_bytes=cost.reply_bytes,
    offline_cost=cost.offline_cost,
    offline_server=offline.offline_server,
    offline_client=offline.offline_client,
    begin_server=offline.begin_server,
    begin_client=offline.begin_client,
    server_steps=TableServer,
    client_steps=TableClient,
    server_shapes=cost.server_shapes,
    client_shapes=cost.client_shapes,
    work=cost.work,
    prepared=cost.prepared,
    reach=REACH,
)
