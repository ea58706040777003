"""``pi-server`` as ``pi.Server`` runs it: it stops when the process that started it is gone."""

from pi_system.cli.parent import stop_with_parent
from pi_system.cli.start import server

if __name__ == "__main__":
    stop_with_parent()
    server()
