"""The cron lines of a home: one for each role that its settings describe, and one for the queue of mail. Pure."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

from tabard.errors import UsageError

ROLES: Final = ("agent", "broker", "recorder", "dispatcher", "herald", "mail", "tunnel")
"""What may have lines; ``mail`` is the line that hands over what waits in the queue."""
_NAMED: Final = frozenset({"broker", "tunnel"})
_LONGEST: Final = 990
"""Bytes of a command; cron of Debian reads at most 998 of a line."""
_MAIL_EVERY: Final = 5
_FORBIDDEN: Final = "\\\n\r\0"
"""What crons do not agree on how to read, or cannot."""


class Described(NamedTuple):
    """What the settings of a home describe, as far as cron lines depend on it."""

    brokers: Sequence[str]
    """Their names."""
    own_brokers: bool
    """Whether they stand in the settings, rather than being there for want of any."""
    connects: bool
    """Whether the agent hands up to a broker elsewhere."""
    stores: bool
    """Whether there is a store in this home, or the recorder is told where to read."""
    mails: bool
    """Whether there is a mail server."""
    tunnels: Sequence[str] = ()
    """Their names."""


class How(NamedTuple):
    """How the lines are to be."""

    program: str
    """Path of the tool."""
    home: str
    host: str
    stage: str = ""
    jitter: int = 0
    """Most seconds that a line waits, so that many hosts do not begin at once."""
    folder: str = ""
    """Where what is printed is appended; empty: cron mails it."""


def chosen(described: Described, roles: Collection[str]) -> tuple[str, ...]:
    """The roles that get lines: those asked for, else those that the settings describe.

    A host whose agent hands up to a broker elsewhere runs an agent, and what else is described. Any other is whole.
    """
    if roles:
        return tuple(role for role in ROLES if role in roles)
    whole = not described.connects
    wanted = {
        "agent": True,
        "broker": whole or described.own_brokers,
        "recorder": whole or described.stores,
        "dispatcher": whole or described.stores,
        "herald": whole or described.stores,
        "mail": described.mails,
        "tunnel": bool(described.tunnels),
    }
    return tuple(role for role in ROLES if wanted[role])


def begun(described: Described, roles: Collection[str]) -> list[tuple[str, list[str]]]:
    """What is kept running: a name for it, and the words behind the name of the tool."""
    found: list[tuple[str, list[str]]] = []
    for role in chosen(described, roles):
        if role in _NAMED:
            names = described.brokers if role == "broker" else described.tunnels
            found += [(f"{role}.{name}", [role, name, "--cron"]) for name in names]
        elif role != "mail":
            found.append((role, [role, "--cron"]))
    return found


def lines(described: Described, roles: Collection[str], how: How) -> list[str]:
    """The lines, agent first. Raises UsageError for a path that no cron line can carry."""
    _check(how)
    found = [_line(how, name, words, "*") for name, words in begun(described, roles)]
    if "mail" in chosen(described, roles):
        minutes = f"{_share(how, 'mail', _MAIL_EVERY)}-59/{_MAIL_EVERY}"
        found.insert(_before_tunnels(described, roles), _line(how, "mail", ["mail", "flush"], minutes))
    return found


def _before_tunnels(described: Described, roles: Collection[str]) -> int:
    """Where the queue of mail stands, as ``ROLES`` orders them."""
    return sum(not name.startswith("tunnel.") for name, _ in begun(described, roles))


def _line(how: How, name: str, words: Sequence[str], minutes: str) -> str:
    command = [how.program, *words, "--home", how.home]
    if how.stage:
        command = ["/usr/bin/env", f"DEV_STAGE={how.stage}", *command]
    text = f"exec {shlex.join(command)}"  # else a shell stays there for as long as the role
    wait = _share(how, name, how.jitter + 1)
    if wait:
        text = f"sleep {wait}; {text}"
    if how.folder:
        text += f" >>{shlex.quote(f'{how.folder}/cron-{name}.log')} 2>&1"
    text = text.replace("%", r"\%")  # to cron a bare one is the end of the command
    if len(text.encode()) > _LONGEST:
        raise UsageError(
            "a cron line that cron cannot read", expected=f"at most {_LONGEST} bytes", found=f"{len(text)}"
        )
    return f"{minutes} * * * *  {text}"


def _share(how: How, name: str, parts: int) -> int:
    """The same number below ``parts`` each time for this host, home and line, and another one for others."""
    digest = hashlib.blake2s(f"{how.host}\0{how.home}\0{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % max(parts, 1)


def _check(how: How) -> None:
    for path in (how.home, how.program, how.folder):
        if any(letter in path for letter in _FORBIDDEN) or not path.isprintable():
            raise UsageError(
                "a path that cannot stand in a cron line",
                expected="one without backslashes, line ends and control characters",
                found=repr(path),
                hint="Make a symbolic link to it that has a plain name",
            )
    if how.stage and "=" in how.program:
        raise UsageError(
            "a path that cannot stand in a cron line with a stage",
            expected="one without =, which /usr/bin/env takes for a variable",
            found=repr(how.program),
            hint="Make a symbolic link to it, and call it by that",
        )
