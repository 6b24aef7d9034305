"""Values as they grow layer by layer: defaults < file < stage < environment < argument.

Every error is collected, so that all of them can be shown at once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final

from tabard.errors import SettingsError, TabardError
from tabard.settings import stages
from tabard.settings.document import Document
from tabard.settings.findings import Finding, error_at
from tabard.settings.reading import DocumentReader, did_you_mean
from tabard.settings.schema import Schema, Setting
from tabard.settings.stages import Stage
from tabard.settings.values import Origin, Rows

CHOICE: Final = "node.stage"
"""The setting that chooses the stage."""
STAGE_PORT: Final = "intake.socket_handler"
"""The setting that can be the port of the stage."""


class Layers:
    """The values as they grow layer by layer, and what was wrong on the way."""

    def __init__(self, schema: Schema, known: Mapping[str, Stage] = stages.DEFAULTS) -> None:
        self.schema = schema
        self.stages = dict(known)
        """Every stage there is."""
        self.rows = schema.by_name()
        self.findings: list[Finding] = []
        self.values: dict[str, tuple[Any, Origin]] = {
            row.name: (row.default_value(), Origin("default"))
            for row in schema.settings
            if row.default is not None
        }
        self.tables: dict[str, Rows] = dict.fromkeys((table.name for table in schema.tables), ())

    def apply_document(self, document: Document) -> None:
        """The file's own tables; the ``[stage.*]`` tables are left to ``apply_stages``."""
        content = {key: value for key, value in document.content.items() if key != "stage"}
        read = DocumentReader(self, document, (), "file")
        self.values.update(read.sections(content))
        self.tables.update(read.repeated)

    def apply_stages(self, document: Document, chosen: str) -> None:
        """The tables of the chosen stage. All stages are read, so that an error in any of them shows."""
        for name, content in self._stage_tables(document).items():
            sections = self._describe(document, name, content)
            read = DocumentReader(self, document, ("stage", name), "stage")
            values = read.sections(sections)
            if values.pop(CHOICE, None) is not None:
                path = ("stage", name, *CHOICE.split("."))
                key, line = ".".join(path), document.line(path)
                self.fail(document.file, key, line, "a stage cannot choose the stage", hint="Remove it")
            if name == chosen:
                self.values.update(values)
                self.tables.update(read.repeated)
        self._refuse_clashes(document)

    def describe_stages(self, document: Document) -> None:
        """Take the stages that a file describes, and nothing else of it."""
        for name, content in self._stage_tables(document).items():
            self._describe(document, name, content)
        self._refuse_clashes(document)

    def apply_texts(self, document: Document) -> None:
        """A file of the chosen stage whose values are all text."""
        read = DocumentReader(self, document, (), "stage", text=True)
        self.values.update(read.sections(document.content))

    def check_stage(self, chosen: tuple[str, Origin], file: str) -> None:
        """A stage that nobody described would run with the settings of none."""
        stage, origin = chosen
        if stage and stage not in self.stages:
            place = origin.place if origin.source != "file" else file
            hint = f"Describe it as [stage.{stage}] in {file}"
            meant = nearest(stage, self.stages)
            self.fail(
                place,
                "stage",
                origin.line,
                "no such stage",
                f"one of {', '.join(self.stages)}",
                repr(stage),
                f"Did you mean {meant}?" if meant else hint,
            )

    def _stage_tables(self, document: Document) -> Mapping[str, Mapping[str, Any]]:
        tables = document.content.get("stage", {})
        if isinstance(tables, dict) and all(isinstance(value, dict) for value in tables.values()):
            return tables
        self.fail(
            document.file,
            "stage",
            document.line(("stage",)),
            "wrong value",
            "tables [stage.NAME] and [stage.NAME.SECTION]",
        )
        return {}

    def _describe(self, document: Document, name: str, content: Mapping[str, Any]) -> dict[str, Any]:
        """Take what a stage's table says of the stage itself; returns its sections."""
        try:
            stages.check_name(name)
        except TabardError as error:
            line = document.line(("stage", name))
            self.fail(document.file, f"stage.{name}", line, error.what, error.expected, error.found)
            return {}
        sections = {key: value for key, value in content.items() if _holds_settings(value)}
        own = {key: value for key, value in content.items() if key not in sections}
        read = DocumentReader(self, document, ("stage", name), "stage")
        self.stages[name] = read.stage(self.stages.get(name) or stages.known(name), own)
        return sections

    def _refuse_clashes(self, document: Document) -> None:
        for name, key, other in stages.clashes(self.stages):
            # Point at the one that this file describes; the other may be one of the four.
            here, there = (name, other) if ("stage", name) in document.lines else (other, name)
            self.fail(
                document.file,
                f"stage.{here}.{key}",
                document.line(("stage", here, key)),
                f"the same as that of the stage {there}",
                hint="Side by side they would use the same files and ports: give each its own",
            )

    def apply_environment(self, env: Mapping[str, str], but: Collection[str] = ()) -> None:
        """``PREFIX_SECTION_KEY`` variables, ``but`` those of some settings; an empty one counts as not set."""
        variables = {self.schema.variable(row.name): row for row in self.schema.settings}
        reserved, prefix = self.schema.reserved, f"{self.schema.prefix}_"
        for variable in sorted(env):
            row = variables.get(variable)
            if row is not None:
                if row.name not in but and env[variable]:
                    origin = Origin("environment", variable)
                    self.read_one(row, env[variable], f"environment {variable}", origin)
            elif reserved is not None and variable.startswith(prefix) and variable not in reserved:
                error = SettingsError(
                    "not a setting, so it changes nothing",
                    file=f"environment {variable}",
                    hint=did_you_mean(variable, variables),
                )
                self.findings.append(Finding(error, warning=True))

    def apply_arguments(self, args: Mapping[str, object]) -> None:
        """Values from the command line, by dotted name."""
        for name, raw in args.items():
            if raw is None:
                continue
            row = self.rows.get(name)
            if row is None:
                is_table = name in self.tables
                hint = "Describe it in the file" if is_table else self.meant(name, self.rows)
                what = "a table, which no argument can give" if is_table else "no such setting"
                self.fail("command line", name, None, what, hint=hint)
            else:
                self.read_one(row, raw, "command line", Origin("argument", "command line"))

    def follow(self) -> None:
        """Give what no layer gave, and what follows another setting, the value of that one."""
        for row in self.schema.settings:
            if row.follows and self.values[row.name][1].source == "default":
                self.values[row.name] = self.values[row.follows]

    def take_stage_port(self, chosen: str) -> None:
        """Let `STAGE_PORT` be the loopback address with the port of the chosen stage, where it says "stage"."""
        value, origin = self.values.get(STAGE_PORT, ("", None))
        if value != stages.OF_STAGE or origin is None:
            return
        stage = self.stages.get(chosen, stages.NONE)
        if stage.port:
            self.values[STAGE_PORT] = (f"127.0.0.1:{stage.port}", origin)
            return
        where = f"the stage {stage.name} has no port" if stage.name else "no stage is chosen"
        hint = f"Give it one in [stage.{stage.name}]" if stage.name else "Choose one, or write an address"
        self.fail(origin.place, STAGE_PORT, origin.line, where, hint=hint)

    def require(self) -> None:
        """Note what has no default and was given by no layer."""
        for row in self.schema.settings:
            failed = any(finding.error.key == row.name for finding in self.findings)
            if row.name not in self.values and not failed:
                section, _, key = row.name.partition(".")
                hint = f"Give it as {key} in [{section}], or as {self.schema.variable(row.name)}"
                self.fail(None, row.name, None, "missing", row.kind.form, hint=hint)

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
        file: str | None,
        key: str,
        line: int | None,
        what: str,
        expected: str | None = None,
        found: str | None = None,
        hint: str | None = None,
    ) -> None:
        """Note an error."""
        error = error_at(file, what, key=key, line=line, expected=expected, found=found, hint=hint)
        self.findings.append(Finding(error))

    def meant(self, name: str, known: Iterable[str]) -> str | None:
        """What to write instead of ``name``."""
        moved = self.schema.moved.get(name)
        return f"It is called {moved}" if moved else did_you_mean(name, known)


def described_stages(document: Document) -> tuple[str, ...]:
    """The names of the stages that a file has tables of."""
    tables = document.content.get("stage", {})
    return tuple(tables) if isinstance(tables, dict) else ()


def _holds_settings(value: object) -> bool:
    """Whether a key of a stage's table is a section, or a table that repeats, rather than a property."""
    if isinstance(value, list):
        return bool(value) and all(isinstance(item, dict) for item in value)
    return isinstance(value, dict)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The nearest of ``known``, whatever the case; None when none is near."""
    import difflib  # only on the way to an error

    by_lower = {each.lower(): each for each in known}
    close = difflib.get_close_matches(name.lower(), list(by_lower), n=1, cutoff=0.8)
    return by_lower[close[0]] if close else None
