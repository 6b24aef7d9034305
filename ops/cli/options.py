"""Options several commands share, so that they are spelled and explained the same everywhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from tabard.ops.cli.values import Text
from tabard.ops.output import FORMATS
from tabard.ops.streams import write_utf8

_F = TypeVar("_F", bound=Callable[..., Any])


class _Override(click.ParamType[tuple[str, str]]):
    """``NAME=VALUE`` for one setting."""

    name = "name=value"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        name, equals, text = value.partition("=")
        if not name or not equals:
            self.fail(f"expected NAME=VALUE such as agent.linger=20ms, found {value!r}", param, ctx)
        return name, text


def _prepared(_ctx: click.Context, _param: click.Parameter, output: str) -> str:
    if output != "table":
        write_utf8()
    return output


def output_option(function: _F) -> _F:
    """``-o``: passes ``output``, one of ``tabard.ops.output.FORMATS``; JSON is written as UTF-8 in any locale."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(FORMATS),
        default="table",
        show_default=True,
        help="Form of the list.",
        callback=_prepared,
    )(function)


def _each_once(
    ctx: click.Context, param: click.Parameter, overrides: Sequence[tuple[str, str]]
) -> Sequence[tuple[str, str]]:
    names = [name for name, _ in overrides]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise click.BadParameter(f"{twice} is given more than once", ctx, param)
    return overrides


def settings_options(function: _F) -> _F:
    """``--stage`` and ``--set``: passes ``stage`` (or None) and ``overrides``, pairs of name and text.

    Hand them on as ``load(home, stage, args=dict(overrides))``.
    """
    chosen = click.option(
        "--set",
        "overrides",
        type=_Override(),
        multiple=True,
        metavar="NAME=VALUE",
        help="Override one setting.",
        callback=_each_once,
    )
    staged = click.option(
        "--stage", metavar="NAME", help="Stage to apply.  [default: DEV_STAGE, else node.stage]"
    )
    return staged(chosen(function))


def cron_option(function: _F) -> _F:
    """``--cron``: passes ``cron``; the guard (``tabard.ops.cron``) has already looked, unless the line was not plain."""
    return click.option("--cron", is_flag=True, help="Do nothing, with exit code 0, when it runs already.")(
        function
    )


def once_option(function: _F) -> _F:
    """``--once``: passes ``once``."""
    return click.option("--once", is_flag=True, help="Do what there is to do now, then end.")(function)


def place_options(function: _F) -> _F:
    """``--service``, ``--stage`` and ``--node`` as filters: passes ``service``, ``stage`` and ``node``, or None."""
    by_node = click.option("--node", type=Text(), metavar="NAME", help="Only what runs on this node.")
    by_stage = click.option("--stage", metavar="NAME", help="Only what runs in this stage.")
    by_service = click.option("--service", type=Text(), metavar="NAME", help="Only this service.")
    return by_service(by_stage(by_node(function)))
