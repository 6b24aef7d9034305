"""Why a tunnel is not there, and what to do about it: what ssh says, read by one table."""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple


class Temper(enum.Enum):
    """What becomes of a failure when nobody does anything."""

    PASSING = "passing"
    """It may be gone at the next attempt."""
    LASTING = "lasting"
    """A person has to do something: attempts are for the case that somebody has."""
    ALARMING = "alarming"
    """The same, and somebody may be listening in: the host key is another one."""


class Failure(NamedTuple):
    """One reason, as a sentence."""

    temper: Temper
    sentence: str
    refused_key: bool = False
    """Whether the server did not take the key that it was shown, if it was shown one."""


class _Sign(NamedTuple):
    pattern: re.Pattern[str]
    temper: Temper
    sentence: str
    """What to say; ``{0}`` is the first group of the pattern."""
    refused_key: bool


def _sign(pattern: str, temper: Temper, sentence: str, *, refused_key: bool = False) -> _Sign:
    return _Sign(re.compile(pattern), temper, sentence, refused_key)


CHANGED: Final = (
    "the server's host key is not the one that is known: renewed, or somebody else answers. Ask its administrator; if the"
    " fingerprint fits, replace host_key or the line in known_hosts, and send SIGHUP"
)
"""At most 200 characters, or `tabard zones` of another host would show it without its end."""
SIGNS: Final = (
    _sign(
        r"REVOKED HOST KEY DETECTED",
        Temper.ALARMING,
        "the server's host key is marked @revoked in known_hosts: whoever has it must not be trusted. Ask its administrator"
        " for the new key, and send SIGHUP",
    ),
    _sign(
        r"REMOTE HOST IDENTIFICATION HAS CHANGED|Host key for .* has changed|Bad host key from server",
        Temper.ALARMING,
        CHANGED,
    ),
    _sign(
        r"No (\S+) host key is known for (\S+)",
        Temper.LASTING,
        "the host is not known: no {0} host key of it is in known_hosts, where it is called {1}. Give host_key in the [[tunnel]] table, as its"
        " administrator tells it (ssh-keyscan shows what answers now, which proves nothing)",
    ),
    _sign(r"Host key verification failed", Temper.ALARMING, CHANGED),
    _sign(
        r"no matching host key type found|no acceptable host key",
        Temper.ALARMING,
        "the server has no host key of the kind that is known: either it was renewed, or somebody else answers there."
        " Ask its administrator for the host key; only if it fits, replace host_key in the [[tunnel]] table, or the line in known_hosts,"
        " and send SIGHUP",
    ),
    _sign(
        r"Unable to negotiate with .*: (no matching .*)",
        Temper.LASTING,
        "ssh and the server cannot agree: {0}. Say in ssh_config what this host is to be offered, or renew the server",
    ),
    _sign(
        r"bind \[([^\]]*)\]:(\d+): Address already in use",
        Temper.PASSING,
        "the local port {0}:{1} is in use: end the process that listens there, or choose another listen",
    ),
    _sign(
        r"(Could not request local forwarding)",
        Temper.PASSING,
        "a local end cannot be listened on: end what is in its place, or choose another listen",
    ),
    _sign(
        r"remote port forwarding failed for listen port (\d+)",
        Temper.PASSING,
        "the server does not let it listen on port {0} there: permitlisten in authorized_keys or AllowTcpForwarding of the"
        " server forbids it, or the port is in use there, maybe by this tunnel's last session, which the server gives up"
        " after its ClientAliveInterval",
    ),
    _sign(
        r"Load key \"([^\"]*)\": (.*)(?=[\s\S]*Permission denied \()|Cannot load key \"([^\"]*)\": (.*)",
        Temper.LASTING,
        "the key file {0}{2} cannot be used: {1}{3}. It has to be a private key without a passphrase, for this user only",
    ),
    _sign(
        r"Identity file (\S+) not accessible: (.*)\.(?=[\s\S]*Permission denied \()",
        Temper.LASTING,
        "the key file {0} cannot be read: {1}",
    ),
    _sign(
        r"((?:\S+: )?Permission denied \([^\n]*|Authentication failed|Bad authentication type|Too many authentication failures)",
        Temper.LASTING,
        "the server refuses the key ({0}): is its public half in authorized_keys of that user there, and is it the key that"
        " key_file or the agent has?",
        refused_key=True,
    ),
    _sign(
        r"([^\s:]+):(?: line \d+:)? (Bad configuration option.*|terminating, .*)",
        Temper.LASTING,
        "ssh refuses its configuration: {0}: {1}",
    ),
    _sign(r"Bad owner or permissions on (.*)", Temper.LASTING, "ssh refuses its configuration {0}: others may write to it. It has to be this user's or root's,"
          " and writable for nobody else"),
    _sign(r"Can't open user config file (.*): (.*)", Temper.LASTING, "ssh cannot read its configuration {0}: {1}"),
    _sign(r"Could not resolve IP address for (\S+), (aborting)", Temper.PASSING, "the name {0} cannot be resolved"),
    _sign(r"Could not connect to gateway (\S+?):(\d+) : (.*)", Temper.PASSING, "{0} cannot be reached at port {1}: {2}"),
    _sign(r"Could not resolve hostname (\S+): (.*)", Temper.PASSING, "the name {0} cannot be resolved: {1}"),
    _sign(r"Timeout, server (\S+) not responding", Temper.PASSING, "the server does not answer any more: it is frozen, or the way there is cut"),
    _sign(r"connect to (?:host|address) (\S+) port (\d+): (.*)", Temper.PASSING, "{0} cannot be reached at port {1}: {2}"),
    _sign(r"(Connection (?:to \S+ )?(?:closed|reset|timed out)[^\n]*|kex_exchange_identification: .*|client_loop: .*|.*[Bb]roken pipe.*)",
          Temper.PASSING, "the connection was lost: {0}"),
)  # fmt: skip
"""The first that fits any line holds: what explains the others comes first."""

