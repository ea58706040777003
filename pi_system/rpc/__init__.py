"""Sessions over gRPC: the only package that imports grpc and the generated protobuf code."""

import os
from typing import Final

TLS_13_ONLY: Final = "ECDHE-PSK-CHACHA20-POLY1305"
"""Cipher suites of TLS 1.2 and older: one that needs a pre-shared key, which no end has, so none can be agreed on.
Those of TLS 1.3 are not chosen this way. gRPC's Python API has no option for the lowest version."""

# gRPC reads its environment once, when it is imported, so there is no other place for these.
os.environ["GRPC_SSL_CIPHER_SUITES"] = TLS_13_ONLY
# Its core logs events to stderr that we handle and report ourselves (a worker that hands its port on).
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

__all__: list[str] = []
