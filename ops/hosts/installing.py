"""A host that carries nothing of Tabard becomes a node of a zone, in steps that may be cut off anywhere: the same command again goes on.

1. Asked what it is: what does not fit is refused before anything is changed.
2. In the register as ``installing``, with how it is reached.
3. A release is laid down and verified.
4. Settings where it has none, and the keys of a member of its zone where it has none: they go through ssh and are never kept here.
5. The release is made the one that runs, its roles are started, and it is asked whether it is well until it is.
"""

from __future__ import annotations

import ipaddress
import threading
import time
import tomllib
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from tabard.brokers.trust import members
from tabard.brokers.trust.authority import Wanted
from tabard.brokers.trust.bundle import encode_bundle
from tabard.clock import wall
from tabard.errors import AlreadyRunning, RefusedError, TabardError, UsageError
from tabard.home import Home
from tabard.names import check_node, clean_node
from tabard.ops.auditing import record, who
from tabard.ops.hosts.bundle import Release
from tabard.ops.hosts.fleet.ports import HostFailed, HostUnreachable
from tabard.ops.hosts.reaching import Reaching, check_fits, standing_of
from tabard.ops.hosts.register import INSTALLED, INSTALLING, Listed, Register
from tabard.ops.hosts.remote import Way
from tabard.ops.keys import changing, trusted
from tabard.ops.nexthost import serving
from tabard.settings import Settings

_PAUSE: Final = 0.5
_PATIENCE: Final = 30.0
"""Seconds that another change of this home's keys is waited for."""
ROWS: Final = ("host", "zone", "did", "release", "python", "reason")


class Asked(NamedTuple):
    """What is to be installed, on whichever host."""

    zone: str
    home: str
    keep: str
    lines: str
    """Settings besides name and zone, as TOML."""
    honours: tuple[str, ...]
    life: int | None
    """Of certificates, nanoseconds; None: as long as their authority gives."""
    patience: float
    """Seconds within which a host has to be well."""


class Done(NamedTuple):
    """What became of one host."""

    host: str
    zone: str
    did: str
    """``installed``, ``known`` (it was already, and is well), ``silent`` (installed, and not well in time), ``failed`` or ``unreachable``."""
    release: str | None = None
    python: str | None = None
    reason: str | None = None


class Installing:
    """Installs hosts, each on its own; several threads may."""

    def __init__(self, home: Home, release: Release, asked: Asked, say: Callable[[str, str], None]) -> None:
        """``say`` gets a host's name and what is done with it now."""
        self._home = home
        self._release = release
        self._asked = asked
        self._say = say
        self._register = Register(home)
        self._reaching = Reaching(home)
        self._keys = threading.Lock()

    def install(self, name: str | None, way: Way) -> Done:
        """Install one host, or go on where that was cut off. A failure is what is returned."""
        shown = name or way.destination
        try:
            return self._install(name, way)
        except HostUnreachable as error:
            return Done(shown, self._asked.zone, "unreachable", reason=str(error))
        except TabardError as error:
            return Done(shown, self._asked.zone, "failed", reason=str(error))

    def look(self, name: str | None, way: Way) -> Done:
        """Whether one host could be installed: ``fits``, ``failed`` or ``unreachable``. Nothing is changed."""
        shown = name or way.destination
        try:
            facts = self._reaching.facts(
                Listed(shown, self._asked.zone, way, self._asked.home, self._asked.keep, INSTALLING)
            )
            check_fits(self._release, facts, way.destination)
            python = ".".join(str(part) for part in facts["python"])
            return Done(
                name or named(way.destination, str(facts["host"])),
                self._asked.zone,
                "fits",
                self._release.release,
                python,
            )
        except HostUnreachable as error:
            return Done(shown, self._asked.zone, "unreachable", reason=str(error))
        except TabardError as error:
            return Done(shown, self._asked.zone, "failed", reason=str(error))

    def _install(self, wanted: str | None, way: Way) -> Done:
        asked, release = self._asked, self._release
        self._say(wanted or way.destination, "asking what it is")
        probe = Listed(wanted or "", asked.zone, way, asked.home, asked.keep, INSTALLING)
        facts = self._reaching.facts(probe)
        name = wanted or named(way.destination, str(facts["host"]))
        host = self._listed(probe._replace(name=name), joined=bool(facts["joined"]))
        check_fits(release, facts, way.destination)
        if asked.keep == "cron" and not facts["crontab"]:
            raise HostFailed(
                "nothing there keeps roles running", expected="the command crontab", found="none", where=way.destination,
                hint="Install cron there, or say --keep none and let something else run `tabard crontab start` after a boot",
            )  # fmt: skip
        python = ".".join(str(part) for part in facts["python"])
        before = standing_of(facts)
        known = host.state == INSTALLED and before.current == release.release and facts["joined"]
        self._register.put(host._replace(changed=wall()))
        self._say(name, f"laying release {release.release} down")
        self._reaching.lay(host, release)
        self._say(name, "settings and keys")
        member = b"" if facts["joined"] else self._member(host)
        settings = f'[node]\nname = "{name}"\nzone = "{asked.zone}"\n{asked.lines}'
        self._reaching.enroll(host, release.release, settings, member)
        since = wall()
        self._say(name, "starting its roles")
        previous = before.current if before.current != release.release else before.previous
        self._reaching.switch(name, release.release, previous)
        self._register.put(self._register.get(name)._replace(state=INSTALLED, changed=wall()))
        record(self._home, f"host {name} of {asked.zone} installed at {way.destination} by {who()}")
        reason = self._well(name, 0 if known else since)
        did = "silent" if reason else "known" if known else "installed"
        return Done(name, asked.zone, did, release.release, python, reason)

    def _listed(self, host: Listed, *, joined: bool) -> Listed:
        """The host as it is in the register, reached as is said now. Raises RefusedError where that name is another's."""
        old = {each.name: each for each in self._register.all()}.get(host.name)
        if old is None:
            if not joined and trusted(self._home).directory.certificates(
                "node", host.zone, host.name, time.time_ns()
            ):
                raise RefusedError(
                    "the zone has a node of that name",
                    expected="a name that none has, or the host that has its keys",
                    found=host.name,
                    where=host.way.destination,
                    hint="Give it another: tabard host install NAME=USER@HOST; or take that one out: tabard node remove",
                )
            return host
        if old.zone != host.zone or old.way.destination != host.way.destination or old.home != host.home:
            raise RefusedError(
                "another host has that name",
                expected="a name that no host here has, or the same host",
                found=f"{old.name} of {old.zone}, {old.way.destination}: {old.home}",
                where=host.way.destination,
                hint="Give it a name: tabard host install NAME=USER@HOST",
            )
        return old._replace(way=host.way, keep=host.keep)

    def _member(self, host: Listed) -> bytes:
        """Keys and certificates of a node, new ones for one whose former ones may be lost on their way."""
        until = time.monotonic() + _PATIENCE
        while True:
            try:
                with self._keys, changing(self._home) as trust:
                    made = _made(trust, host, self._asked)
                    return encode_bundle(made.bundle(trust))
            except AlreadyRunning:
                if time.monotonic() > until:
                    raise
                time.sleep(_PAUSE)

    def _well(self, name: str, since: int) -> str | None:
        """Ask until it is well, and why it is not when the time is over."""
        until = time.monotonic() + self._asked.patience
        self._say(name, "waiting until it is well")
        while True:
            try:
                found = self._reaching.health(name, self._release.release, since)
                reasons = "; ".join(found.reasons)
                if found.ok:
                    return None
            except TabardError as error:
                reasons = str(error)
            if time.monotonic() > until:
                return reasons
            time.sleep(_PAUSE)


