"""The networks that come with the package, from their cards, for docs/reference/methods.md."""

from collections.abc import Iterable

from measuring.documents import filled, markdown

from pi_system.networks import BUILTIN_PREFIX, MeasuredCost, NetworkCard, builtin_names, read_card

_COLUMNS = (
    "network=`{name}`|is|ReLUs|test=test_accuracy:.2%|fixed point=fixed_point_accuracy:.2%|"
    "private={private_accuracy:.2%} of {private_pictures:,}"
)
_COSTS = "network=`{name}`|backend=`{backend}`|link|ms online=online_ms:n|MB online|ms ahead=offline_ms:n|MB ahead"


def table() -> str:
    """How accurate they are, and what one inference costs where that was measured."""
    cards = [read_card(name) for name in builtin_names()]
    rows = [card.model_dump() | _about(card) for card in cards]
    shown = [markdown(rows, _COLUMNS).replace("%", " %"), _agreement(cards)]
    found = [_cost(card, cost) for card in cards for cost in card.costs]
    return "\n\n".join([*shown, *([markdown(found, _COSTS)] if found else [])])


def _about(card: NetworkCard) -> dict[str, str]:
    relus = f"{card.relus:,} of {card.relus_before:,}"
    return {
        "name": BUILTIN_PREFIX + card.name,
        "is": f"{card.network}, {card.recipe['reduction']['method']}",
        "ReLUs": relus,
    }


def _cost(card: NetworkCard, cost: MeasuredCost) -> dict[str, object]:
    megabytes = {"MB online": f"{cost.online_bytes / 1e6:.2f}", "MB ahead": f"{cost.offline_bytes / 1e6:.2f}"}
    return cost.model_dump() | megabytes | {"name": BUILTIN_PREFIX + card.name}


def _agreement(cards: Iterable[NetworkCard]) -> str:
    words = (
        "Test: float32, all test pictures; fixed point: the exported program, all of them; private: the first ones, by "
        "two processes over TLS, backend {backends}, {agreement:.1%} or more with the label of fixed point."
    )
    backends = " or ".join(sorted({f"`{card.private_backend}`" for card in cards}))
    agreement = min(card.private_agreement for card in cards)
    return filled(words, {"backends": backends, "agreement": agreement}).replace("%", " %")
