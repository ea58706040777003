"""Methods of reduction at the command line: the list, and the options of one under ``reduce --method X --help``."""

from collections.abc import Mapping

import click

from pi_system.cli.options import given_of, json_option, preset_lines, show_result
from pi_system.errors import ConfigError
from pi_system.reduce.options import Option
from pi_system.reduce.presets import preset_of, presets_of
from pi_system.reduce.registry import METHODS, MethodCard, describe
from pi_system.train.config import TrainConfig
from pi_system.train.parallel import is_first
from pi_system.train.presets import PLAIN_PRESETS, Recipe

method_option = click.option("--method", type=click.Choice(list(METHODS)), default="gradual")


class PresetCommand(click.Command):
    """A command with the presets of plain training, which its help lists."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the command's options, then the presets."""
        super().format_options(ctx, formatter)
        _write_presets(formatter, PLAIN_PRESETS)


class MethodCommand(click.Command):
    """A command with ``--method``, whose help explains the options of the method named beside it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Note the method first: ``--help`` ends the parsing wherever it stands."""
        try:
            given, _, _ = self.make_parser(ctx).parse_args(list(args))
            ctx.meta[__name__] = given.get("method")
        except click.UsageError:
            pass  # told by the parsing proper
        return super().parse_args(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the command's options, then the method's."""
        super().format_options(ctx, formatter)
        (default,) = (parameter.default for parameter in self.params if parameter.name == "method")
        named = ctx.meta.get(__name__) or str(default)
        if named not in METHODS:
            return
        card = describe(named)
        _write_presets(
            formatter, {key: {**one.recipe, **one.options} for key, one in presets_of(METHODS[named]).items()}
        )
        with formatter.section(f"--set KEY=VALUE of {named}"):
            formatter.write_dl(
                [(f"{one.name} {one.kind} {one.within}".rstrip(), _explained(one)) for one in card.options]
                or [("none", "")]
            )
        formatter.write_paragraph()
        formatter.write_text(f"{named}: {card.summary} Source: {card.source}.")
        formatter.write_text("Another method's options: --method NAME --help; all methods: pi-train methods.")


@click.command()
@json_option
def methods(as_json: bool) -> None:
    """List every method of reduction: what it reduces, its options, its source."""
    cards = [describe(name) for name in METHODS]
    if as_json:
        show_result({"methods": [_plain(card) for card in cards]}, as_json)
    elif is_first():
        click.echo("\n\n".join(map(_lines, cards)))


def finetuning(method: str, preset: str, options: Recipe) -> tuple[TrainConfig, dict[str, str]]:
    """Recipe and the method's options by a preset of its, where the command's options say nothing else.

    Raises:
        ConfigError: the method has no such preset, or a field is outside its limits.
    """
    found = preset_of(METHODS[method], preset)
    return TrainConfig(**{**found.recipe, **given_of(options)}), dict(found.options)


def pairs(options: tuple[str, ...]) -> dict[str, str]:
    """Read ``--set KEY=VALUE``, given any number of times.

    Raises:
        ConfigError: one has no ``=``.
    """
    for option in options:
        if "=" not in option:
            raise ConfigError(f"--set: expected KEY=VALUE; found {option!r}")
    return {key: value for key, _, value in (option.partition("=") for option in options)}


def _write_presets(formatter: click.HelpFormatter, presets: Mapping[str, Recipe]) -> None:
    with formatter.section("--preset"):
        formatter.write_dl(list(preset_lines(presets)))


def _explained(one: Option) -> str:
    default = f"default: {one.default}" if one.default != "" else "default: empty"
    return f"{one.text}  [{'; '.join(filter(None, (default, one.condition)))}]"


def _lines(card: MethodCard) -> str:
    options = " ".join(f"{one.name}={one.default}" for one in card.options) or "none"
    rows = (
        ("", card.summary),
        ("reduces", card.reduces),
        ("options", options),
        ("presets", " ".join(presets_of(METHODS[card.name]))),
        ("source", card.source),
        ("differs", card.differs),
    )
    return "\n".join([card.name, *(f"  {head:8} {text}" if head else f"  {text}" for head, text in rows if text)])


def _plain(card: MethodCard) -> dict[str, object]:
    options = [
        {
            "name": o.name,
            "type": o.kind,
            "within": o.within,
            "default": o.default,
            "help": o.text,
            "condition": o.condition,
        }
        for o in card.options
    ]
    return {
        **{key: getattr(card, key) for key in ("name", "summary", "reduces", "source", "differs")},
        "options": options,
        "presets": list(presets_of(METHODS[card.name])),
    }
