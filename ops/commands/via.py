"""The way to the dispatcher of another host: which ssh is started, and why it did not lead there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from tabard.errors import UsageError
from tabard.ops.output import printable

FORM: Final = "ssh://[USER@]HOST[:PORT]"
_VIA: Final = re.compile(
    r"ssh://((?:[A-Za-z_][A-Za-z0-9_.-]*@)?)([A-Za-z0-9][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?/?"
)
_PORTS: Final = range(1, 65_536)
OPTIONS: Final[Mapping[str, str]] = {
    "BatchMode": "yes",  # its questions would go to a terminal that shows something else
    "StrictHostKeyChecking": "yes",
    "ConnectTimeout": "10",
    "ServerAliveInterval": "5",  # so a way that is cut ends within 20 s
    "ServerAliveCountMax": "3",
    "ClearAllForwardings": "yes",
    "ForwardAgent": "no",
    "ForwardX11": "no",
    "PermitLocalCommand": "no",
    "RemoteCommand": "none",
    "LogLevel": "INFO",  # what it says is how failures are told apart
}
"""What holds whatever the configuration of ssh says; all else (identities, names, ports, hosts on the way) is as it is there."""
_QUOTED: Final = 300
"""Characters of what is quoted."""
_OF_SSH: Final = 255
_NOT_RUN: Final = (126, 127)


class Reason(NamedTuple):
    """Why nobody answers, and what to do."""

    found: str
    hint: str


_SIGNS: Final = (
    (
        r"HOST IDENTIFICATION HAS CHANGED|REVOKED HOST KEY",
        "another host key than the one that is known: it was renewed, or somebody else answers there",
        "Ask its administrator; only if the fingerprint is right, replace its line in known_hosts",
    ),
    (
        r"No \S+ host key is known|Host key verification failed",
        "a host whose key is not known here",
        "Ask its administrator for the fingerprint, then log in once by hand, and compare: ssh {target}",
    ),
    (
        r"Permission denied \(",
        "a server that takes no key of this user",
        "This has to log in without a question: ssh -o BatchMode=yes {target}; which key is shown is said in ~/.ssh/config, or by ssh-add",
    ),
)
_OLDER: Final = re.compile(r"There is no command 'dispatcher'|No such option '--stdio'|No such command")


def target(via: str) -> tuple[str, str]:
    """Of an address who and where, as ssh wants to be told, and the port or "". Raises UsageError."""
    found = _VIA.fullmatch(via)
    if found is None or (found[3] and int(found[3]) not in _PORTS):
        raise UsageError("not a host to go by", expected=FORM, found=repr(via), where="--via")
    return found[1] + found[2].strip("[]"), found[3] or ""


def words(via: str) -> list[str]:
    """What reaches another host's dispatcher. Nothing of an address is an option, or read by a shell. Raises UsageError."""
    where, port = target(via)
    options = [word for name, value in OPTIONS.items() for word in ("-o", f"{name}={value}")]
    return [
        "ssh",
        "-T",
        *options,
        *(["-p", port] if port else []),
        "--",
        where,
        "tabard",
        "dispatcher",
        "--stdio",
    ]


def reason(via: str, code: int | None, said: str) -> Reason:
    """Why ssh, or what it started there, ended with that exit code (None: it has not) and these words on its standard error."""
    where, port = target(via)
    by_hand = f"-p {port} {where}" if port else where
    if code == _OF_SSH:
        return reason_of_ssh(by_hand, code, said)
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    last = printable(lines[-1])[:_QUOTED] if lines else ""
    if code in _NOT_RUN:
        return Reason(
            last or f"exit code {code}",
            f"It is looked for in the PATH of a login without a terminal, which this shows: ssh {by_hand} tabard --version",
        )
    if _OLDER.search(said):
        return Reason("a Tabard that has no dispatcher yet", "Upgrade it there")
    return Reason(
        last.removeprefix("tabard: ")
        or ("the end of the connection" if code is None else f"exit code {code}"),
        f"Look whether this works: ssh {by_hand} tabard status",
    )


def reason_of_ssh(by_hand: str, code: int | None, said: str) -> Reason:
    """Why ssh itself did not get there; ``by_hand`` is what a person would hand to it."""
    for pattern, found, hint in _SIGNS:
        if re.search(pattern, said):
            return Reason(found, hint.format(target=by_hand))
    last = next((line.strip() for line in reversed(said.splitlines()) if line.strip()), "")
    found = printable(last)[:_QUOTED] or (
        "the end of the connection" if code is None else f"exit code {code}"
    )
    return Reason(found, f"Look whether this works: ssh {by_hand}")
