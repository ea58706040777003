"""``python -m pi_system.demo.dealer serve ...``: ``pi-dealer``, which stops when the demo is gone."""

import sys

from pi_system.cli.dealer import main
from pi_system.cli.parent import stop_with_parent

if __name__ == "__main__":
    stop_with_parent()
    main(sys.argv[1:], prog_name="pi-dealer")
