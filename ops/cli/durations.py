"""Durations on the command line, apart so that commands which need no settings do not load them."""

from __future__ import annotations

from typing import Any

import click

from tabard.errors import TabardError
from tabard.units import parse_duration


class Duration(click.ParamType[float]):
    """A duration with its unit, in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds of a text such as ``5s``."""
        if isinstance(value, float):
            return value
        try:
            return parse_duration(value)
        except TabardError as error:
            self.fail(str(error), param, ctx)
