"""``--config FILE``: values of options from a TOML file, below flags and environment variables.

[pi-server.serve]            a table a command, named as it is called
listen = "0.0.0.0:7100"      an option's long name; lists where it may be given several times, or the only value
"""

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

from pi_system.errors import ConfigError, InputError

_PROGRAMS: Final = ("pi-server", "pi-client", "pi-dealer", "pi-train")


def config_option(program: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add --config to a program's group of commands."""

    def load(ctx: click.Context, param: click.Parameter, path: Path | None) -> None:
        if path is not None:
            ctx.default_map = _defaults(ctx.command, _read(path, program).get(program, {}), f"{path}: {program}")

    return click.option(
        "--config",
        type=click.Path(path_type=Path),
        is_eager=True,
        expose_value=False,
        callback=load,
        envvar="PI_CONFIG",
        help="TOML file of options: a table [PROGRAM.COMMAND], keys as the options are called.",
    )


def _read(path: Path, program: str) -> dict[str, Any]:
    """All of the file, in which other programs have tables, too. Raises ConfigError or InputError."""
    try:
        found = tomllib.loads(path.read_text())
    except OSError as error:
        raise InputError(f"config {path}: {error.strerror}") from None
    except ValueError as error:
        raise ConfigError(f"config {path}: expected TOML, found: {error}") from None
    programs = {*_PROGRAMS, program}
    if unknown := sorted(found.keys() - programs):
        raise ConfigError(f"config {path}: expected tables of {', '.join(sorted(programs))}, found {unknown[0]!r}")
    return found


def _defaults(command: click.Command, table: Any, where: str) -> dict[str, Any]:
    """click's defaults by parameter name, of ``command`` and those below it. Raises ConfigError: there is no such."""
    if not isinstance(table, dict):
        raise ConfigError(f"config {where}: expected a table, found {type(table).__name__}")
    params = {
        option.lstrip("-"): param
        for param in command.params
        for option in (*param.opts, *param.secondary_opts)
        if option.startswith("--")
    }
    below = command.commands if isinstance(command, click.Group) else {}
    found: dict[str, Any] = {}
    for key, value in table.items():
        if key in below:
            found[key] = _defaults(below[key], value, f"{where}.{key}")
        elif key in params:
            found[str(params[key].name)] = _given(params[key], value, f"{where}.{key}")
        else:
            expected = ", ".join(sorted({*params, *below} - {"help", "version", "config"}))
            raise ConfigError(f"config {where}: expected one of {expected}, found {key!r}")
    return found


def _given(param: click.Parameter, value: Any, where: str) -> str | list[str]:
    """What the command line would have in its place, to be read as strictly. Raises ConfigError: it has none."""
    values = value if isinstance(value, list) else [value]
    if wrong := [type(one).__name__ for one in values if not isinstance(one, str | int | float)]:
        raise ConfigError(f"config {where}: expected text, a number, true or false, found {wrong[0]}")
    words = [str(one).lower() if isinstance(one, bool) else str(one) for one in values]
    if param.multiple:
        return words
    if isinstance(value, list):
        raise ConfigError(f"config {where}: expected one value, found a list")
    return words[0]
