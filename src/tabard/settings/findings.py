"""What reading and judging settings finds."""

from __future__ import annotations

from typing import NamedTuple

from tabard.errors import SettingsError


class Finding(NamedTuple):
    """One thing that is wrong, or looks wrong."""

    error: SettingsError
    warning: bool = False
