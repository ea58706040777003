"""Write docs/reference/configuration.md from the declarations of the programs' options: flags, variables, keys.

scripts/configuration.py            writes it
scripts/configuration.py --check    ends with 1 if it is not what would be written
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from pi_client.cli import main as pi_client
from pi_server.cli import main as pi_server
from pi_system.cli.dealer import main as pi_dealer

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "reference" / "configuration.md"
PROGRAMS = {"pi-server": pi_server, "pi-client": pi_client, "pi-dealer": pi_dealer}
_HEAD = """# Configuration

Written by `scripts/configuration.py` from the programs' declarations. An option is taken from the command line, else
from its variable, else from the file that `--config` (or PI_CONFIG) names, else it has its default. The file is TOML, a
table a command; a list stands for an option that may be given several times, as words in a variable do:

```toml
# pi.toml: pi-server --config pi.toml serve
[pi-server]
log-format = "json"
[pi-server.serve]
artifact = "model"
listen = "0.0.0.0:7100"
backend = ["gmw", "gc"]
```

Every command says the same of its options with `-h`. Shells complete commands, options and choices (`bash_source`,
`zsh_source` or `fish_source`; each program has a variable of its name, such as `_PI_SERVER_COMPLETE`):

```console
$ eval "$(_PI_CLIENT_COMPLETE=bash_source pi-client)"      # in ~/.bashrc
```
"""


def commands(program: str, command: click.Command, prefix: str) -> Iterator[tuple[str, click.Command, str]]:
    """Every command under ``command``, its own included: name, command, prefix of its variables."""
    yield program, command, prefix
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            yield from commands(f"{program} {name}", below, f"{prefix}_{name.upper().replace('-', '_')}")


def rows(command: click.Command, prefix: str) -> Iterator[str]:
    """A line of the table an option."""
    context = click.Context(command, auto_envvar_prefix=prefix)
    for option in command.params:
        if not isinstance(option, click.Option) or option.name in ("help", "version"):
            continue
        told = option.get_help_extra(context)
        variable = f"{prefix}_{str(option.name).upper()}"
        default = told.get("default", "required" if option.required else "")
        text = (option.help or "").replace("|", "\\|")
        value = "" if option.is_flag else f" {option.make_metavar(context)}".removesuffix(" RANGE").replace("|", "\\|")
        yield f"| `{option.opts[0]}{value}` | {option.envvar or variable} | {default} | {text} |"


def document() -> str:
    """The whole page."""
    parts = [_HEAD]
    for program, main in PROGRAMS.items():
        for name, command, prefix in commands(program, main, "PI"):
            lines = list(rows(command, prefix))
            if lines:
                parts.append(
                    f"## {name}\n\n| option | variable | default | |\n|---|---|---|---|\n" + "\n".join(lines) + "\n"
                )
    return "\n".join(parts)


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(DOCUMENT.read_text() != document())
    DOCUMENT.write_text(document())
