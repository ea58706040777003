"""Sessions over gRPC: the only package that imports grpc and the generated protobuf code."""

import os

# gRPC's core logs events to stderr that we handle and report ourselves (a worker that hands its port on). It reads
# this once, when grpc is imported, so there is no other place for it than before the first import.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

__all__: list[str] = []
