"""Moving a store, and taking that back, as a command asks for it: the engines' own errors become sentences."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator

import psycopg2
from psycopg2 import errors

from tabard.consumers.store.layout import CLOSED
from tabard.consumers.store.moving import undo as undoing
from tabard.consumers.store.moving.journey import Journey, Moved, Observer
from tabard.consumers.store.moving.source import Source
from tabard.consumers.store.moving.target import Target
from tabard.errors import StoreError

_OPEN = "The store goes on where it was; run the same command again, and it goes on from here"
_SHUT = "The store stays closed, and nodes keep their records: run the same command again, or with --undo"


def migrate(
    directory: str | os.PathLike[str],
    url: str,
    password: str,
    observer: Observer,
    *,
    verify: bool = False,
    only_copy: bool = False,
    ready: Callable[[], None] = lambda: None,
) -> list[Moved]:
    """Move the store in `directory` to the database at `url`; see `Journey.run`.

    With `verify` every row is read back and compared, value by value. Raises StoreError.
    """
    with Source(directory) as source, _sentences(source, url), Target(url, password) as target:
        moved = Journey(source, target, observer, verify=verify).run(url, only_copy=only_copy, ready=ready)
        if not only_copy:
            observer.phase("letting the server look at what it holds")
            with contextlib.suppress(psycopg2.Error):  # it does so by itself, only later
                target.analyze()
    return moved


def undo(directory: str | os.PathLike[str], password: str) -> str:
    """Take the move of the store in `directory` back; what was done, in words. Raises StoreError."""
    with Source(directory) as source, _sentences(source, _begun_at(source)):
        return undoing.undo(source, lambda url: Target(url, password))


def _begun_at(source: Source) -> str:
    """The URL that the store was being moved to."""
    begun = source.begun()
    return "" if begun is None else begun.url


@contextlib.contextmanager
def _sentences(source: Source, url: str) -> Iterator[None]:
    try:
        yield
    except psycopg2.Error as error:
        raise StoreError(
            "the database could not be filled",
            expected=_expected(error),
            found=" ".join(str(error).split()) or type(error).__name__,
            where=url,
            hint=_hint(source),
        ) from error
    except sqlite3.Error as error:
        raise StoreError(
            "the store could not be moved",
            expected="files that can be read, and written for a moment",
            found=str(error),
            where=str(source.directory),
            hint=_hint(source),
        ) from error


def _expected(error: psycopg2.Error) -> str:
    if isinstance(error, errors.InsufficientPrivilege):
        return "a user that may make schemas and tables in this database"
    if isinstance(error, errors.DiskFull):
        return "room on the disk of the server"
    return "a server that stays there and takes the rows"


def _hint(source: Source) -> str:
    with contextlib.suppress(sqlite3.Error, StoreError):
        return _SHUT if source.state() == CLOSED else _OPEN
    return _SHUT
