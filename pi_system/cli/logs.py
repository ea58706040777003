"""Logs on stderr, as text or as one JSON object a line, with the session's request id and client where there is one."""

import json
import logging
import sys
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

import click

_META: Final = "pi_system.log"
_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR")
_FORMATS: Final = ("text", "json")
_SESSION: ContextVar[dict[str, str]] = ContextVar("session", default={})  # noqa: B039  # never changed in place


@dataclass(frozen=True, slots=True, kw_only=True)
class LogOptions:
    """How a program logs.

    Attributes:
        program: its name.
        level: least level that is logged; empty: the program's own.
        form: ``text`` or ``json``.
    """

    program: str = ""
    level: str = ""
    form: str = "text"


def _choose(field: str) -> Callable[[click.Context, click.Parameter, str | None], None]:
    def choose(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
        if value is not None:
            ctx.meta[_META] = replace(ctx.meta.get(_META, LogOptions()), **{field: value})

    return choose


def log_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --log-level and --log-format to a program."""
    for field, name, values, text in (
        ("form", "--log-format", _FORMATS, "Logs on stderr: for people, or one JSON object a line."),
        ("level", "--log-level", _LEVELS, "Least level that is logged (default: WARNING for pi-client, else INFO)."),
    ):
        chosen = click.Choice(values, case_sensitive=False)
        option = click.option(name, type=chosen, expose_value=False, callback=_choose(field), help=text)
        command = option(command)
    return command


def chosen_log(program: str, level: str = "INFO") -> LogOptions:
    """What the options of the program say that runs; ``level``: where they say none."""
    context = click.get_current_context(silent=True)
    found: LogOptions = context.meta.get(_META, LogOptions()) if context else LogOptions()
    return replace(found, program=program, level=found.level or level)


def start_log(options: LogOptions) -> None:
    """Log to stderr from now on."""
    handler = logging.StreamHandler(sys.stderr)
    formatter = _Json if options.form == "json" else _Text
    handler.setFormatter(formatter(options.program))
    logging.basicConfig(level=options.level or "INFO", handlers=[handler])


def session_log(request: str, client: str) -> None:
    """What this thread logs from now on is of a session: its request id, and the name of its client."""
    _SESSION.set({name: value for name, value in (("request", request), ("client", client)) if value})


class _Text(logging.Formatter):
    def __init__(self, program: str):
        super().__init__(f"%(asctime)s {program}[%(process)d] %(levelname)s %(session)s%(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """A line; a traceback below it, where there is one."""
        session = _SESSION.get()
        record.session = f"[{' '.join(session.values())}] " if session else ""
        return super().format(record)


class _Json(logging.Formatter):
    def __init__(self, program: str):
        super().__init__()
        self._program = program

    def format(self, record: logging.LogRecord) -> str:
        """One JSON object."""
        entry: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "program": self._program,
            "process": record.process,
            "logger": record.name,
            "message": record.getMessage(),
            **_SESSION.get(),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry)
