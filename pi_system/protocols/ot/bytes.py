"""Declared bytes of correlated OTs by Ferret: exact, in closed form; tests hold them against a channel."""

from pi_system.protocols.ot.ferret import LARGE, SMALL, LpnParameters
from pi_system.protocols.ot.softspoken import softspoken_bytes

SETUP_BYTES = 8240
"""Each way, of ``ot_setup``, whatever is extended later."""
SETUP_ROUNDS = 3


def silent_bytes(count: int) -> tuple[int, int]:
    """Bytes from the COTs' sender and from their receiver for the first ``count`` COTs of a session.

    Trees are opened as they are needed, so how the count is cut into requests does not matter.
    """
    if count == 0:
        return 0, 0
    return _level(LARGE, count) + _level(SMALL, LARGE.base), softspoken_bytes(SMALL.base)


def _level(parameters: LpnParameters, count: int) -> int:
    """Bytes of the trees that ``count`` COTs take: opened ones, and of finished rounds those that start the next."""
    opened = -(-count // (1 << parameters.depth))
    finished = -(-opened // parameters.open_trees) - 1
    return parameters.tree_bytes * (opened + finished * (parameters.trees - parameters.open_trees))
