"""What a fleet asks of its hosts, over ssh: see ``fleet.ports``. What was done is put into the register."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

from tabard.clock import wall
from tabard.errors import TabardError
from tabard.home import Home
from tabard.ops.hosts import fits
from tabard.ops.hosts.bundle import Release
from tabard.ops.hosts.fleet.ports import Bundle, Health, HostFailed, Standing
from tabard.ops.hosts.register import Listed, Register
from tabard.ops.hosts.remote import LONG, Remote

ROOM: Final = 60_000_000
"""Bytes that have to be free in the home on a host."""


class Reaching:
    """The port of a fleet; hosts are those of the register of a home."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._register = Register(home)
        self._remote = Remote()
        self._before: dict[str, frozenset[tuple[str, str]]] = {}

    def facts(self, host: Listed) -> dict[str, Any]:
        """What a host says of itself. Raises HostUnreachable, HostFailed."""
        return self._remote.ask(host.way, "facts", host.home)

    def standing(self, host: str) -> Standing:
        """See the port."""
        listed = self._register.get(host)
        found = standing_of(self.facts(listed))
        self._keep(listed, found.current, found.previous)
        return found

    def stage(self, host: str, bundle: Bundle) -> str:
        """See the port."""
        if not isinstance(bundle, Release):
            raise TypeError(f"a release with its wheels is needed, not {type(bundle)}")
        listed = self._register.get(host)
        check_fits(bundle, self.facts(listed), listed.way.destination)
        return self.lay(listed, bundle)

    def lay(self, host: Listed, bundle: Release) -> str:
        """The same, where it is known to fit."""
        kinds = [*(("wheel", each) for each in bundle.wheels), ("pip", bundle.pip)]
        files = [
            {
                "name": each.name,
                "size": len(each.data),
                "sha256": hashlib.sha256(each.data).hexdigest(),
                "kind": kind,
            }
            for kind, each in kinds
        ]
        self._remote.ask(
            host.way,
            "stage",
            host.home,
            release=bundle.release,
            version=bundle.version,
            files=files,
            payload=[each.data for _, each in kinds],
            seconds=LONG,
        )
        return bundle.release

    def enroll(self, host: Listed, release: str, settings: str, member: bytes) -> bool:
        """Hand over settings, taken where there are none, and the keys of a member; whether the settings were taken. Raises as the port."""
        done = self._remote.ask(
            host.way,
            "enroll",
            host.home,
            release=release,
            settings=settings,
            size=len(member),
            payload=[member],
            seconds=LONG,
        )
        return bool(done["settings"])

    def switch(self, host: str, release: str, previous: str | None) -> None:
        """See the port."""
        listed = self._register.get(host)
        if listed.current is not None:
            self._before.setdefault(host, self._faults(listed))
        self._remote.ask(
            listed.way,
            "switch",
            listed.home,
            release=release,
            previous=previous,
            keep=listed.keep,
            seconds=LONG,
        )
        self._keep(listed, release, previous)

    def health(self, host: str, release: str, since: int) -> Health:
        """See the port."""
        listed = self._register.get(host)
        said = self._remote.ask(listed.way, "status", listed.home)
        reasons = list(_reasons(said, release, self._before.get(host, frozenset())))
        return Health(not reasons, tuple(reasons)) if reasons else self._heard(listed, release, since)

    def remove(self, host: Listed, *, keep_data: bool) -> Sequence[str]:
        """Take Tabard off a host; what is left there. Raises as the port."""
        done = self._remote.ask(host.way, "remove", host.home, keep_data=keep_data, seconds=LONG)
        return [str(each) for each in done["left"]]

    def _heard(self, host: Listed, release: str, since: int) -> Health:
        """Whether it was heard here, where this home has a store that would know."""
        from tabard.ops.stores import open_reader, there_is_one

        if not there_is_one(self._home):
            return Health(True)
        try:
            with open_reader(self._home) as reader:
                found = [
                    each for each in reader.nodes(wall()) if (each.name, each.zone) == (host.name, host.zone)
                ]
        except TabardError as error:
            return Health(False, (f"nobody can say whether it is heard: {error}",))
        version = release.rpartition("-")[0]
        if not found or found[0].last_beacon is None or found[0].last_beacon < since:
            return Health(False, ("it has not been heard here since the switch",))
        if found[0].version != version:
            return Health(False, (f"it was heard with version {found[0].version}, not {version}",))
        return Health(True)

    def _faults(self, host: Listed) -> frozenset[tuple[str, str]]:
        try:
            said = self._remote.ask(host.way, "status", host.home)
        except HostFailed:  # what runs there cannot even say how it is: nothing that is found later is old
            return frozenset()
        return frozenset(_faults(said))

    def _keep(self, host: Listed, current: str | None, previous: str | None) -> None:
        if (host.current, host.previous) != (current, previous):
            self._register.put(host._replace(current=current, previous=previous, changed=wall()))


def standing_of(said: Mapping[str, Any]) -> Standing:
    """What lies on a host, out of what it says."""
    return Standing(said["current"], said["previous"], tuple(said["releases"]))


def check_fits(bundle: Release, said: Mapping[str, Any], where: str) -> None:
    """Raises HostFailed where a release cannot be laid on a host that says this of itself."""
    facts = fits.facts_of(dict(said))
    wrong = [each.name for each in (*bundle.wheels, bundle.pip) if not fits.fits(each.name, facts)]
    if wrong:
        raise HostFailed(
            "what is installed here does not run there",
            expected="wheels for " + str(facts),
            found=", ".join(wrong),
            where=where,
            hint="Get those wheels with `pip download --no-deps` where they fit, and hand over a directory of all of them: --wheels DIR",
        )
    if not said["writable"]:
        raise HostFailed(
            "the home on the host cannot be made", expected="a place that this user can write to", found=str(said["home"]), where=where,
            hint="Name another with --remote-home",
        )  # fmt: skip
    if said["free"] < ROOM:
        raise HostFailed(
            "no room on the host", expected=f"{ROOM // 1_000_000} MB", found=f"{said['free'] // 1_000_000} MB",
            where=f"{where}: {said['home']}",
        )  # fmt: skip


def _reasons(said: Mapping[str, Any], release: str, before: frozenset[tuple[str, str]]) -> list[str]:
    """Why a host that says this is not well. What it complained of before the switch is not the release's."""
    if said["current"] != release:
        return [f"it runs {said['current']}, not {release}"]
    status = said["status"]
    if status["version"] != release.rpartition("-")[0]:
        return [f"its tool is version {status['version']}"]
    roles = [f"{role['name']} is {role['state']}" for role in status["roles"] if role["state"] == "stopped"]
    if not status["roles"]:
        return ["nothing runs there"]
    return roles + [f"{where}: {what}" for where, what in _faults(said) if (where, what) not in before]


def _faults(said: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(str(each["where"]), str(each["what"])) for each in said["status"]["faults"]]
