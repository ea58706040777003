"""ReLU with truncation by distributed comparison functions, correlations from a dealer.

Functionality: D = max(0, R(y / 2^t)) - r at the server, for y = y_0 + y_1 mod 2^l; R rounds to a neighbour at random,
          up with probability (y mod 2^t) / 2^t; the sign may be random near zero; see protocols/gate.py.
Inputs:   y_0 at the server (online), y_1 and the fresh mask r at the client (both known offline); uint32 or uint64.
Outputs:  D at the server; the client's share is r.
Offline:  dealer -> both: key; dealer -> server: corrections; client -> server: y_1 + r'_1 mod 2^k, packed.
Online:   1. server -> client: the high K = k - t bits of y + r' mod 2^k, and the server's masked comparison bit.
             Where n < K, also the high n bits of y + r'' mod 2^k, r'' = r' + d, d from the server's seed.
          2. client -> server: its output share minus r, and the client's masked comparison bit.
Cost:     1 round trip; online bits an element: K + l + 2, and n where n < K; declared by ``message_bytes`` and
          ``reply_bytes``.
Error:    below one ulp, unbiased (none for t = 0), for |y| < 2^(k-1) - 2^(t+g), g = K - n; undefined outside, not
          detected. With g > 0 the sign is 1 with probability 1/2 + y / 2^(t+g) where |y| < 2^(t+g-1): an error of at
          most 2^(g-1) + 1 ulps there.
Security: semi-honest, one corrupted party, trusted dealer. The rounding coin is (r' mod 2^t), uniform given the view of
          either party, and the client never sees the low bits of y + r' (see docs/explanation/threat-model.md).
          That of the sign is r'' mod 2^(t+g): it must not be r' mod 2^(t+g), of which the client opens g bits. Tables
          (n <= 8) are one-time truth tables, read at a public place; one share is the dealer's, one a seed's. Seeds of
          the key's nodes have 125 bits, and AES under a public key is taken for a random permutation (Guo et al.,
          eprint 2019/074). A fresh public key for each 32 instances keeps attacks on many seeds at once (2019/1168)
          at about 2^115 AES calls. A (seed, salt) pair serves one ``deal`` only.
Source:   Boyle et al., EUROCRYPT 2021 (eprint 2020/1392); LLAMA (2022/793) and Orca (2023/206) for the truncation; ABY3
          (2018/403) for truncation pairs. Deviation: the server evaluates before it sends, which saves half a round
          trip; the comparison sees the truncated value, K bits instead of k; one AES call a level, flags inside the
          node's block, a 256-bit leaf table, roots and masks from a seed; tables (Ishai et al., TCC 2013) for n <= 8.
"""

from typing import Final

from pi_system.protocols.dealt import DealtGate
from pi_system.protocols.relu_dcf import gates

__all__ = ["DCF"]

DCF: Final = DealtGate(
    name="dcf",
    round_trips=1,
    message_bytes=gates.message_bytes,
    reply_bytes=gates.reply_bytes,
    server_shapes=gates.server_shapes,
    client_shapes=gates.client_shapes,
    server_steps=gates.DcfServer,
    client_steps=gates.DcfClient,
    work=gates.work,
    prepared=gates.prepared,
    client_takes_mask=True,
    deal=gates.deal,
    dealt_bytes=gates.dealt_bytes,
    client_offline=gates.client_offline,
    client_message_bytes=gates.masked_message_bytes,
    server_offline=gates.server_offline,
)
