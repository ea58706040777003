"""``python -m pi_system.demo.tapped_server FILE serve ...``: INSECURE ``pi-server`` whose shares go to FILE as well.

The program is the same, with a tap in the place where measurements imitate a link. It listens on this machine alone.
"""

import sys
from functools import partial
from pathlib import Path

from pi_server.cli import main
from pi_system.cli.parent import stop_with_parent
from pi_system.demo.tap import tapped

if __name__ == "__main__":
    stop_with_parent()
    main([*sys.argv[2:], "--listen", "127.0.0.1:0"], prog_name="pi-server", obj=partial(tapped, file=Path(sys.argv[1])))
