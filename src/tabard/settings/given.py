"""The settings of a home, for tools that applications use: from what the application has at hand."""

from __future__ import annotations

import os
from typing import Protocol

from tabard.home import Home, default_home
from tabard.settings.loader import load
from tabard.settings.stages import Stage
from tabard.settings.values import Settings


class Application(Protocol):
    """The part of a ``tabard.Config`` that says where an application runs."""

    @property
    def home(self) -> Home:
        """The home of this host."""

    @property
    def stage(self) -> Stage:
        """The stage the application runs in."""


def settings_of(given: Settings | Application | None) -> Settings:
    """``given`` itself, the settings of its home and stage, or those of this user's home. Raises SettingsError."""
    if isinstance(given, Settings):
        return given
    if given is None:
        return load(default_home(os.environ))
    return load(given.home, given.stage.name or None)
