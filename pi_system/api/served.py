"""``pi-server`` as ``pi.Server`` runs it: it stops, as by SIGTERM, when the process that started it is gone.

A process that is killed runs nothing at its end, and a server that nobody can stop would go on answering.
"""

import os
import signal
import threading

from pi_system.cli.start import server


def _stop_with_parent() -> None:
    """Standard input is a pipe that the parent holds open and writes nothing to."""
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=_stop_with_parent, name="parent", daemon=True).start()
    server()
