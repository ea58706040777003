"""Sessions over gRPC: the only package that imports grpc."""

import os
import sys
from typing import Final

TLS_13_ONLY: Final = "ECDHE-PSK-CHACHA20-POLY1305"
"""Cipher suites of TLS 1.2 and older: one that needs a pre-shared key, which no end has, so none can be agreed on.
Those of TLS 1.3 are not chosen this way. gRPC's Python API has no option for the lowest version."""

GRPC_CAME_FIRST: Final = "grpc" in sys.modules
"""Whoever imported gRPC before this package may have made it settle on other suites: tls_probe.py looks."""

os.environ["GRPC_SSL_CIPHER_SUITES"] = TLS_13_ONLY
# Its core logs events to stderr that we handle and report ourselves (a worker that hands its port on).
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

# gRPC reads its environment when it is imported: now, so that nobody changes it in between.
from grpc._cython import cygrpc  # type: ignore[attr-defined]  # noqa: E402

if GRPC_CAME_FIRST and hasattr(cygrpc, "reset_grpc_config_vars"):
    cygrpc.reset_grpc_config_vars()  # has it read its environment again; too late once it has used TLS

__all__: list[str] = []
