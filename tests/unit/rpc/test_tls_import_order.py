"""TLS 1.2 is refused, or nothing is opened, whatever a process imported or did before this package."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

_PROBE = """
import queue, socket, ssl, sys
from pathlib import Path
from pi_system.errors import ConfigError
from pi_system.rpc.listen import serve_streams
from pi_system.rpc.tls import Identity
from pi_system.rpc.transport import client_channel
folder = Path(sys.argv[1])
identity = Identity.load(folder / "server")
try:
    client_channel("127.0.0.1:1", identity).close()
    server, port = serve_streams("127.0.0.1:0", {"S": queue.SimpleQueue().put}, {}, timeout_s=5.0, max_streams=1,
                                 identity=identity)
except ConfigError as error:
    print("refused to start:", error)
    sys.exit()
for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(folder / "client" / "authority.pem")
    context.load_cert_chain(folder / "client" / "certificate.pem", folder / "client" / "key.pem")
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["h2"])
    try:
        with (socket.create_connection(("127.0.0.1", port), 5) as plain,
              context.wrap_socket(plain, server_hostname="pi-server") as wrapped):
            print(wrapped.version())
    except (ssl.SSLError, ConnectionError):
        print("refused", version.name)
server.stop(0)
"""
_USED = """
import grpc, pathlib, sys
from concurrent.futures import ThreadPoolExecutor
folder = pathlib.Path(sys.argv[1]) / "server"
pair = (folder / "key.pem").read_bytes(), (folder / "certificate.pem").read_bytes()
other = grpc.server(ThreadPoolExecutor(1))
port = other.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
other.start()
trust = grpc.ssl_channel_credentials((folder / "authority.pem").read_bytes())
options = (("grpc.ssl_target_name_override", "pi-server"),)
with grpc.secure_channel(f"127.0.0.1:{port}", trust, options) as channel:
    grpc.channel_ready_future(channel).result(10)
other.stop(0)
"""
_HELD = "refused TLSv1_2\nTLSv1.3\n"


def outcome(before: Any, link_keys: Any) -> Any:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GRPC_")}  # ours has it set
    command = [sys.executable, "-c", before + _PROBE, str(link_keys)]
    found = subprocess.run(command, env=clean, capture_output=True, text=True, timeout=120)
    assert found.returncode == 0, found.stderr
    return found.stdout


@pytest.mark.parametrize(
    "before",
    [
        "",
        "import pi_system.rpc.tls\n",
        "import grpc\n",
        "import torch, grpc\n",
        "import grpc\ngrpc.insecure_channel('127.0.0.1:1').close()\n",
        "import os, pi_system.rpc\ndel os.environ['GRPC_SSL_CIPHER_SUITES']\n",
        "import os\nos.environ['GRPC_SSL_CIPHER_SUITES'] = 'ECDHE-ECDSA-AES128-GCM-SHA256'\nimport grpc\n",
    ],
)
def test_an_import_before_changes_nothing(before: str, link_keys: Path) -> None:
    assert outcome(before, link_keys) == _HELD


@pytest.mark.parametrize(
    "before", [_USED, "import grpc\nfrom grpc._cython import cygrpc\ndel cygrpc.reset_grpc_config_vars\n"]
)
def test_where_grpc_cannot_be_changed_any_more_no_link_is_opened(before: str, link_keys: Path) -> None:
    found = outcome(before, link_keys)
    assert "refused to start: TLS: expected a gRPC that takes TLS 1.3 only, found one that takes TLSv1_2" in found
