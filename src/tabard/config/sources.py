"""Where the configuration of an application comes from, and the layers put together.

Defaults, then ``SERVICE.toml``, then what belongs to the chosen stage (its tables there, and the old INI file
``SERVICE<suffix>.cfg``), then environment variables, then arguments.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from tabard.config.ini import Free, read_ini
from tabard.config.options import LEVEL
from tabard.errors import SettingsError
from tabard.home import Home
from tabard.masking import secret_name, visible
from tabard.settings.document import Document, read_document
from tabard.settings.findings import Finding
from tabard.settings.layers import Layers, nearest
from tabard.settings.loader import STAGE, STAGE_VARIABLE, chosen_stage
from tabard.settings.schema import Schema, Setting
from tabard.settings.stages import NONE, Stage
from tabard.settings.table import SCHEMA
from tabard.settings.values import Origin, Rows, Values

DIRECTORY_VARIABLE: Final = "BASIC_CONFIGFILE_DIR"
"""Names the directory of configuration files, as it did for the forerunner."""
_INI: Final = (".cfg", ".ini")
_FREE: Final = Free()
_COMMENT: Final = re.compile(r"\s[;#]")
_OWN_LINE: Final = "A comment stands on a line of its own"


class Read(Values):
    """The values of an application, the stage they hold in, and where they came from."""

    def __init__(
        self,
        schema: Schema,
        values: Mapping[str, tuple[Any, Origin]],
        tables: Mapping[str, Rows],
        stage: Stage = NONE,
        stages: Mapping[str, Stage] | None = None,
        files: tuple[str, ...] = (),
        warnings: tuple[str, ...] = (),
    ) -> None:
        super().__init__(schema, values, tables)
        self.stage = stage
        self.stages = stages or {}
        self.files = files
        """The files that were there and were read."""
        self.warnings = warnings
        """What looks wrong and was taken all the same."""

    def _with(self, values: Mapping[str, tuple[Any, Origin]], tables: Mapping[str, Rows]) -> Self:
        return type(self)(self.schema, values, tables, self.stage, self.stages, self.files, self.warnings)


class Sources(NamedTuple):
    """Everything an application is configured by; fixed at its start, read again at each reload."""

    service: str
    schema: Schema
    home: Home
    directory: Path
    """Where the files are looked for."""
    file: Path | None
    """The one file that is read instead."""
    need_file: bool
    stage: str | None
    env: Mapping[str, str]
    args: Mapping[str, object]
    validate: Callable[[Values], None] | None
    before: tuple[str, ...] = ()
    """The files that said something the last time."""

    def load(self) -> Read:
        """All layers together. Raises SettingsError for the first thing that is wrong, saying how many more are."""
        findings: list[Finding] = []
        found = self._read(findings)
        errors = [finding.error for finding in findings if not finding.warning]
        if not errors:
            if self.validate is not None:
                _judge(self.validate, found)
            return found
        if len(errors) > 1:
            more = "; ".join(str(error) for error in errors[1:4])
            rest = f"{len(errors) - 1} more: {more}{'; ...' if len(errors) > 4 else ''}"
            errors[0].hint = f"{errors[0].hint}. {rest}" if errors[0].hint else rest
        raise errors[0]

    def _read(self, findings: list[Finding]) -> Read:
        estate = _estate(self.home)
        described = Layers(self.schema)
        described.describe_stages(estate)
        findings += described.findings
        toml = self._toml()
        look = Layers(self.schema, described.stages)
        look.describe_stages(toml)
        chosen = chosen_stage(_said(estate), SCHEMA.variable(STAGE), self.stage, self.env)
        stage = look.stages.get(chosen[0], NONE)
        ini = self._ini(stage)
        schema, warnings = _opened(self.schema, ini)

        layers = Layers(schema, described.stages)
        layers.apply_document(toml)
        layers.apply_stages(toml, chosen[0])
        layers.check_stage(chosen, estate.file)
        if layers.values[LEVEL][1].source == "default":
            layers.values[LEVEL] = (stage.level, Origin("default"))
        layers.apply_texts(ini)
        layers.apply_environment(self.env)
        layers.apply_arguments(self.args)
        layers.require()
        files = tuple(document.file for document in (toml, ini) if document.content)
        gone = [file for file in self.before if file not in files]
        if gone:
            hint = "Start the process again if it is to go on without"
            findings.append(Finding(SettingsError("is gone, or empty now", file=gone[0], hint=hint)))
        if self.need_file and not files:
            findings.append(Finding(self._nothing_there(stage)))
        _explain_comments(layers.findings, ini)
        findings += layers.findings
        warnings += _slips(schema, self.env)
        return Read(schema, layers.values, {}, stage, layers.stages, files, warnings)

    def _toml(self) -> Document:
        """The application's own file; empty where an INI file is read in its place."""
        if self.file is None:
            return read_document(self.directory / f"{self.service}.toml")
        return Document(str(self.file), {}, {}) if self.file.suffix in _INI else read_document(self.file)

    def _ini(self, stage: Stage) -> Document:
        """The old file of the stage; without a stage there is none, because PRODUCTION has no suffix either."""
        if self.file is not None:
            return read_ini(self.file) if self.file.suffix in _INI else Document(str(self.file), {}, {})
        if not stage.name:
            return Document("", {}, {})
        return read_ini(self.directory / f"{self.service}{stage.suffix}.cfg")

    def _nothing_there(self, stage: Stage) -> SettingsError:
        if self.file is not None:
            return SettingsError("no such file, or nothing in it", file=str(self.file))
        ini = f" or {self.service}{stage.suffix}.cfg" if stage.name else ""
        return SettingsError(
            "no configuration file",
            file=str(self.directory),
            expected=f"{self.service}.toml{ini} with something in it",
            hint=f"Name another directory with {DIRECTORY_VARIABLE}",
        )


