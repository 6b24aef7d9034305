"""The block of one home within a crontab, between two markers. Pure; every other byte stays as it is."""

from __future__ import annotations

from typing import Final, NamedTuple

from tabard import exits
from tabard.errors import TabardError

_BEGIN: Final = b"# BEGIN tabard "
_END: Final = b"# END tabard "
_NOTE: Final = b"# Written by `tabard crontab install`, which writes it anew: change nothing in here."
_RESTORED: Final = ("MAILTO", "SHELL")
"""Variables that hold from the line that sets them on, so that a block that sets them must set them back."""


_SHELLS: Final = frozenset({"sh", "bash", "dash", "ash", "ksh", "mksh", "zsh"})
"""Shells that read the lines as they are meant."""


class BlockError(TabardError):
    """Raised when the markers of a home do not fit together, so that nobody knows which lines are its own."""

    exit_code = exits.REFUSED


class _Place(NamedTuple):
    start: int
    end: int


def install(text: bytes, home: str, lines: list[str], variables: dict[str, str], user: str) -> bytes:
    """``text`` with the block of ``home``: in its old place, else at the end.

    ``variables`` hold within the block only. Afterwards those that held before hold again; one that was not set gets
    what cron takes without it (``user`` for MAILTO). Raises BlockError when there are broken or several blocks.
    """
    place = _find(text, home)
    before, behind = (text[: place.start], text[place.end :]) if place else (text, b"")
    if before and not before.endswith(b"\n"):
        before += b"\n"  # crontab(1) takes no file whose last line has no end
    held = _environment(before)
    if held.get("SHELL", "sh").rpartition("/")[2] not in _SHELLS:
        variables = {"SHELL": "/bin/sh", **variables}
    return before + _block(home, lines, variables, held, user) + behind


def remove(text: bytes, home: str) -> bytes:
    """``text`` without the block of ``home``. Raises BlockError as `install`."""
    place = _find(text, home)
    return text[: place.start] + text[place.end :] if place else text


def present(text: bytes, home: str) -> bool:
    """Whether ``home`` has a block. Raises BlockError as `install`."""
    return _find(text, home) is not None


def _block(
    home: str, lines: list[str], variables: dict[str, str], before: dict[str, str], user: str
) -> bytes:
    without = {"MAILTO": user, "SHELL": "/bin/sh"}
    name = home.encode()
    written = [_BEGIN + name, _NOTE]
    written += [_assignment(variable, value) for variable, value in variables.items()]
    written += [line.encode() for line in lines]
    written += [
        _assignment(variable, before.get(variable, without[variable]))
        for variable in _RESTORED
        if variable in variables
    ]
    written.append(_END + name)
    return b"\n".join(written) + b"\n"


def _assignment(name: str, value: str) -> bytes:
    quote = "'" if '"' in value else '"'
    return f"{name}={quote}{value}{quote}".encode("utf-8", "surrogateescape")


def _environment(text: bytes) -> dict[str, str]:
    """The variables that hold at the end of ``text``, as cron reads them."""
    found = {}
    for raw in text.split(b"\n"):
        name, equals, value = raw.strip().partition(b"=")
        name = _unquoted(name.strip())
        if equals and _is_name(name):
            found[name.decode()] = _unquoted(value.strip()).decode("utf-8", "surrogateescape")
    return found


def _is_name(name: bytes) -> bool:
    return name.isascii() and name.decode("ascii", "replace").isidentifier()


def _unquoted(value: bytes) -> bytes:
    if len(value) >= 2 and value[:1] == value[-1:] and value[:1] in (b'"', b"'"):
        return value[1:-1]
    return value


def _find(text: bytes, home: str) -> _Place | None:
    """Where the block of the home is, its last line's end included."""
    begin, end = _BEGIN + home.encode(), _END + home.encode()
    begins: list[int] = []
    ends: list[int] = []
    at = 0
    for line in _lines(text):
        bare = line.rstrip(b"\r\n")
        if bare == begin:
            begins.append(at)
        elif bare == end:
            ends.append(at + len(line))
        at += len(line)
    if not begins and not ends:
        return None
    if len(begins) == len(ends) == 1 and begins[0] < ends[0]:
        return _Place(begins[0], ends[0])
    raise BlockError(
        "the lines of this home cannot be told from others",
        expected="one line that begins its block, and one that ends it",
        found=f"{len(begins)} and {len(ends)}",
        where=f"crontab, {begin.decode()}",
        hint="Put them right with `crontab -e`, or remove the whole block there",
    )


def _lines(text: bytes) -> list[bytes]:
    return [piece + b"\n" for piece in text.split(b"\n")[:-1]] + [text.rpartition(b"\n")[2]]
