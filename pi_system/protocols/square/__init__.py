"""Square activation: one product of a value that the server learns online with one that the client knows offline.

Functionality: D = y * y - r at the server, for y = y_0 + y_1 mod 2^l; see protocols/gate.py.
Inputs:   y_0 at the server (online), y_1 and the fresh mask r at the client (both known offline); uint32 or uint64.
Outputs:  D at the server; the client's share is r.
Offline:  1. random a at the server, b at the client, shares z_0 + z_1 = a b mod 2^(l-1), by one of
             dealt.py   a dealer: a, z_0, b from the seeds it shares with the parties, z_1 to the client;
             gilboa.py  correlated OTs, the bits of b being their random choices; no dealer.
          2. client -> server: delta = y_1 - b mod 2^(l-1). It keeps b and y_1^2 + 2 z_1 - r.
Online:   y^2 = y_0^2 + y_1^2 + 2 y_0 y_1, and y_0 y_1 = y_0 delta + (d + a) b for d = y_0 - a:
          1. server -> client: d mod 2^(l-1); what is above that bit would be doubled out of the ring.
          2. client -> server: y_1^2 + 2 z_1 - r + 2 d b; the server adds y_0^2 + 2 (y_0 delta + z_0).
Cost:     1 round trip, l - 1 bits an element down and l up. Offline besides delta (l - 1 bits up): dealer -> client
          l - 1 bits; or l - 1 COTs and l (l - 1) / 2 bits down, since OT number i carries l - 1 - i bits. Declared by
          ``message_bytes``, ``reply_bytes`` and ``offline_cost``.
Error:    none, if |y| < 2^(k-1) with 2k - 1 <= l, so that y * y fits as a signed number; it wraps outside, not
          detected. The truncations before and after are nodes of the graph: below one ulp off, and wrong with
          the probability that RingConfig.truncation_log2 states.
Security: semi-honest, one corrupted party. a masks y_0, b masks y_1, r masks the reply. Dealer: trusted, AES-128;
          OTs: kappa = 128, correlation robustness of the hash.
Source:   Beaver, CRYPTO 1991 (precomputed products); Gilboa, CRYPTO 1999, section 4.1 (products from OTs); Delphi,
          eprint 2020/050, for squares in place of ReLUs. Deviation: the client knows its share offline, so its opening
          moves to the offline phase and one message each way is left.
"""

from pi_system.protocols.dealt import DealtGate
from pi_system.protocols.ot.gate import OtGate
from pi_system.protocols.square import cost, dealt
from pi_system.protocols.square.gates import SquareClient, SquareServer
from pi_system.protocols.square.gilboa import offline_client, offline_server

__all__ = ["DEALT_SQUARE", "SQUARE"]

SQUARE = OtGate(
    name="square",
    round_trips=1,
    message_bytes=cost.message_bytes,
    reply_bytes=cost.reply_bytes,
    server_shapes=cost.server_shapes,
    client_shapes=cost.client_shapes,
    work=cost.work,
    prepared=cost.prepared,
    server_steps=SquareServer,
    client_steps=SquareClient,
    offline_cost=cost.offline_cost,
    offline_server=offline_server,
    offline_client=offline_client,
)
"""The square by correlated OTs."""

DEALT_SQUARE = DealtGate(
    name="square",
    round_trips=1,
    message_bytes=cost.message_bytes,
    reply_bytes=cost.reply_bytes,
    server_shapes=cost.server_stored,
    client_shapes=cost.client_stored,
    work=cost.work,
    prepared=cost.prepared,
    server_steps=dealt.server_steps,
    client_steps=dealt.client_steps,
    client_takes_mask=False,
    deal=dealt.deal,
    dealt_bytes=lambda spec: ((), (cost.delta_bytes(spec),)),
    client_offline=dealt.client_offline,
    client_message_bytes=cost.delta_bytes,
    server_offline=dealt.server_offline,
)
"""The square from a dealer."""
