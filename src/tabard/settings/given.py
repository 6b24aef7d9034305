"""The settings of a home, for tools that applications use: from what the application has at hand."""

from __future__ import annotations

import os
from typing import Final, Protocol

from tabard.home import Home, default_home
from tabard.settings.loader import load
from tabard.settings.stages import Stage
from tabard.settings.values import Origin, Settings

_LANGUAGE: Final = "global.pattern_language"


class Application(Protocol):
    """The part of a ``tabard.Config`` that says where an application runs."""

    @property
    def home(self) -> Home:
        """The home of this host."""

    @property
    def stage(self) -> Stage:
        """The stage the application runs in."""

    @property
    def language(self) -> str:
        """The language of its templates."""

    def origin(self, name: str) -> Origin:
        """Where the value of an option came from."""


def settings_of(given: Settings | Application | None) -> Settings:
    """``given`` itself, the settings of its home and stage, or those of this user's home. Raises SettingsError."""
    if isinstance(given, Settings):
        return given
    if given is None:
        return load(default_home(os.environ))
    return load(given.home, given.stage.name or None)


def language_said(given: Settings | Application | None) -> str | None:
    """The language that an application was told to speak; None where nobody did, and the home's holds."""
    if given is None or isinstance(given, Settings) or given.origin(_LANGUAGE).source == "default":
        return None
    return given.language
