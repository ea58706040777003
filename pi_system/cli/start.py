"""Where the programs start: without the extra that one needs, or stopped while it is read, each says so in a line.

Little is imported before Ctrl-C is noted: it would be a traceback.
"""

import signal
import sys
from collections.abc import Callable
from contextlib import nullcontext
from importlib import import_module

from pi_system.errors import MissingExtraError
from pi_system.extras import needs
from pi_system.interrupts import INTERRUPTED, asked, check, noted


def train() -> None:
    """``pi-train``."""
    _start("pi-train", "pi_system.cli.train", "train")


def server() -> None:
    """``pi-server``."""
    _start("pi-server", "pi_server.cli", "server")


def dealer() -> None:
    """``pi-dealer``."""
    _start("pi-dealer", "pi_system.cli.dealer", "server")


def client() -> None:
    """``pi-client``."""
    _start("pi-client", "pi_client.cli")


def _start(program: str, module: str, extra: str = "") -> None:
    """Run ``main`` of a module that imports what the extra, if any, installs."""
    try:
        with noted():
            _found(program, module, extra)()
    finally:
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # all is said: what comes late just ends it
            signal.signal(signal.SIGINT, signal.SIG_DFL)


def _found(program: str, module: str, extra: str) -> Callable[[], None]:
    try:
        with needs(extra, program) if extra else nullcontext():
            main: Callable[[], None] = import_module(module).main
        check()
        return main
    except MissingExtraError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    except BaseException as error:
        if not (asked() or isinstance(error, KeyboardInterrupt)):  # an import may make another error of it
            raise
        print("error: stopped", file=sys.stderr)
        raise SystemExit(INTERRUPTED) from None
