"""A program that another one started ends, as by SIGTERM, when that one is gone.

A process that is killed runs nothing at its end, and a program that nobody can stop would go on.
"""

import os
import signal
import threading


def stop_with_parent() -> None:
    """From now on. Standard input is a pipe that the parent holds open and writes nothing to."""
    threading.Thread(target=_wait, name="parent", daemon=True).start()


def _wait() -> None:
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
