"""What the exchange of rosters works on: the rosters of a home, and what became of one that came. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from tabard.brokers.wire.rosters import Speaker, Version

TAKEN: Final = "taken"
OLDER: Final = "older"
"""It is none that is newer than what is here."""
REFUSED: Final = "refused"


class Taken(NamedTuple):
    """What became of a roster."""

    did: str
    why: str = ""
    """A word for a counter, of one that was refused."""
    contradicts: bool = False
    """It is signed by the authority, and so is another one with the same number that is here."""
    damaged: bool = False
    """It is not what any authority could have said: whoever handed it on did not look, or made it up."""


class Shelf(Protocol):
    """The rosters of a home."""

    def look(self) -> None:
        """See whether the files changed."""

    def versions(self) -> Sequence[Version]:
        """Those that are here, the one that came last first. The number is 0 of one whose authority has no say any more."""

    def roster(self, zone: str) -> bytes | None:
        """The newest one of a zone, as it travels."""

    def knows(self, zone: str) -> bool:
        """Whether a certificate of its authority is known, so that a roster of it could prove itself."""

    def take(self, zone: str, mark: bytes, roster: bytes) -> Taken:
        """Take in what is said to be the roster of a zone with that mark, if it proves itself and is newer."""


class Peer(NamedTuple):
    """Somebody at the other end of a link."""

    link: str
    """Where what is said to it is sent: a name that the role has for it."""
    who: Speaker

    def __str__(self) -> str:
        return f"{self.who.role} {self.who.name} of {self.who.zone}"
