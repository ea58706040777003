"""``python -m measuring.shaped_server LINK serve ...``: pi-server whose end of every session imitates a link.

The client under measurement does so for its own end; the server's way to a dealer is a session's, too. A dealer's end
is left as it is: but for 32 bytes a preparation it only sends.
"""

import sys
from functools import partial

from pi_server.cli import main
from pi_system.channel.link import parse_link
from pi_system.channel.shaped import shape

if __name__ == "__main__":
    main(sys.argv[2:], prog_name="pi-server", obj=partial(shape, link=parse_link(sys.argv[1])))
