"""Values of options that several commands take: times, zones, sinks and texts."""

from __future__ import annotations

import time
from typing import Any

import click

from tabard.errors import TabardError
from tabard.names import check_sink, check_zone


class Time(click.ParamType[int]):
    """A time as the page takes it, in nanoseconds since 1970 UTC."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Nanoseconds since 1970 UTC."""
        if isinstance(value, int):
            return value
        from tabard.web.zones import LOCAL, parse_instant

        if str(value).strip().startswith("-"):
            self.fail(f"expected 5m for five minutes ago, or a date and time, found {value!r}", param, ctx)
        try:
            return parse_instant(value, now=time.time_ns(), zone=LOCAL)
        except TabardError as error:
            self.fail(str(error), param, ctx)


class Zone(click.ParamType[str]):
    """The path of a zone."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The path."""
        try:
            return check_zone(str(value))
        except TabardError as error:
            self.fail(str(error), param, ctx)


class SinkName(click.ParamType[str]):
    """The name of a sink."""

    name = "sink"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name."""
        try:
            return check_sink(str(value))
        except TabardError as error:
            self.fail(str(error), param, ctx)


class Text(click.ParamType[str]):
    """A text; bytes that are none, as a shell may hand over, are refused: nothing in a store is like them.

    With `longest` it has `shortest` to so many characters, and more than blanks.
    """

    name = "text"

    def __init__(self, shortest: int = 0, longest: int | None = None) -> None:
        self._shortest = shortest
        self._longest = longest

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text."""
        text = str(value)
        if not is_text(text):
            self.fail(f"expected a text in UTF-8, found other bytes: {text!a}", param, ctx)
        if self._longest is not None and not (
            self._shortest <= len(text.strip()) and len(text) <= self._longest
        ):
            wanted = f"{self._shortest} to {self._longest} characters"
            self.fail(f"expected a text of {wanted}, found {len(text)}", param, ctx)
        return text


def is_text(value: str) -> bool:
    """Whether it can be written in UTF-8."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