def _estate(home: Home) -> Document:
    """The settings file of the home, which describes the stages of all that runs on the host.

    One that this user may not read says nothing: applications run as other users than the agent.
    """
    try:
        return read_document(home.settings_file)
    except SettingsError as error:
        if isinstance(error.__cause__, PermissionError):
            return Document(str(home.settings_file), {}, {})
        raise


def _said(estate: Document) -> tuple[str, Origin]:
    """The stage that the home's settings name."""
    node = estate.content.get("node")
    stage = node.get("stage") if isinstance(node, dict) else None
    if not isinstance(stage, str) or not stage:
        return "", Origin("default")
    return stage, Origin("file", estate.file, estate.line(("node", "stage")))


def _opened(schema: Schema, ini: Document) -> tuple[Schema, tuple[str, ...]]:
    """The schema with every key of the INI file that nobody declared as free text, and what looks like a slip."""
    known = schema.by_name()
    extras = []
    warnings = []
    for section, keys in ini.content.items():
        for key in keys:
            name = f"{section}.{key}"
            if name in known or name in schema.moved:
                continue
            extras.append(
                Setting(name, _FREE, "", "Not declared: text of the INI file.", True, secret_name(name))
            )
            if isinstance(keys[key], str) and _COMMENT.search(keys[key]):
                line = ini.line((section, key))
                warnings.append(
                    f"{ini.file}, line {line}: {name}: holds what looks like a comment. {_OWN_LINE}"
                )
            siblings = [other.partition(".")[2] for other in known if other.startswith(f"{section}.")]
            meant = nearest(key, siblings)
            if meant:
                line = ini.line((section, key))
                hint = f"Did you mean {section}.{meant}?"
                warnings.append(f"{ini.file}, line {line}: {name}: not declared, taken as text. {hint}")
    sections = {**schema.sections, **dict.fromkeys(ini.content, "")}
    return schema._replace(settings=(*schema.settings, *extras), sections=sections), tuple(warnings)


def _slips(schema: Schema, env: Mapping[str, str]) -> tuple[str, ...]:
    """Variables that set nothing and look like a slip of one that does."""
    known = {schema.variable(row.name) for row in schema.settings}
    ours = sorted(name for name in env if name.startswith(f"{schema.prefix}_") and name not in known)
    meant = ((name, nearest(name, known)) for name in ours)
    return tuple(
        f"environment {name}: not an option, so it changes nothing. Did you mean {other}?"
        for name, other in meant
        if other
    )


def _explain_comments(findings: list[Finding], ini: Document) -> None:
    """Say of a wrong value of the old file what Python 2 would have taken for a comment behind it."""
    for finding in findings:
        error = finding.error
        section, _, key = (error.key or "").partition(".")
        value = ini.content.get(section, {}).get(key) if error.file == ini.file else None
        if isinstance(value, str) and error.hint is None and _COMMENT.search(value):
            error.hint = _OWN_LINE


def _judge(validate: Callable[[Values], None], found: Read) -> None:
    try:
        validate(found)
    except SettingsError:
        raise
    except ValueError as error:
        raise SettingsError(f"the values do not go together: {visible(str(error))}") from None


def locate(directory: str | os.PathLike[str] | None, env: Mapping[str, str]) -> Path:
    """Where configuration files are: as given, else as the environment says, else here.

    Raises SettingsError when a directory that was named is none.
    """
    named = directory or env.get(DIRECTORY_VARIABLE)
    path = Path(os.path.abspath(os.path.expanduser(named or os.curdir)))
    if named and not path.is_dir():
        where = "directory" if directory else f"environment {DIRECTORY_VARIABLE}"
        raise SettingsError("no such directory", file=where, found=str(path))
    return path


__all__ = ["DIRECTORY_VARIABLE", "STAGE_VARIABLE", "Read", "Sources", "locate"]
