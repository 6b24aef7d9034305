"""``--folder``: templates that lie outside of the home."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

_F = TypeVar("_F", bound=Callable[..., Any])


def folder_option(function: _F) -> _F:
    """``--folder``: passes ``folders``, those after the home's own."""
    return click.option(
        "--folder",
        "folders",
        type=click.Path(exists=True, file_okay=False),
        multiple=True,
        metavar="DIR",
        help="Look here too, after the folder of the home.",
    )(function)
