"""``tabard store migrate URL``: from SQLite to PostgreSQL while the recorder runs."""

from __future__ import annotations

import os
import time
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

import click

from tabard import exits
from tabard.errors import TabardError, UsageError
from tabard.home import Home
from tabard.ops.cli.base import command
from tabard.ops.cli.options import output_option
from tabard.ops.output import emit
from tabard.ops.up.checks import refuse_missing
from tabard.settings import Settings, load

if TYPE_CHECKING:
    from tabard.consumers.store.moving.tables import Carried

COLUMNS: Final = ("part", "table", "rows", "copied", "mended", "gone")
_TELL_EVERY: Final = 2.0
"""Seconds between two lines about how far it is."""


class _Url(click.ParamType[str]):
    """A database on a PostgreSQL server, as `store.url` takes it."""

    _FORM: Final = "postgresql://USER@HOST/DATABASE, the password in the file of --password-file"

    name = "url"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from tabard.settings.forms import STORE_URL

        try:
            read = STORE_URL.read(value)
        except TabardError as error:
            self.fail(f"expected {self._FORM}, found {error.found}", param, ctx)
        if not read:
            self.fail(f"expected {self._FORM}, found an empty text", param, ctx)
        return read


@command(
    "migrate",
    audited="store.migrate",
    examples=[
        (
            "tabard store migrate postgresql://tabard@db/tabard --password-file ~/.tabard/store.password --switch",
            "Move the store, and have everything go on there",
        ),
        (
            "tabard store migrate postgresql://tabard@db/tabard --copy-only",
            "Copy what there is ahead of that",
        ),
        ("tabard store migrate --undo", "Take it back, as long as nothing was stored there"),
    ],
)
@click.argument("url", type=_Url(), required=False)
@click.option(
    "--password-file",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="File with the password of that database.  [default: store.password_file]",
)
@click.option(
    "--password-key",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="File with the key, where that file is encrypted.  [default: store.password_key]",
)
@click.option("--switch", is_flag=True, help="Write the new place into tabard.toml when all is there.")
@click.option("--copy-only", is_flag=True, help="Copy what there is, and let the store go on where it is.")
@click.option("--verify", is_flag=True, help="Read every copied row back and compare all its values.")
@click.option("--undo", "back", is_flag=True, help="Let the store go on where it was.")
@output_option
def store_migrate(
    home: Home,
    url: str | None,
    password_file: str | None,
    password_key: str | None,
    switch: bool,
    copy_only: bool,
    verify: bool,
    back: bool,
    output: str,
) -> int:
    """Move the store from SQLite to a database on a PostgreSQL server, while everything runs.

    Copies what there is beside the recorder; then closes the store for the moment that the rest takes, while records
    wait on their nodes; compares both sides; and leaves a store that nothing can write any more. Run it again
    after whatever stopped it: it goes on from there.

    A row of the list is a table: the rows it has there now; how many of them this run copied; how many of those came
    in late, or changed; and how many were taken out again there because retention took them here meanwhile.
    """
    if back and (url or switch or copy_only or verify):
        raise UsageError(
            "--undo takes no URL and no other step",
            found="more",
            hint="It knows where the store was moving to",
        )
    if not back and url is None:
        raise UsageError(
            "where to is missing",
            expected="postgresql://USER@HOST/DATABASE",
            hint="See tabard store migrate --help",
        )
    if switch and copy_only:
        raise UsageError("--switch and --copy-only exclude each other", found="both of them")
    _refuse_missing()
    settings = load(home)
    from tabard.consumers.store.moving import run
    from tabard.consumers.store.place import SETTINGS, Place, Spelled

    directory = settings.str("store.path") or str(home.store)
    place = Place("", url or "", *_secrets(password_file, password_key, settings))
    password = place.password(
        SETTINGS if password_file is None else Spelled("--password-file", "--password-key")
    )
    if back:
        click.echo(f"tabard: {run.undo(directory, password)}", err=True)
        if output == "json":  # whoever parses it finds a list here too
            emit((), COLUMNS, output)
        return exits.DONE
    from tabard.ops.switching import Switch, lines_for

    prepared: list[Switch] = []

    def ready() -> None:
        if switch:
            prepared.append(Switch(home, place))

    ready()  # what speaks against it is said before hours of copying, and looked at again before the store is closed
    moved = run.migrate(
        directory,
        place.url,
        password,
        _Teller(),
        verify=verify,
        only_copy=copy_only,
        ready=ready,
    )
    emit((each._asdict() for each in moved), COLUMNS, output)
    if switch:
        prepared[-1].write()
        click.echo(f"tabard: {home.settings_file} names the new place; roles that run go on there", err=True)
    elif copy_only:
        click.echo("tabard: copied; the store goes on where it is", err=True)
    else:
        click.echo(
            f"tabard: the store has moved; now set in [store] of {home.settings_file}: {lines_for(place)}",
            err=True,
        )
    return exits.DONE


def _refuse_missing() -> None:
    refuse_missing(["recorder"])
    if find_spec("psycopg2") is None:
        raise TabardError(
            "PostgreSQL cannot be reached from this host",
            expected="the Python package psycopg2",
            found="none",
            hint="Install tabard with its extra: pip install 'tabard[server]'",
        )


def _secrets(file: str | None, key: str | None, settings: Settings) -> tuple[str, str]:
    """The password file and its key: what is given, else what the settings say of both."""
    if file is None and key is None:
        return settings.str("store.password_file"), settings.str("store.password_key")
    if file is None:
        raise UsageError("--password-key is for a --password-file", found="none", hint="Name both")
    return _absolute(file), _absolute(key) if key is not None else ""


def _absolute(path: str) -> str:
    return os.path.abspath(os.path.expanduser(path))


class _Teller:
    """Says on standard error how it goes; an `Observer`."""

    def __init__(self) -> None:
        self._next = 0.0

    def phase(self, text: str) -> None:
        """Something else begins."""
        click.echo(f"tabard: {text}", err=True)

    def copied(self, table: Carried, rows: int, total: int) -> None:
        """So many rows of about so many."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _TELL_EVERY
            of = f" of about {total:,}" if total > rows else ""
            click.echo(f"tabard: {table.name}: {rows:,}{of} rows", err=True)
