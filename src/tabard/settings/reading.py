"""Reading the sections of a settings file, or of one stage in it, against a schema."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from tabard.settings import stages
from tabard.settings.document import Document
from tabard.settings.kinds import brief
from tabard.settings.lines import KeyPath
from tabard.settings.schema import Setting, Table
from tabard.settings.stages import Stage
from tabard.settings.values import Origin, Rows

if TYPE_CHECKING:
    from tabard.settings.layers import Layers


class DocumentReader:
    """Reads the sections of one document, or of one stage in it; ``text`` says that all its values are text."""

    def __init__(
        self, layers: Layers, document: Document, prefix: KeyPath, source: str, *, text: bool = False
    ) -> None:
        self._layers = layers
        self._text = text
        self._document = document
        self._prefix = prefix
        self._source = source
        self._tables = {table.name: table for table in layers.schema.tables}
        self.repeated: dict[str, Rows] = {}

    def sections(self, content: Mapping[str, Any]) -> dict[str, tuple[Any, Origin]]:
        """The values of all sections; the tables that repeat go to ``repeated``."""
        values: dict[str, tuple[Any, Origin]] = {}
        for section, keys in content.items():
            if section in self._tables:
                self._repeat(section, keys, (section,))
            elif section not in self._layers.schema.sections:
                self._unknown_section(section)
            elif not isinstance(keys, dict):
                self._fail((section,), "wrong value", f"a table [{section}]", brief(keys))
            else:
                values.update(self._section(section, keys))
        return values

    def stage(self, stage: Stage, keys: Mapping[str, Any]) -> Stage:
        """``stage`` with the properties of its table; what is wrong with one leaves it as it was."""
        rows = {row.name: row for row in stages.ROWS}
        given = {}
        for key, raw in keys.items():
            if key in rows:
                value = self._checked(rows[key], raw, (key,))
                if value is not None:
                    given[key] = value
            elif key in self._layers.schema.sections:
                self._fail((key,), "wrong value", f"a table [{dotted((*self._prefix, key))}]", brief(raw))
            else:
                self._fail(
                    (key,), "no such key", hint=did_you_mean(key, [*rows, *self._layers.schema.sections])
                )
        return stages.changed(stage, given)

    def _section(self, section: str, keys: Mapping[str, Any]) -> dict[str, tuple[Any, Origin]]:
        values = {}
        for key, raw in keys.items():
            name = f"{section}.{key}"
            path = (section, key)
            row = self._layers.rows.get(name)
            if name in self._tables:
                self._repeat(name, raw, path)
            elif row is None:
                known = [*self._layers.rows, *self._tables]
                self._fail(path, "no such setting", hint=self._layers.meant(name, known))
            else:
                value = self._checked(row, raw, path)
                if value is not None:
                    values[name] = (value, Origin(self._source, self._document.file, self._line(path)))
        return values

    def _repeat(self, name: str, raw: object, path: KeyPath) -> None:
        self.repeated[name] = tuple(
            (row, Origin(self._source, self._document.file, self._line((*path, number))))
            for number, row in self._list(self._tables[name], raw, path)
        )

    def _list(self, table: Table, raw: object, path: KeyPath) -> list[tuple[int, Any]]:
        """The rows that are right, with their numbers counted from 0."""
        if not isinstance(raw, list) or not all(isinstance(item, dict) for item in raw):
            self._fail(path, "wrong value", f"tables [[{dotted(path)}]]", brief(raw))
            return []
        made = ((number, self._row(table, item, (*path, number))) for number, item in enumerate(raw))
        return [(number, row) for number, row in made if row is not None]

    def _row(self, table: Table, keys: Mapping[str, Any], path: KeyPath) -> Any:
        inner = {each.name: each for each in table.inner}
        rows = {row.name: row for row in table.rows}
        values: dict[str, Any] = dict.fromkeys(inner, ())
        for key in keys:
            if key not in rows and key not in inner:
                self._fail((*path, key), "no such key", hint=did_you_mean(key, [*rows, *inner]))
        for name, each in inner.items():
            if name in keys:
                values[name] = tuple(row for _, row in self._list(each, keys[name], (*path, name)))
        for name, row in rows.items():
            if name in keys:
                values[name] = self._checked(row, keys[name], (*path, name))
            elif row.default is None:
                self._fail((*path, name), "missing", row.kind.form)
                values[name] = None
            else:
                values[name] = row.default_value()
        return None if None in values.values() else table.make(**values)

    def _unknown_section(self, section: str) -> None:
        known = [*self._layers.schema.sections, *self._tables, "stage"]
        self._fail((section,), "no such section", hint=did_you_mean(section, known))

    def _checked(self, row: Setting, raw: object, path: KeyPath) -> Any:
        read = row.kind.read_text if self._text else row.kind.read
        return self._layers.checked(
            row, read, raw, self._document.file, dotted(self._prefix + path), self._line(path)
        )

    def _fail(
        self,
        path: KeyPath,
        what: str,
        expected: str | None = None,
        found: str | None = None,
        hint: str | None = None,
    ) -> None:
        key = dotted(self._prefix + path)
        self._layers.fail(self._document.file, key, self._line(path), what, expected, found, hint)

    def _line(self, path: KeyPath) -> int | None:
        return self._document.line(self._prefix + path)


def dotted(path: KeyPath) -> str:
    """A path as people write it; elements of repeated tables are counted from 1."""
    dotted = ""
    for part in path:
        if isinstance(part, int):
            dotted += f"[{part + 1}]"
        else:
            dotted += f".{part}" if dotted else part
    return dotted


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """What to write instead of ``name``, or where all names are."""
    import difflib  # only on the way to an error

    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"Did you mean {close[0]}?" if close else "The settings reference lists all names"
