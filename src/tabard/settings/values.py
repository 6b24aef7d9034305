"""The settings as a role reads them: typed, with the origin of every value, secrets masked when shown."""

from __future__ import annotations

import builtins
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Self, TypeVar

from tabard.errors import SettingsError
from tabard.home import Home
from tabard.settings.schema import Action, Broker, Schema, Tail, Tunnel
from tabard.settings.stages import DEFAULTS, NONE, Stage

_T = TypeVar("_T")
_NOWHERE: Final = object()


class Origin(NamedTuple):
    """Where a value came from: ``source`` is default, file, stage, environment or argument."""

    source: str
    place: str = ""
    """The file and line, the variable or the option; empty for a default."""
    line: int | None = None

    def __str__(self) -> str:
        place = f"{self.place}, line {self.line}" if self.line else self.place
        return f"{self.source}: {place}" if place else self.source


Rows = tuple[tuple[Any, Origin], ...]
"""The rows of a table that repeats, each with the place where it is written."""


class Shown(NamedTuple):
    """One setting as a person may see it."""

    name: str
    value: str
    origin: Origin
    reload: bool


class Values:
    """All values of one schema, after every layer was applied. Immutable.

    ``values["agent.linger"]`` is the value; the methods named after types also tell a type checker what
    it is, and raise SettingsError when a caller asks for a name or a type that the table does not have.
    """

    def __init__(
        self, schema: Schema, values: Mapping[str, tuple[Any, Origin]], tables: Mapping[str, Rows]
    ) -> None:
        self.schema = schema
        self.values: Final = MappingProxyType(dict(values))
        self.tables: Final = MappingProxyType(dict(tables))

    def __getitem__(self, name: str) -> Any:
        return self._found(name)[0]

    def str(self, name: builtins.str) -> builtins.str:
        """The value of a text setting."""
        return self._typed(name, builtins.str)

    def int(self, name: builtins.str) -> builtins.int:
        """The value of a number setting."""
        return self._typed(name, builtins.int)

    def seconds(self, name: builtins.str) -> float:
        """The value of a duration setting, in seconds."""
        return self._typed(name, float)

    def bytes(self, name: builtins.str) -> builtins.int:
        """The value of a size setting, in bytes."""
        return self._typed(name, builtins.int)

    def flag(self, name: builtins.str) -> bool:
        """The value of a flag setting."""
        return self._typed(name, bool)

    def strings(self, name: builtins.str) -> tuple[builtins.str, ...]:
        """The value of a list setting."""
        return self._typed(name, tuple)

    def origin(self, name: builtins.str) -> Origin:
        """Where the value of ``name`` came from."""
        return self._found(name)[1]

    def masked(self) -> tuple[Shown, ...]:
        """Every setting in the table's order, then the rows of repeated tables, as people may see them."""
        shown = [
            Shown(setting.name, setting.show(value), origin, setting.reload)
            for setting in self.schema.settings
            for value, origin in (self.values[setting.name],)
        ]
        for table in self.schema.tables:
            taken = set(table.reloaded(table.name))
            for number, (row, origin) in enumerate(self.tables[table.name], 1):
                shown += (
                    Shown(name, text, origin, table.reload or re.sub(r"\[\d+\]", "", name) in taken)
                    for name, text in table.shown(f"{table.name}[{number}]", row)
                )
        return tuple(shown)

    def changed(self, newer: Values) -> tuple[builtins.str, ...]:
        """The names, of settings and of tables, whose value differs in ``newer``, or that only one of both has.

        Where rows of a table differ only in what a running role takes anew, these are named: ``broker.rate``.
        """
        every = [*self.values, *(name for name in newer.values if name not in self.values)]
        names = [name for name in every if _value(self, name) != _value(newer, name)]
        for table in self.schema.tables:
            one, other = (_bare(values.tables[table.name]) for values in (self, newer))
            if one != other:
                names += sorted(table.all_taken(table.name, one, other) or {table.name})
        return tuple(names)

    def keeping(self, older: Self, names: tuple[builtins.str, ...]) -> Self:
        """These values with those of ``older`` for ``names``, as far as it has them."""
        values = {
            name: (older if name in names and name in older.values else self).values[name]
            for name in self.values
        }
        tables = {name: (older if name in names else self).tables[name] for name in self.tables}
        return self._with(values, tables)

    def _with(
        self, values: Mapping[builtins.str, tuple[Any, Origin]], tables: Mapping[builtins.str, Rows]
    ) -> Self:
        """The same with other values."""
        return type(self)(self.schema, values, tables)

    def _found(self, name: builtins.str) -> tuple[Any, Origin]:
        try:
            return self.values[name]
        except KeyError:
            raise SettingsError(
                "no such setting", key=name, hint="The table in the reference lists all"
            ) from None

    def _typed(self, name: builtins.str, expected: type[_T]) -> _T:
        value: object = self[name]
        if not isinstance(value, expected):
            raise SettingsError("asked for as another type", key=name, expected=expected.__name__)
        return value


class Settings(Values):
    """All settings of one home."""

    def __init__(
        self,
        home: Home,
        schema: Schema,
        values: Mapping[str, tuple[Any, Origin]],
        tables: Mapping[str, Rows],
        stages: Mapping[str, Stage] = DEFAULTS,
    ) -> None:
        super().__init__(schema, values, tables)
        self.home = home
        self.stages = stages
        """Every stage there is, by name."""

    @property
    def stage(self) -> Stage:
        """The chosen stage; ``stages.NONE`` where none was."""
        return self.stages.get(self.str("node.stage"), NONE)

    @property
    def brokers(self) -> tuple[Broker, ...]:
        """The ``[[broker]]`` tables, in the order of the file; empty when none is described."""
        return tuple(broker for broker, _ in self.tables["broker"])

    @property
    def tunnels(self) -> tuple[Tunnel, ...]:
        """The ``[[tunnel]]`` tables, in the order of the file."""
        return tuple(tunnel for tunnel, _ in self.tables["tunnel"])

    @property
    def actions(self) -> tuple[Action, ...]:
        """The ``[[action]]`` tables, in the order of the file."""
        return tuple(action for action, _ in self.tables["action"])

    @property
    def tails(self) -> tuple[Tail, ...]:
        """The ``[[intake.tail]]`` tables, in the order of the file."""
        return tuple(tail for tail, _ in self.tables["intake.tail"])

    def _with(self, values: Mapping[str, tuple[Any, Origin]], tables: Mapping[str, Rows]) -> Self:
        return type(self)(self.home, self.schema, values, tables, self.stages)


def _value(values: Values, name: str) -> object:
    found = values.values.get(name)
    return _NOWHERE if found is None else found[0]


def _bare(rows: Rows) -> list[Any]:
    return [row for row, _ in rows]
