"""Whether a server is away for a while, or refuses for good: one is waited for, the other is for somebody to mend.

Of an open session the server's code says it. A failure to connect has none: what libpq says itself (nobody there, no such
host, no route) is of a server that is away; what the server says it says in its own language, behind the word FATAL,
and whatever is not known there counts as a refusal. A password that is wrong is not waited for: an account that is
tried again and again with it may be locked.
"""

from __future__ import annotations

from typing import Final

import psycopg2

from tabard.errors import StoreAway, StoreError

_AWAY_CODES: Final = frozenset({"08", "53", "57"})
"""Classes of codes: the connection failed, resources are short, an operator ended it."""
_READ_ONLY: Final = "25006"
"""A standby that has not taken over yet, or a server that was set so."""
_AWAY_WORDS: Final = (
    "the database system is",
    "too many clients",
    "too many connections",
    "connection slots are reserved",
    "terminating connection",
    "no more connections allowed",
)
_WRONG_WORDS: Final = (
    "certificate",
    "SSL was required",
    "does not support SSL",
    "no password supplied",
    "invalid ",
)
"""What libpq itself says of settings that cannot work."""


def is_away(error: psycopg2.Error) -> bool:
    """Whether the same may go well a while later."""
    if error.pgcode is not None:
        return error.pgcode[:2] in _AWAY_CODES or error.pgcode == _READ_ONLY
    if not isinstance(error, (psycopg2.OperationalError, psycopg2.InterfaceError)):
        return False
    said = str(error)
    if "FATAL" in said:
        return any(words in said for words in _AWAY_WORDS)
    return not any(words in said for words in _WRONG_WORDS)


def unusable(what: str, error: psycopg2.Error, *, expected: str, where: str, hint: str = "") -> StoreError:
    """The error to be raised for one of the driver's; a `StoreAway` when it is worth waiting."""
    if is_away(error):
        return StoreAway(what, expected=expected, found=sentence(error), where=where)
    return StoreError(what, expected=expected, found=sentence(error), where=where, hint=hint)


def sentence(error: BaseException) -> str:
    """What the driver says, in one line."""
    return " ".join(str(error).split()) or type(error).__name__
