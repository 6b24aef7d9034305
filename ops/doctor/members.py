"""What a support bundle is put together from: one function for each file in it, each of a home as it stands, roles running or not."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import platform
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from tabard import __version__
from tabard.errors import TabardError
from tabard.ops.doctor.place import Place

RECORDS: Final = 500
"""Records of Tabard's own roles that are taken from the store, the newest."""
TAIL: Final = 200_000
"""Bytes of the end of each role's log file."""
ROLES: Final = ("up", "agent", "broker", "recorder", "dispatcher", "herald", "tunnel")
LEFT_OUT: Final = (
    ("records of applications", "never in a bundle: neither from the journal nor from the store"),
    ("command lines, environments and output of commands", "never in a bundle"),
    ("private keys", "never in a bundle: only whose each key is, until when, and whether it holds"),
    ("accounts, sessions, tokens and one-time links", "never in a bundle"),
    (
        "the settings as they were written",
        "values stand in settings.json, secrets masked; comments could hold anything",
    ),
)
"""What is in no bundle, and why."""


class Member(NamedTuple):
    """One file of a bundle."""

    name: str
    make: Callable[[Place], Any]
    """For a name that ends in ``.log`` a text, or texts that have nothing to do with each other; else a value of JSON. None: nothing."""
    ids: bool = False
    """Whether ids of keys are to stay readable in it."""


def versions(_place: Place) -> dict[str, Any]:
    """Of Tabard, what it stands on, and the system."""
    packages = {}
    for line in importlib.metadata.requires("tabard") or ():
        name = line.split(";")[0].strip()
        name = next(
            (name[:at] for at, char in enumerate(name) if not (char.isalnum() or char in "-_.")), name
        )
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            packages[name] = importlib.metadata.version(name)
    return {
        "tabard": __version__,
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "system": platform.platform(),
        "machine": platform.machine(),
        "packages": packages,
    }


def settings(place: Place) -> dict[str, Any]:
    """Every value with where it came from; where they cannot be read, what is wrong with them."""
    from tabard.settings import examine

    if place.settings is not None:
        shown = [[each.name, each.value, str(each.origin)] for each in place.settings.masked()]
        return {"values": shown, "findings": []}
    errors = [str(each.error) for each in examine(place.home, every_stage=True).findings]
    return {"values": [], "findings": errors}


def status(place: Place) -> dict[str, Any]:
    """What ``tabard status`` shows."""
    from tabard.ops.report import report

    return report(place.home)


def roles(place: Place) -> list[dict[str, Any]]:
    """What each role says of itself."""
    return [asdict(role) for role in place.roles]


def zones(place: Place) -> dict[str, Any] | None:
    """What ``tabard zones`` shows."""
    from tabard.ops.cli.zones import as_object
    from tabard.ops.zonefacts import map_of

    return None if place.settings is None else as_object(map_of(place.home, place.settings))


def store(place: Place) -> dict[str, Any] | None:
    """The store in numbers."""
    from tabard.ops.stores import numbers, open_reader, path_of

    if place.settings is None or not place.records:
        return None
    with open_reader(place.home, place.settings) as reader:
        return numbers(reader.stats(), path_of(place.home, place.settings))


def keys(place: Place) -> list[dict[str, Any]] | None:
    """What ``tabard keys list`` shows: public facts."""
    from tabard.ops.keys import listed, trusted

    if not place.home.trust.exists():
        return None
    return [dict(row) for row in listed(trusted(place.home), place.now, every=False)]


def records(place: Place) -> list[str] | None:
    """The newest records of this node's roles, oldest first: of no application."""
    from tabard.consumers.store.results import LogQuery, LogRow
    from tabard.ops.stores import open_reader

    if place.settings is None or not place.records:
        return None
    lines: list[str] = []
    wanted = LogQuery(package="tabard", node=place.settings.str("node.name"), limit=RECORDS)
    with open_reader(place.home, place.settings) as reader:
        for row in reader.logs(wanted).rows:
            if isinstance(row, LogRow) and (row.service or "").startswith("tabard-"):
                lines += [part for part in (row.stack, row.exception) if part]
                lines.append(f"{row.time} {row.service} {row.level or ''} {row.message}")
    return lines[::-1] or None


def log_files(place: Place) -> Iterator[Member]:
    """The end of what each role wrote where no agent took it: of Tabard's own roles, by their names."""
    names = sorted(path.name for path in place.home.log.glob("*.log")) if place.home.log.is_dir() else []
    for name in names:
        if name.removesuffix(".log").partition(".")[0] in ROLES:
            path = place.home.log / name
            yield Member(f"log/{name}", functools.partial(_tail, path))


def _tail(path: Path, _place: Place) -> str:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - TAIL))
        data = file.read(TAIL)
    if size > TAIL:
        data = data.partition(b"\n")[2]  # the first line is a part of one
    return data.decode("utf-8", "replace")


MEMBERS: Final = (
    Member("versions.json", versions),
    Member("settings.json", settings),
    Member("status.json", status),
    Member("roles.json", roles),
    Member("zones.json", zones),
    Member("store.json", store),
    Member("keys.json", keys, ids=True),
    Member("records.log", records),
)


def secrets_of(place: Place) -> Iterator[str | bytes]:
    """Every secret of the home that is known by its value."""
    from tabard.consumers.people.link_file import first_link

    yield first_link(place.home).rpartition("/link/")[2]
    if place.settings is not None:
        yield from _of_settings(place)
    if place.home.trust.exists():
        from tabard.brokers.trust.files import Trust

        with contextlib.suppress(TabardError, OSError):
            trust = Trust.load(place.home)
            for file in trust.owned() if trust is not None else ():
                yield from (key.seed for key in (file.key, file.former) if key is not None)


def _of_settings(place: Place) -> Iterator[str]:
    assert place.settings is not None
    known = place.settings
    for setting in known.schema.settings:
        value = known.values[setting.name][0]
        for text in value if isinstance(value, tuple) else (value,):
            if isinstance(text, str) and setting.secret:
                yield text
            elif isinstance(text, str) and "://" in text:
                with contextlib.suppress(ValueError):
                    yield urlsplit(text).password or ""
    from tabard.consumers.store.place import Place as StorePlace

    with contextlib.suppress(TabardError, OSError):
        yield StorePlace.of(known, place.home).password()
