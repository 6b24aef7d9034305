"""Applying the layers: defaults < tabard.toml < stage < environment < argument.

Every error is collected, so that ``tabard check`` shows all of them at once; a role stops at the first.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from tabard.errors import SettingsError, TabardError
from tabard.home import ENVIRONMENT as HOME_VARIABLE
from tabard.home import Home
from tabard.settings.document import Document, read_document
from tabard.settings.kinds import brief
from tabard.settings.lines import KeyPath
from tabard.settings.lint import Finding, lint
from tabard.settings.schema import Schema, Setting, Table
from tabard.settings.table import SCHEMA
from tabard.settings.values import Origin, Rows, Settings

STAGE_VARIABLE: Final = "DEV_STAGE"
_OTHER_VARIABLES: Final = frozenset({HOME_VARIABLE, "TABARD_FAILPOINTS", "TABARD_FAILPOINT_LOG"})


class Examination(NamedTuple):
    """What the layers gave: the settings, when no error stood against them, and everything found."""

    settings: Settings | None
    findings: tuple[Finding, ...]


def load(
    home: Home | str | os.PathLike[str],
    stage: str | None = None,
    env: Mapping[str, str] | None = None,
    args: Mapping[str, object] | None = None,
) -> Settings:
    """The settings of ``home``. Raises SettingsError for the first thing that is wrong.

    ``stage`` wins over ``DEV_STAGE`` and ``node.stage``. ``env`` is the process's environment unless given.
    ``args`` maps names to values, as text or as the settings file would have them; None means not given.
    """
    examination = examine(home, stage, env, args)
    if examination.settings is not None:
        return examination.settings
    errors = [finding.error for finding in examination.findings if not finding.warning]
    if len(errors) > 1:
        more = f"{len(errors) - 1} more: `tabard check` shows all"
        errors[0].hint = f"{errors[0].hint}. {more}" if errors[0].hint else more
    raise errors[0]


def examine(
    home: Home | str | os.PathLike[str],
    stage: str | None = None,
    env: Mapping[str, str] | None = None,
    args: Mapping[str, object] | None = None,
    *,
    schema: Schema = SCHEMA,
) -> Examination:
    """Like ``load``, but never raises: every error and warning is in the result."""
    home = home if isinstance(home, Home) else Home(home)
    env = os.environ if env is None else env
    layers = _Layers(schema)
    try:
        document = read_document(home.settings_file)
    except SettingsError as error:
        return Examination(None, (Finding(error),))
    layers.apply_document(document)
    layers.apply_stage(document, _chosen_stage(layers, stage, env), explicit=stage is not None)
    layers.apply_environment(env)
    layers.apply_arguments(args or {})
    if any(not finding.warning for finding in layers.findings):
        return Examination(None, tuple(layers.findings))
    settings = Settings(home, schema, layers.values, layers.tables)
    findings = (*layers.findings, *lint(settings))
    broken = any(not finding.warning for finding in findings)
    return Examination(None if broken else settings, findings)


def _chosen_stage(layers: _Layers, stage: str | None, env: Mapping[str, str]) -> tuple[str, Origin]:
    if stage is not None:
        return stage, Origin("argument", "--stage")
    if env.get(STAGE_VARIABLE):
        return env[STAGE_VARIABLE], Origin("environment", STAGE_VARIABLE)
    variable = layers.schema.by_name()["node.stage"].variable
    if env.get(variable):
        return env[variable], Origin("environment", variable)
    return layers.values["node.stage"]


class _Layers:
    """The values as they grow layer by layer, and what was wrong on the way."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.rows = schema.by_name()
        self.findings: list[Finding] = []
        self.values: dict[str, tuple[Any, Origin]] = {
            row.name: (row.default_value(), Origin("default")) for row in schema.settings
        }
        self.tables: dict[str, Rows] = dict.fromkeys((table.name for table in schema.tables), ())

    def apply_document(self, document: Document) -> None:
        """The file's own tables; the ``[stage.*]`` tables are left to ``apply_stage``."""
        content = {key: value for key, value in document.content.items() if key != "stage"}
        read = _DocumentReader(self, document, (), "file")
        self.values.update(read.sections(content))
        self.tables.update(read.repeated)

    def apply_stage(self, document: Document, chosen: tuple[str, Origin], *, explicit: bool) -> None:
        """The tables of the chosen stage. All stages are read, so that an error in any of them shows."""
        stage, origin = chosen
        stages = document.content.get("stage", {})
        if not isinstance(stages, dict) or not all(isinstance(value, dict) for value in stages.values()):
            self.fail(
                document.file,
                "stage",
                document.line(("stage",)),
                "wrong value",
                "tables [stage.NAME.SECTION]",
            )
            return
        for name, content in stages.items():
            read = _DocumentReader(self, document, ("stage", name), "stage")
            values = read.sections(content)
            if name == stage:
                self.values.update(values)
                self.tables.update(read.repeated)
        if stage and stage not in stages and (stages or explicit):
            known = (
                "one of the stages " + ", ".join(stages) if stages else "[stage.NAME.*] tables in the file"
            )
            where = origin.place if origin.source != "file" else document.file
            self.fail(where, "node.stage", origin.line, "no such stage", known, repr(stage))
        self.values["node.stage"] = (stage, origin)

    def apply_environment(self, env: Mapping[str, str]) -> None:
        """``TABARD_SECTION_KEY`` variables; an empty one counts as not set."""
        variables = {row.variable: row for row in self.schema.settings}
        for variable in sorted(env):
            row = variables.get(variable)
            if row is not None and row.name != "node.stage" and env[variable]:
                self.read_one(row, env[variable], f"environment {variable}", Origin("environment", variable))
            elif row is None and variable.startswith("TABARD_") and variable not in _OTHER_VARIABLES:
                error = SettingsError(
                    "not a setting, so it changes nothing",
                    file=f"environment {variable}",
                    hint=_did_you_mean(variable, variables),
                )
                self.findings.append(Finding(error, warning=True))

    def apply_arguments(self, args: Mapping[str, object]) -> None:
        """Values from the command line, by dotted name."""
        for name, raw in args.items():
            if raw is None:
                continue
            row = self.rows.get(name)
            if row is None:
                hint = self.meant(name, self.rows)
                self.fail("command line", name, None, "no such setting", hint=hint)
            else:
                self.read_one(row, raw, "command line", Origin("argument", "command line"))

    def read_one(self, row: Setting, raw: object, file: str, origin: Origin) -> None:
        """One value into place, or a finding."""
        read = row.kind.read_text if isinstance(raw, str) else row.kind.read
        value = self.checked(row, read, raw, file, row.name, None)
        if value is not None:
            self.values[row.name] = (value, origin)

    def checked(
        self,
        row: Setting,
        read: Callable[[Any], Any],
        raw: object,
        file: str,
        key: str,
        line: int | None,
    ) -> Any:
        """The value of ``raw``, or None and a finding; the value of a secret is never shown."""
        try:
            return read(raw)
        except TabardError as error:
            found = "something else" if row.secret else error.found
            self.fail(file, key, line, error.what, error.expected, found)
            return None

    def fail(
        self,
        file: str,
        key: str,
        line: int | None,
        what: str,
        expected: str | None = None,
        found: str | None = None,
        hint: str | None = None,
    ) -> None:
        """Note an error."""
        error = SettingsError(what, file=file, key=key, line=line, expected=expected, found=found, hint=hint)
        self.findings.append(Finding(error))

    def meant(self, name: str, known: Iterable[str]) -> str | None:
        """What to write instead of ``name``."""
        moved = self.schema.moved.get(name)
        return f"It is called {moved}" if moved else _did_you_mean(name, known)


