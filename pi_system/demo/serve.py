"""The demo from its first process to its last."""

import os
import signal
import socket
import tempfile
import threading
import webbrowser
from pathlib import Path

import click
import uvicorn

from pi_system.demo.app import make_app
from pi_system.demo.guard import Guard
from pi_system.demo.parties import Parties
from pi_system.demo.runs import Runs
from pi_system.errors import ConfigError


def run_demo(port: int, browser: bool) -> None:
    """Show the page until the process is told to stop; then all of its processes are gone, and its files.

    Args:
        port: of this machine; 0: any free one.
        browser: open one.

    Raises:
        ConfigError: the port is taken.
    """
    # The page's server raises what it caught again at its end: SIGTERM, too, must leave through what is open here.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # a terminal that is closed; nohup ignores it
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))
    _forget_variables()
    listener = _listen(port)
    with tempfile.TemporaryDirectory(prefix="pi-demo-") as name:
        parties = Parties(Path(name))
        runs = Runs(parties, Path(name))
        guard = Guard(make_app(runs), listener.getsockname()[1])
        try:
            threading.Thread(target=runs.prepare, name="parties", daemon=True).start()
            address = f"http://127.0.0.1:{listener.getsockname()[1]}{guard.path}"
            click.echo(f"pi-client demo: {address}\nCtrl-C ends it. Both parties are here: it protects nothing.")
            if browser:  # one of a terminal is open until it is left
                threading.Thread(target=webbrowser.open, args=(address,), name="browser", daemon=True).start()
            # A page that is open holds its event stream: it is not waited for.
            config = uvicorn.Config(guard, log_level="warning", access_log=False, timeout_graceful_shutdown=1)
            uvicorn.Server(config).run(sockets=[listener])
        finally:
            parties.stop()


def _forget_variables() -> None:
    """Options of other servers, as ``PI_SERVE_METRICS``: its own get theirs here, and stay on this machine."""
    for name in [name for name in os.environ if name.startswith("PI_") and not name.startswith("PI_SYSTEM_")]:
        del os.environ[name]


def _listen(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
        listener.listen()  # a browser that is faster than the page waits
    except OSError as error:
        listener.close()
        raise ConfigError(f"port {port}: cannot be listened on: {error.strerror}") from None
    return listener
