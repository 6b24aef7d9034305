"""What a row of the table of settings says, and the shapes of the tables that may repeat."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from tabard.settings.kinds import Kind

MASK: Final = "********"
"""Stands for a secret wherever values are shown."""
_SHORTEST_TOKEN: Final = 20
"""Characters from which on a text could be a token that is known by its shape."""
_SIGNS: Final = ("@", "=", ":", " ")
"""What stands between a name and a secret, or behind one in a URL."""


class Setting(NamedTuple):
    """One setting: everything the loader, the documentation and the command line know about it."""

    name: str
    """``section.key``, or the bare key inside a table that may repeat."""
    kind: Kind
    default: object
    """As it would stand in the file; a function that makes it; None where the setting must be given."""
    help: str
    reload: bool = False
    """Whether a running role takes a new value on SIGHUP; the others need a restart."""
    secret: bool = False
    """Whether the value must never be shown."""
    follows: str = ""
    """The setting whose value holds where no layer gives this one; its own default is the same."""

    def __repr__(self) -> str:
        # A declaration ends up in traces and logs; the default of a secret may be one.
        default = MASK if self.secret and self.default else self.default
        return f"Setting({self.name!r}, {self.kind.name}, {default!r})"

    def default_value(self) -> Any:
        """The default, read as if it had been written."""
        return self.kind.read(self.default() if callable(self.default) else self.default)

    def show(self, value: Any) -> str:
        """``value`` as a person may see it: masked when it is a secret, and so are passwords in a URL."""
        text = self.kind.show(value)
        if self.secret:
            return MASK if text else ""
        if len(text) < _SHORTEST_TOKEN and not any(sign in text for sign in _SIGNS):
            return text
        from tabard.masking import visible  # the values of most homes need no look at all

        return visible(text)


class Link(NamedTuple):
    """A ``[[broker.link]]``: a child broker that is joined on purpose, because it cannot dial by itself."""

    peer: str
    dials: str
    up: str
    down: str
    rate: int = 0
    """Bytes a second that come up over it; 0 for any."""


class Broker(NamedTuple):
    """A ``[[broker]]``: one forwarder of this home. Endpoints are "" where the home's own sockets serve."""

    name: str
    zone: str
    up_in: str
    up_out: str
    down_in: str
    down_out: str
    parent: str
    parent_up: str
    parent_down: str
    standby: str
    standby_up: str
    standby_down: str
    rate: int
    """Bytes a second that it hands up; 0 for any."""
    link: tuple[Link, ...]


class Forward(NamedTuple):
    """A ``[[tunnel.forward]]``: an address on one side of a tunnel at which an address of the other side answers."""

    direction: str
    """``local``: this host listens; ``remote``: the other one does."""
    listen: str
    to: str
    """Where the side that does not listen hands a connection to; "" where somebody else's tunnel knows."""
    answer: str
    """What answers there: ``broker``, ``greeting`` or ``any``."""


class Tunnel(NamedTuple):
    """A ``[[tunnel]]``: an ssh connection that carries links. "" and 0 leave it to ssh's own configuration."""

    name: str
    backend: str
    host: str
    port: int
    user: str
    key_file: str
    host_key: str
    config: str
    forward: tuple[Forward, ...]


class Action(NamedTuple):
    """An ``[[action]]``: what this node does under a name when a command asks for it."""

    name: str
    run: tuple[str, ...]
    args: tuple[str, ...] = ()


class Tail(NamedTuple):
    """An ``[[intake.tail]]``: files whose lines become log records."""

    path: str
    format: str
    multiline: str
    service: str
    level: str
    binary: bool


class Table(NamedTuple):
    """A table that may repeat: its rows, what one of them becomes, and the tables it may hold itself."""

    name: str
    make: Callable[..., Any]
    rows: tuple[Setting, ...]
    help: str
    inner: tuple[Table, ...] = ()
    reload: bool = False

    def shown(self, path: str, made: Any) -> Iterator[tuple[str, str]]:
        """Every value of one row ``made`` of this table, as (``broker[1].zone``, text)."""
        values = made._asdict()
        for row in self.rows:
            yield f"{path}.{row.name}", row.show(values[row.name])
        for table in self.inner:
            for number, item in enumerate(values[table.name], 1):
                yield from table.shown(f"{path}.{table.name}[{number}]", item)

    def reloaded(self, path: str) -> Iterator[str]:
        """The names of what a running role takes anew in rows that are the same otherwise."""
        yield from (f"{path}.{row.name}" for row in self.rows if row.reload)
        for table in self.inner:
            yield from table.reloaded(f"{path}.{table.name}")

    def taken(self, path: str, one: Any, other: Any) -> set[str] | None:
        """What of `reloaded` differs between two rows; None where anything else does."""
        here, there = one._asdict(), other._asdict()
        names = {row.name for row in self.rows if here[row.name] != there[row.name]}
        if not names <= {row.name for row in self.rows if row.reload}:
            return None
        found = {f"{path}.{name}" for name in names}
        for table in self.inner:
            inner = table.all_taken(f"{path}.{table.name}", here[table.name], there[table.name])
            if inner is None:
                return None
            found |= inner
        return found

    def all_taken(self, path: str, ones: Sequence[Any], others: Sequence[Any]) -> set[str] | None:
        """As `taken`, of all rows."""
        if len(ones) != len(others):
            return None
        each = [self.taken(path, one, other) for one, other in zip(ones, others, strict=True)]
        return None if None in each else {name for names in each for name in names or ()}


class Schema(NamedTuple):
    """All settings there are."""

    sections: Mapping[str, str]
    settings: tuple[Setting, ...]
    tables: tuple[Table, ...]
    moved: Mapping[str, str]
    """Names that are not settings, and the one that is meant instead."""
    prefix: str = "TABARD"
    """How the environment variables begin that override settings."""
    reserved: frozenset[str] | None = None
    """Variables that begin so and are something else; None where nobody minds what else begins so."""

    def variable(self, name: str) -> str:
        """The environment variable that overrides the setting of that name."""
        return f"{self.prefix}_{re.sub('[^A-Z0-9]', '_', name.upper())}"

    def by_name(self) -> dict[str, Setting]:
        """The settings by their dotted name."""
        return {setting.name: setting for setting in self.settings}


def hostname() -> str:
    """The host's name in the form of a node name, the default of ``node.name``."""
    from tabard.names import clean_node

    return clean_node(os.uname().nodename)
