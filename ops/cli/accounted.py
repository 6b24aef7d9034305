"""What a command that has to be answered for says of itself: its parameters, and how it ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import click

from tabard import audit, masking
from tabard.home import Home

_HERE: Final = frozenset({"home", "output", "assume_yes", "yes"})
"""Parameters that say nothing of what is done."""
_PERSONAL: Final = frozenset({"texts"})
"""Of these only how many there were: what is erased on somebody's request must not stay here."""


def accounted(home: Home, kind: str, params: Mapping[str, Any], run: Callable[[], Any]) -> Any:
    """Run a command and account for it in its home. Raises HomeError, before it is run, where that cannot be written."""
    with audit.accounted(home, kind, said_of(params)) as account:
        try:
            result = run()
        except (
            click.UsageError,
            click.Abort,
        ):  # wrong words, or the user thought better of it: nothing was done
            account.void = True
            raise
        account.ended_with(result if isinstance(result, int) else None)
        return result


def said_of(params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that were given, without secrets."""
    return {
        name: len(value) if name in _PERSONAL else _shown(name, value)
        for name, value in params.items()
        if name not in _HERE and value not in (None, "", False, ())
    }


def _shown(name: str, value: Any) -> Any:
    return masking.MASK if masking.secret_name(name) else _plain(value)


def _plain(value: Any) -> Any:
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, list | tuple):
        return [masking.visible(str(each)) for each in value]
    return masking.visible(str(value))
