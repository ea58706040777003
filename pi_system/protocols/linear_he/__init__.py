"""Linear layers without a third party: additive shares of W r by homomorphic encryption, offline.

Functionality: for every linear layer W with input mask r: c_s + c_c = W * r mod 2^l, for one picture or for several
          together, whose masks then share ciphertexts (``LinearPlan.pictures``).
Inputs:   client r, uniform in Z_{2^l}, (C, H, W); server W, signed integers whose norm per output is public up to a
          power of two. Shapes, l and that bound are public.
Outputs:  server c_s, uniform, from its Prg; client c_c; carrier arrays (O, Ho, Wo).
Offline:  this protocol: client -> server Enc(r); server -> client Enc(W * r - c_s), layer after layer, of all pictures.
Online:   no message: the shares of W x are W D + c_s at the server, which holds D = x - r, and c_c at the client.
Cost:     one round trip (pipelined: the client waits once for every bundle of layers; more where requests and answers
          are large, ``LinearPlan.ahead``); ciphertexts of about
          n (l + 72) / 8 bytes up and n (l + 9) / 8 bytes down plus (l + 4) / 8 bytes an output, n = 4096 up to l = 34;
          cost.py has the exact bytes, asserted in tests. P pictures together: about sqrt(P) times as many ciphertexts.
Error:    none: exact, but for decryption failures of probability below 2^-50 a layer (params.py).
Security: semi-honest, one party corrupted. Client: RLWE with parameters of at least 128 bits by the tables of eprint
          2024/463. Server: flooding, 2^-40 for all coefficients of an inference together, and re-randomisation under
          the client's key (RLWE). A client that deviates reads W: not protected (docs/explanation/threat-model.md, and
          tests/integration/test_deviating_client.py shows it).
Source:   packing: Huang et al., Cheetah, eprint 2022/207, section 3, changed as packing.py says. Delphi,
          eprint 2020/050, for the use of the correlation. BFV: Fan and Vercauteren, eprint 2012/144; its arithmetic is
          kernels/he.py.

    layer.py    shape of one layer       params.py   noise budget, security    client.py  the client
    packing.py  pure encode and decode   primes.py   of the modulus            server.py  the server
    key.py      encrypt, decrypt         plan.py     messages and their sizes  cost.py    declared cost
"""

from pi_system.protocols.linear_he.client import LinearHeClient
from pi_system.protocols.linear_he.cost import linear_he_cost
from pi_system.protocols.linear_he.layer import LinearShape, linear_shapes
from pi_system.protocols.linear_he.plan import LinearPlan, plan_linear, plan_together
from pi_system.protocols.linear_he.server import LinearHeServer, LinearHeSession, kept_weights, linear_share

__all__ = [
    "LinearHeClient",
    "LinearHeServer",
    "LinearHeSession",
    "LinearPlan",
    "LinearShape",
    "kept_weights",
    "linear_he_cost",
    "linear_shapes",
    "linear_share",
    "plan_linear",
    "plan_together",
]
