"""``pi-train builtin``: the networks that come with the package, and the card of one."""

from collections.abc import Iterator
from typing import Any

import click

from pi_system.cli.options import json_option, show_result
from pi_system.networks import BUILTIN_PREFIX, NetworkCard, artifact_folder, builtin_names, read_card


@click.command()
@click.argument("name", required=False)
@json_option
def builtin(name: str | None, as_json: bool) -> None:
    """List the networks that come with the package, or show the card of NAME and where it is."""
    if name is None:
        cards = [read_card(one) for one in builtin_names()]
        lines = {BUILTIN_PREFIX + c.name: f"{c.data}, {c.relus:,} ReLUs, test {c.test_accuracy:.2%}" for c in cards}
        show_result({"networks": [card.model_dump() for card in cards]} if as_json else lines, as_json)
        return
    card = read_card(name)
    found = {**card.model_dump(), "artifact": str(artifact_folder(name))}
    show_result(found if as_json else found | _in_words(card), as_json)


def _in_words(card: NetworkCard) -> dict[str, Any]:
    """What the card has in parts, a line each: steps of the recipe in their order, then costs."""
    steps = {f"{number} {kind}": _settings(part) for number, (kind, part) in enumerate(_steps(card.recipe), start=1)}
    costs = {f"{cost.backend} over {cost.link}": str(cost) for cost in card.costs}
    return {"recipe": ", ".join(steps), **steps, "costs": "of an inference" if costs else "not measured", **costs}


def _steps(recipe: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "train", recipe["train"]
    for one in (*recipe.get("earlier", ()), recipe):
        yield "reduction", one["reduction"]
        yield "finetune", one["finetune"]


def _settings(values: dict[str, Any]) -> str:
    flat = {**values, **values.get("options", {})}
    return " ".join(f"{key}={value}" for key, value in flat.items() if isinstance(value, str | int | float))
