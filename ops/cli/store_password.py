"""``tabard store password``: the password of a store on a server, encrypted in a file."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from tabard import exits
from tabard.errors import StoreError, UsageError
from tabard.home import Home
from tabard.ops.cli.base import command
from tabard.settings import load

if TYPE_CHECKING:
    from tabard.consumers.store.place import Place

_MOST: Final = 1_024
"""Bytes of a password with its line feed."""


@command(
    "password",
    examples=[
        ("tabard store password", "Ask for the password, and encrypt it"),
        ("pass show db/tabard | tabard store password", "Take it from a program; it is in no process list"),
        ("tabard store password --new-key", "Encrypt the password that is there with a new key"),
    ],
)
@click.option("--new-key", is_flag=True, help="Make a new key, and keep the password.")
def store_password(home: Home, new_key: bool) -> int:
    """Encrypt the password of `store.url` into `store.password_file`, with the key in `store.password_key`.

    The password is asked for, or read from standard input where that is no terminal: never from an argument, which
    process lists and the shell's history would show. The key is made when there is none. Both files are readable by
    their owner only and replaced as a whole. Run it as the user of the recorder. Recorder and herald read
    both for each connection that they open.
    """
    from tabard.consumers.store.place import Place

    place = Place.of(load(home), home)
    for name, value in (
        ("store.url", place.url),
        ("store.password_file", place.password_file),
        ("store.password_key", place.password_key),
    ):
        if not value:
            raise UsageError(
                "the settings do not say where the password is to be",
                expected=f"a value for {name}",
                found='""',
                where=str(home.settings_file),
            )
    try:
        key_id = _renewed(place) if new_key else _entered(place)
    except OSError as error:
        raise StoreError(
            "the password cannot be written",
            expected="directories in which this user may write",
            found=error.strerror or str(error),
            where=str(error.filename or place.password_file),
        ) from error
    click.echo(f"{place.password_file}: encrypted with the key {key_id} in {place.password_key}")
    return exits.DONE


def _entered(place: Place) -> str:
    """Encrypt a password that is given now; the key's id."""
    from tabard.consumers.store import sealed

    path = Path(os.path.expanduser(place.password_key))
    if path.exists():
        keys = sealed.read_keys(place.password_key, "store.password_key")
        password = _given()
    else:
        password = _given()
        keys = [sealed.new_key()]
        sealed.write_keys(path, keys)
    sealed.write_private(_file(place), sealed.encrypt(password, keys[0]))
    return sealed.key_id(keys[0])


def _renewed(place: Place) -> str:
    """Encrypt the password that is there with a new key; the key's id.

    The file holds both keys while the password is replaced: whenever this ends, one of them fits.
    """
    from tabard.consumers.store import sealed

    password = place.password()
    old = sealed.read_keys(place.password_key, "store.password_key")
    path = Path(os.path.expanduser(place.password_key))
    key = sealed.new_key()
    sealed.write_keys(path, [key, *old])
    sealed.write_private(_file(place), sealed.encrypt(password, key))
    sealed.write_keys(path, [key])
    return sealed.key_id(key)


def _file(place: Place) -> Path:
    return Path(os.path.expanduser(place.password_file))


def _given() -> str:
    """The password, not shown. Raises UsageError for one that cannot be."""
    if sys.stdin.isatty():
        password: str = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    else:
        password = sys.stdin.readline(_MOST).rstrip("\r\n")
    if not password or "\0" in password or len(password.encode()) > _MOST - 1:
        raise UsageError(
            "no password was given", expected=f"one line of 1 to {_MOST - 1} bytes", found="none"
        )
    return password
