"""The operator of a home, for a command that is given from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tabard.consumers.commands.issuing import CANCEL_TIMEOUT, cancelling, give, operator_in
from tabard.home import Home
from tabard.ops.keys import trusted

if TYPE_CHECKING:
    from tabard.brokers.trust.commanding import Issuer

__all__ = ["CANCEL_TIMEOUT", "cancelling", "give", "operator_of"]


def operator_of(home: Home, name: str | None) -> Issuer:
    """The operator of this home who is named, the only one, or `local`. Raises RefusedError, UsageError."""
    return operator_in(trusted(home), name)
