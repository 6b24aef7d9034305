"""Applying the layers: defaults < tabard.toml < stage < environment < argument.

Every error is collected, so that ``tabard check`` shows all of them at once; a role stops at the first.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from tabard.errors import SettingsError
from tabard.home import Home
from tabard.settings.document import Document, read_document
from tabard.settings.findings import Finding
from tabard.settings.layers import Layers, described_stages
from tabard.settings.lint import broken_keys, lint
from tabard.settings.schema import Schema
from tabard.settings.table import SCHEMA
from tabard.settings.values import Origin, Settings

STAGE_VARIABLE: Final = "DEV_STAGE"
STAGE: Final = "node.stage"


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
    every_stage: bool = False,
) -> Examination:
    """Like ``load``, but never raises: every error and warning is in the result.

    With ``every_stage`` that is also what would be wrong if another stage of the file were chosen.
    """
    home = home if isinstance(home, Home) else Home(home)
    given = _Given(home, schema, os.environ if env is None else env, args or {})
    try:
        document = read_document(home.settings_file)
    except SettingsError as error:
        # What the environment and the arguments say can still be looked at; what it means together, cannot.
        layers = given.layers(Document(str(home.settings_file), {}, {}), stage, readable=False)
        return Examination(None, (Finding(error), *layers.findings))
    layers = given.layers(document, stage)
    settings = given.settings(layers)
    findings = [*layers.findings, *lint(settings, broken_keys(layers.findings))]
    if every_stage:
        others = (name for name in described_stages(document) if name != settings[STAGE])
        findings += (finding for name in others for finding in given.of_stage(document, name, findings))
    broken = any(not finding.warning for finding in findings)
    return Examination(None if broken else settings, tuple(findings))


class _Given(NamedTuple):
    """What stands beside the file."""

    home: Home
    schema: Schema
    env: Mapping[str, str]
    args: Mapping[str, object]

    def layers(self, document: Document, stage: str | None, *, readable: bool = True) -> Layers:
        """All layers, one over the other. Of a file that is not ``readable`` nobody knows the stages."""
        layers = Layers(self.schema)
        layers.apply_document(document)
        said, by_option = layers.values[STAGE], self.args.get(STAGE)
        if stage is None and by_option is not None:
            chosen = (str(by_option), Origin("argument", "command line"))
        else:
            chosen = chosen_stage(said, self.schema.variable(STAGE), stage, self.env)
        layers.apply_stages(document, chosen[0])
        if readable:
            layers.check_stage(chosen, document.file)
        layers.values[STAGE] = chosen
        layers.apply_environment(self.env, but=(STAGE,))
        layers.apply_arguments({name: value for name, value in self.args.items() if name != STAGE})
        layers.follow()
        layers.take_stage_port(chosen[0])
        return layers

    def settings(self, layers: Layers) -> Settings:
        """What the layers come to."""
        return Settings(self.home, self.schema, layers.values, layers.tables, layers.stages)

    def of_stage(self, document: Document, stage: str, known: Sequence[Finding]) -> Iterator[Finding]:
        """The contradictions that are there only when ``stage`` is chosen."""
        layers = self.layers(document, stage)
        said = {str(finding.error) for finding in known}
        for finding in lint(self.settings(layers), broken_keys(layers.findings)):
            if str(finding.error) not in said:
                finding.error.what = f"in the stage {stage}: {finding.error.what}"
                yield finding


def chosen_stage(
    said: tuple[str, Origin], variable: str, stage: str | None, env: Mapping[str, str]
) -> tuple[str, Origin]:
    """The stage and who chose it: the argument, ``DEV_STAGE``, ``variable``, or what the file ``said``."""
    if stage is not None:
        return stage, Origin("argument", "--stage")
    for name in (STAGE_VARIABLE, variable):
        if env.get(name):
            return env[name], Origin("environment", name)
    return said
