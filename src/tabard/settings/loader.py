"""Applying the layers: defaults < tabard.toml < stage < environment < argument.

Every error is collected, so that ``tabard check`` shows all of them at once; a role stops at the first.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final, NamedTuple

from tabard.errors import SettingsError
from tabard.home import Home
from tabard.settings.document import read_document
from tabard.settings.findings import Finding
from tabard.settings.layers import Layers
from tabard.settings.lint import lint
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
) -> Examination:
    """Like ``load``, but never raises: every error and warning is in the result."""
    home = home if isinstance(home, Home) else Home(home)
    env = os.environ if env is None else env
    layers = Layers(schema)
    try:
        document = read_document(home.settings_file)
    except SettingsError as error:
        return Examination(None, (Finding(error),))
    layers.apply_document(document)
    chosen = chosen_stage(layers.values[STAGE], schema.variable(STAGE), stage, env)
    layers.apply_stages(document, chosen[0])
    layers.check_stage(chosen, document.file)
    layers.values[STAGE] = chosen
    layers.apply_environment(env, but=(STAGE,))
    layers.apply_arguments(args or {})
    layers.follow()
    if any(not finding.warning for finding in layers.findings):
        return Examination(None, tuple(layers.findings))
    settings = Settings(home, schema, layers.values, layers.tables, layers.stages)
    findings = (*layers.findings, *lint(settings))
    broken = any(not finding.warning for finding in findings)
    return Examination(None if broken else settings, findings)


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
