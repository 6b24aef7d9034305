"""Options that several commands about keys take."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from tabard.errors import TabardError
from tabard.names import check_node
from tabard.ops.cli.durations import Duration

_F = TypeVar("_F", bound=Callable[..., Any])
_LONGEST: Final = 7_300 * 86_400.0
_SHORTEST: Final = 3_600.0


class Name(click.ParamType[str]):
    """The name of a node or a broker."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name."""
        try:
            return check_node(str(value))
        except TabardError as error:
            self.fail(str(error), param, ctx)


class BrokerName(click.ParamType[str]):
    """The name of a broker that is to be: one that settings take."""

    name = "broker"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name."""
        from tabard.settings import forms

        try:
            return str(forms.BROKER.read(str(value)))
        except TabardError as error:
            self.fail(str(error), param, ctx)


class KeyPrefix(click.ParamType[str]):
    """The first digits of a key's id."""

    name = "key"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The digits."""
        if not re.fullmatch("[0-9a-fA-F]{8,32}", str(value)):
            self.fail(f"expected 8 to 32 hexadecimal digits of a key's id, found {value!r}", param, ctx)
        return str(value)


class Life(Duration):
    """How long a certificate is valid, in seconds."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds, from an hour to twenty years."""
        seconds = super().convert(value, param, ctx)
        if not _SHORTEST <= seconds <= _LONGEST:
            self.fail(f"expected 1h to 7300d, found {value!r}", param, ctx)
        return seconds


class OutFile(click.ParamType[Path]):
    """A file that is to be made."""

    name = "file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Its path."""
        if value == "" or "\0" in str(value):
            self.fail("expected a file, found an empty name", param, ctx)
        return Path(value)


def life_option(default: str) -> Callable[[_F], _F]:
    """``--life``: passes ``life`` in seconds, or None for the default that the help names."""
    return click.option(
        "--life",
        type=Life(),
        metavar="DURATION",
        help=f"How long the certificates are valid.  [default: {default}]",
    )


def out_option(
    *, required: bool, text: str = "File to carry over to the other host; it must not exist."
) -> Callable[[_F], _F]:
    """``--out``: passes ``out``, a path."""
    return click.option("--out", type=OutFile(), required=required, metavar="FILE", help=text)


def nanoseconds(life: float | None) -> int | None:
    """A life in nanoseconds."""
    return None if life is None else int(life * 1_000_000_000)
