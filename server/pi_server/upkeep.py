"""The server's store keeps itself: what expired, was left over or belongs to nobody any more goes, once a day."""

import logging
import threading
from pathlib import Path
from typing import Final

from pi_system.secure.stores import LOG_DAYS, tidy

_EVERY_S: Final = 86400.0
_LOG = logging.getLogger(__name__)


def start_upkeep(store_dir: Path) -> None:
    """Tidy the store in ``store_dir`` now and then every day, in a thread that ends with the process."""
    threading.Thread(target=_keep, args=(store_dir,), name="upkeep", daemon=True).start()


def _keep(store_dir: Path) -> None:
    never = threading.Event()
    while True:
        try:
            burned, deleted, forgotten = tidy(store_dir, "server", LOG_DAYS * 86400)
            if burned or deleted or forgotten:
                _LOG.info("store: %d burned, %d files deleted, %d uses forgotten", burned, deleted, forgotten)
        except Exception as error:  # a full or broken disk is for the probes to tell
            _LOG.error("store: cannot be tidied: %s", error)
        never.wait(_EVERY_S)
