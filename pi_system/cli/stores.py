"""``store status``, ``list``, ``burn`` and ``gc`` of client and server: what was prepared, used and left over."""

import shutil
from collections.abc import Callable
from pathlib import Path

import click

from pi_system.backends.registry import BACKENDS
from pi_system.cli.errors import PiGroup
from pi_system.cli.program import with_options
from pi_system.errors import ConfigError, InputError
from pi_system.rpc.tls import Role
from pi_system.secure.stores import LOG_DAYS, Stored, all_stores, tidy

_SHOWN_DIGITS = 16


class Hexadecimal(click.ParamType[str]):
    """The beginning of a digest or an id."""

    name = "hex"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Lower case. A usage error for anything but hexadecimal digits."""
        if not set(value.lower()) <= set("0123456789abcdef"):
            self.fail(f"expected hexadecimal digits, found {value[:40]}", param, ctx)
        return value.lower()


_folder = click.option("--store", type=click.Path(path_type=Path), help="Private folder of offline material.")
_options = with_options(
    _folder,
    click.option("--digest", type=Hexadecimal(), help="Only models whose digest starts with this (hex)."),
    click.option("--backend", type=click.Choice(list(BACKENDS)), help="Only this one."),
    click.option("--client", type=Hexadecimal(), help="Only clients whose id starts with this (hex)."),
)


def store_commands(role: Role, folder_of: Callable[[Path | None], Path]) -> click.Group:
    """The group ``store`` of one program.

    Args:
        role: whose material.
        folder_of: its folder, for the value of --store.
    """

    @click.group("store", cls=PiGroup)
    def store() -> None:
        """Look at offline material, burn what was not used, clean up."""

    @store.command("status")
    @_folder
    def status(store: Path | None) -> None:
        """Count bundles by state, and the room that is left."""
        _show_status(folder_of(store), role)

    @store.command("list")
    @_options
    def list_stores(store: Path | None, **chosen: str | None) -> None:
        """List unused material by model, backend, what it reveals, and client."""
        for found in _chosen(folder_of(store), role, **chosen):
            count, nbytes = found.unused()
            owner = f", of {found.owner()}" if found.owner() else ""
            click.echo(f"{_described(found)}{owner}: {count} unused, {nbytes:,} bytes")

    @store.command("burn")
    @_options
    @click.option("--all", "everything", is_flag=True, help="All of it.")
    def burn(store: Path | None, everything: bool, **chosen: str | None) -> None:
        """Delete unused material, after this machine was restored from a backup or a snapshot; the peer's half follows.

        One of the two parties is enough. Sessions that are open end with an error; the next one prepares anew.
        """
        if everything == any(chosen.values()):
            raise ConfigError("store burn: expected either --all or one of --digest, --backend and --client")
        _burn_all(_chosen(folder_of(store), role, **chosen), folder_of(store))

    @store.command("gc")
    @_folder
    @click.option(
        "--log-days",
        default=LOG_DAYS,
        show_default=True,
        type=click.FloatRange(0),
        metavar="DAYS",
        help="Uses stay logged.",
    )
    def gc(store: Path | None, log_days: float) -> None:
        """Burn what expired or lost its file; delete files of no bundle, parts, empty stores and old uses in the log.

        A server does so itself, when it starts and every day.
        """
        _chosen(folder_of(store), role)
        burned, deleted, forgotten = tidy(folder_of(store), role, log_days * 86400)
        click.echo(f"{burned} burned, {deleted} files deleted, {forgotten} uses forgotten")

    return store


def _burn_all(stores: list[Stored], root: Path) -> None:
    total = 0
    for found in stores:
        count = _burn(found)
        total += count
        click.echo(f"{_described(found)}: {count} burned")
    click.echo(f"{total} unused inferences burned in {root}")


def _show_status(root: Path, role: Role) -> None:
    stores = _chosen(root, role)
    counts = stores[0].index.counts()
    for state in ("prepared", "taken", "used", "burned"):
        count, nbytes = counts.get(state, (0, 0))
        click.echo(f"{state:9} {count:,}" + (f", {nbytes:,} bytes" if state == "prepared" else ""))
    room = stores[0].index.setting("room", 0)
    click.echo(f"{len(stores)} stores, {shutil.disk_usage(root).free:,} bytes free on the disk")
    if room:
        click.echo(f"material of all clients: at most {int(room):,} bytes")


def _chosen(
    root: Path, role: Role, *, digest: str | None = None, backend: str | None = None, client: str | None = None
) -> list[Stored]:
    """Raises InputError where there is nothing to choose from, or nothing is chosen: a burn must not miss silently."""
    stores = list(all_stores(root, role))
    if not stores:
        raise InputError(f"{root}: expected material that a {role} prepared (--store FOLDER), found none")
    chosen = [
        found
        for found in stores
        if found.model.startswith((digest or "")[: len(found.model)])
        and found.client.startswith(client or "")
        and backend in (None, found.backend)
    ]
    if not chosen:
        raise InputError(f"{root}: expected material of that model, backend and client; found {len(stores)} others")
    return chosen


def _burn(found: Stored) -> int:
    try:
        return found.burn()
    except OSError as error:
        raise InputError(f"{found.folder}: cannot be burned: {error.strerror}") from None


def _described(found: Stored) -> str:
    return (
        f"model {found.model[:_SHOWN_DIGITS]}, {found.backend}, {found.reveal}, client {found.client[:_SHOWN_DIGITS]}"
    )
