"""Keys for tests that speak TCP: one root for all, its own homes' keys given out, and sockets that use any of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from tabard.brokers import sockets
from tabard.brokers.expected import Expected
from tabard.brokers.keyring import Keyring
from tabard.brokers.loop import Loop
from tabard.brokers.trust import files
from tabard.brokers.trust.authority import Wanted
from tabard.brokers.trust.files import Trust
from tabard.clock import SystemClock
from tabard.home import Home

SINK: Final = "main"


def node(name: str, zone: str, *sinks: str) -> Wanted:
    """Somebody who hands up."""
    return Wanted("node", name, zone, sinks or (SINK,))


def broker(name: str, zone: str) -> Wanted:
    """Somebody who hands on."""
    return Wanted("broker", name, zone)


def recorder(name: str, zone: str, sink: str = SINK) -> Wanted:
    """Somebody who stores."""
    return Wanted("recorder", name, zone, (sink,))


class Keys:
    """The authority of a root zone and all below, in a home that has the keys of all its members."""

    def __init__(self, folder: Path, zone: str, members: Sequence[Wanted]) -> None:
        self.home = Home(folder / "authority")
        self.zone = zone
        self.trust = files.found(self.home, zone, members)
        self._given: list[Trust] = []

    def give(self, home: Home, *names: str, zones: bool = False) -> None:
        """Let a home have the keys of these names, `ROLE.NAME`, and all rosters; `zones`: those of all authorities too."""
        home.ensure()
        mine = [
            file
            for file in self.trust.owned()
            if f"{file.role}.{file.path}" in names or (zones and file.role == "zone")
        ]
        rosters = list(self.trust.directory.rosters().values())
        files.write_all(home, self.trust.directory.pinned, rosters, mine)
        given = Trust.load(home)
        assert given is not None
        self._given.append(given)

    def revoke(self, role: str, name: str, homes: Iterable[Home] = ()) -> None:
        """Take a key back, and let the homes that were given any know (or those of `homes` only)."""
        certificate = self.trust.certificate(role, name)
        assert certificate is not None
        roster = self.trust.authority(certificate.place).roster(
            SystemClock().wall(), revoke=[(certificate.key_id, "a test")]
        )
        self.trust.store_roster(roster)
        assert self.trust.reload()
        told = {home.path for home in homes} or {trust.home.path for trust in self._given}
        for trust in self._given:
            if trust.home.path in told:
                trust.store_roster(roster)

    def sockets(
        self, role: str, name: str, loop: Loop, brokers: Mapping[str, str], *, max_frame: int = 2**26
    ) -> sockets.Sockets:
        """Sockets of somebody, who knows which broker (`NAME`, "" for any) is at which endpoint."""
        certificate = self.trust.certificate(role, name)
        assert certificate is not None
        expected = {endpoint: Expected(each, self._zone_of(each)) for endpoint, each in brokers.items()}
        whose = certificate.sinks[0] if role == "recorder" else name
        ring = Keyring(self.trust, role, whose, certificate.zone, SystemClock(), expected)
        return sockets.Sockets(max_frame=max_frame, keys=(ring, loop))

    def _zone_of(self, name: str) -> str:
        if not name:
            return ""
        certificate = self.trust.certificate("broker", name)
        assert certificate is not None
        return certificate.zone