class _DocumentReader:
    """Reads the sections of one document, or of one stage in it."""

    def __init__(self, layers: _Layers, document: Document, prefix: KeyPath, source: str) -> None:
        self._layers = layers
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
            self._fail(path, "wrong value", f"tables [[{_dotted(path)}]]", brief(raw))
            return []
        made = ((number, self._row(table, item, (*path, number))) for number, item in enumerate(raw))
        return [(number, row) for number, row in made if row is not None]

    def _row(self, table: Table, keys: Mapping[str, Any], path: KeyPath) -> Any:
        inner = {each.name: each for each in table.inner}
        rows = {row.name: row for row in table.rows}
        values: dict[str, Any] = dict.fromkeys(inner, ())
        for key in keys:
            if key not in rows and key not in inner:
                self._fail((*path, key), "no such key", hint=_did_you_mean(key, [*rows, *inner]))
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
        self._fail((section,), "no such section", hint=_did_you_mean(section, known))

    def _checked(self, row: Setting, raw: object, path: KeyPath) -> Any:
        return self._layers.checked(
            row, row.kind.read, raw, self._document.file, _dotted(self._prefix + path), self._line(path)
        )

    def _fail(
        self,
        path: KeyPath,
        what: str,
        expected: str | None = None,
        found: str | None = None,
        hint: str | None = None,
    ) -> None:
        key = _dotted(self._prefix + path)
        self._layers.fail(self._document.file, key, self._line(path), what, expected, found, hint)

    def _line(self, path: KeyPath) -> int | None:
        return self._document.line(self._prefix + path)


def _dotted(path: KeyPath) -> str:
    """A path as people write it; elements of repeated tables are counted from 1."""
    dotted = ""
    for part in path:
        if isinstance(part, int):
            dotted += f"[{part + 1}]"
        else:
            dotted += f".{part}" if dotted else part
    return dotted


def _did_you_mean(name: str, known: Iterable[str]) -> str | None:
    import difflib  # only on the way to an error

    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"Did you mean {close[0]}?" if close else "The settings reference lists all names"