CHANNELS: Final = (
    _sign(
        r"open failed: administratively prohibited",
        Temper.LASTING,
        "the server refuses this forward: permitopen in authorized_keys, or AllowTcpForwarding of the server",
    ),
    _sign(r"open failed: (connect failed: .*|.*)", Temper.PASSING, "nothing is behind it: {0}"),
)
"""What ssh says while it runs, of a connection that it could not hand on."""
_LINE: Final = 300
"""Characters of what is quoted."""


def of_ssh(line: str) -> bool:
    """Whether ssh itself said it: it ends its lines with a carriage return, and a server's greeting or another program does not."""
    return line.endswith("\r")


def anybody(line: str) -> bool:  # noqa: ARG001 -- as `of_ssh`
    """For a process that says nothing but its own words."""
    return True


def explain(lines: Sequence[str], code: int, own: Callable[[str], bool] = anybody) -> Failure:
    """Why a process that ended with that return code (negative: a signal) did so, by those of its lines that are its own."""
    said = [line.strip() for line in lines if line.strip()]
    found = _first(SIGNS, [line.strip() for line in lines if own(line)])
    if found is not None:
        others = [line.strip() for line in lines if not own(line)]
        if others and "kex_exchange_identification" in found.sentence:
            # No server has spoken yet: a program on the way (ProxyCommand) says why.
            return found._replace(sentence=f"{found.sentence}; before, it said: {others[-1][:_LINE]}")
        return found
    how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
    return Failure(Temper.PASSING, f"it {how}" + (f": {said[-1][:_LINE]}" if said else ""))


def explain_channel(line: str) -> Failure | None:
    """Why a connection could not be handed on, when that is what a line of ssh is about."""
    return _first(CHANNELS, [line.strip()])


def unusable(key_file: str, why: str) -> Failure:
    """The key was not shown, since it cannot be read."""
    return Failure(
        Temper.LASTING,
        f"the key file {key_file} cannot be used: {why}. It has to be a private key without a passphrase, for this user only;"
        " one with a passphrase serves where the agent of whoever starts the tunnel has it (from cron there is none)",
    )


def _first(signs: Sequence[_Sign], lines: Sequence[str]) -> Failure | None:
    text = "\n".join(lines)
    for sign in signs:
        match = sign.pattern.search(text)
        if match is not None:
            groups = [(group or "").strip()[:_LINE] for group in match.groups()]
            return Failure(sign.temper, sign.sentence.format(*groups), sign.refused_key)
    return None