def _made(trust: Any, host: Listed, asked: Asked) -> members.Made:
    now = time.time_ns()
    wanted = [Wanted("node", host.name, host.zone, asked.honours)]
    if (
        host.state == INSTALLING
        and trust.directory.certificates("node", host.zone, host.name, now)
        and host.changed
    ):
        return members.rotate(trust, "node", host.name, host.zone, now, asked.life)
    return members.add(trust, wanted, now, life=asked.life, again=True, keep=False)


def named(destination: str, said: str) -> str:
    """What a host is called without another word: as it is reached, if that is by a name, else as it calls itself."""
    reached = destination.rpartition("@")[2]
    try:
        ipaddress.ip_address(reached)
    except ValueError:
        return check_node(clean_node(reached.partition(".")[0]))
    return check_node(clean_node(said.partition(".")[0]))


def lines_of(settings: Settings, zone: str, seen_as: str, own: str, where: str) -> str:
    """Settings of a node besides its name: how it reaches a broker of this home, unless ``own``, the user's lines, says it.

    ``seen_as`` is this host's address as that one sees it. Raises UsageError.
    """
    try:
        said = tomllib.loads(own)
    except tomllib.TOMLDecodeError as error:
        raise UsageError("no settings", expected="TOML", found=str(error), where=where) from error
    if "node" in said:
        raise UsageError(
            "name and zone are not for the file", expected="settings without [node]", found="[node]", where=where,
            hint="Say NAME=USER@HOST and --zone",
        )  # fmt: skip
    if "agent" in said:
        return own
    broker = serving(settings, zone)
    if broker is None or broker.zone != zone:
        raise UsageError(
            "nobody can say which broker the host hands to",
            expected=f"a broker of zone {zone} in the settings of this home, or [agent] with up, down and broker in --settings",
            found="none",
            where=where,
        )
    ends = (broker.up_in, broker.down_out)
    if not all(end.startswith("tcp://") for end in ends):
        raise UsageError(
            "the broker can be reached from this host alone",
            expected="tcp:// in up_in and down_out",
            found=" and ".join(ends),
            where=f"broker {broker.name}",
            hint="Give it addresses, see docs/how-to/chain-brokers.md",
        )
    up, down = (f"tcp://{seen_as}:{end.rpartition(':')[2]}" for end in ends)
    return f'[agent]\nup = "{up}"\ndown = "{down}"\nbroker = "{broker.name}"\n{own}'
