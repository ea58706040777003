"""ReLU equalization: the stage multipliers of a HybReNet, in closed form.

With stage widths (m, A m, A B m, A B C m) and phi_k blocks, stage k has ReLUs in proportion to

    n_1 = phi_1,  n_2 = phi_2 A / 4,  n_3 = phi_3 A B / 16,  n_4 = phi_4 A B C / 64,

since each stage halves height and width. Equalization asks that these follow the criticality order: the most
critical stage has the most ReLUs. With ResNet18's blocks and order 3 > 2 > 4 > 1 this is B > 4, B C < 16 and
A B C > 64, and with C >= 2 and the smallest A for each (B, C) exactly 5x5x3x, 5x7x2x, 6x6x2x and 7x5x2x remain.

Source: Jha and Reagen, TMLR 2024, arXiv 2304.10593; the inequalities were derived again from the four names.
"""

from itertools import pairwise, product

from pi_system.errors import ConfigError

CRITICALITY_ORDER = (3, 2, 4, 1)
"""Of ResNet18, most critical first, as DeepReDuce reports it; see ``criticality`` for measuring one's own."""

# Multipliers looked at; those of all published HybReNets are below 8.
_HIGHEST = 32


def equalized_multipliers(
    blocks: tuple[int, int, int, int],
    order: tuple[int, ...] = CRITICALITY_ORDER,
    *,
    alpha: int | None = None,
) -> list[tuple[int, int, int]]:
    """All (A, B, C), each at least 2, whose stage ReLU counts follow the order; the smallest A of each (B, C).

    Args:
        blocks: of each stage, (2, 2, 2, 2) for ResNet18.
        order: stages, most critical first. Stages left out may have any count: leaving out a stage whose ReLUs
            are culled gives networks for low budgets, such as 2x5x3x with order (3, 2, 4) and alpha 2.
        alpha: fixes A.

    Raises:
        ConfigError: the order is not of different stages from 1 to 4.
    """
    if len(set(order)) != len(order) or not set(order) <= {1, 2, 3, 4}:
        raise ConfigError(f"order: expected different stages from 1 to 4; found {order}")
    found = []
    for beta, gamma in product(range(2, _HIGHEST), repeat=2):
        for candidate in range(2, _HIGHEST) if alpha is None else (alpha,):
            if _follows(blocks, order, (candidate, beta, gamma)):
                found.append((candidate, beta, gamma))
                break
    return sorted(found)


def _follows(blocks: tuple[int, int, int, int], order: tuple[int, ...], multipliers: tuple[int, int, int]) -> bool:
    alpha, beta, gamma = multipliers
    widths = (64, 16 * alpha, 4 * alpha * beta, alpha * beta * gamma)  # 64 times the counts, whole numbers
    counts = [count * width for count, width in zip(blocks, widths, strict=True)]
    ranked = [counts[stage - 1] for stage in order]
    return all(first > second for first, second in pairwise(ranked))


def multiplier_name(multipliers: tuple[int, int, int]) -> str:
    """Write multipliers as in a network's name: ``5x5x3x``."""
    return "".join(f"{factor}x" for factor in multipliers)
