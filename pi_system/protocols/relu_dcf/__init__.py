"""ReLU with truncation by distributed comparison functions, correlations from a dealer.

Functionality: D = (ReLU(y) >> shift) - r at the server, for y = y_0 + y_1 mod 2^l; see protocols/gate.py.
Inputs:   y_0 at the server (online), y_1 and the fresh mask r at the client (both known offline); uint32 or uint64.
Outputs:  D at the server; the client's share is r.
Offline:  dealer -> both: key; dealer -> server: corrections; client -> server: y_1 + r'_1 mod 2^k, packed.
Online:   1. server -> client: y + r' mod 2^k, and in variant "bit" the server's masked comparison bit.
          2. client -> server: its output share minus r, and in variant "bit" the client's masked comparison bit.
Cost:     1 round trip; online bits an element: k + l ("arith"), k + l + 2 ("bit"); declared by DcfRelu.cost.
Error:    output exact or one ulp too large for |y| < 2^(k-1) (exact for shift 0); undefined outside, not detected.
Security: semi-honest, one corrupted party, trusted dealer; AES-128 (see docs/threat-model.md).
Source:   Boyle et al., EUROCRYPT 2021 (eprint 2020/1392); LLAMA (2022/793) and Orca (2023/206) for the truncation.
          Deviation: in variant "bit" the server evaluates before it sends, which saves half a round trip.
"""

from pi_system.protocols.relu_dcf.gates import VARIANTS, DcfRelu, Variant

__all__ = ["VARIANTS", "DcfRelu", "Variant"]
