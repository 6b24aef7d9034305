"""Who asks: a person, a program with a token, or nobody in particular."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from flask import g

from tabard.consumers.people.model import Person, Session
from tabard.consumers.people.rights import EVERYWHERE, VIEWER, Rights

NOBODY: Final = "nobody"
PASSWORD: Final = "password"  # noqa: S105 -- the word for one
PROXY: Final = "proxy"
TOKEN: Final = "token"  # noqa: S105 -- the word for one


@dataclass(frozen=True)
class Visitor:
    """Who sent the request that is answered."""

    how: str
    """`NOBODY`, `PASSWORD`, `PROXY` or `TOKEN`."""
    rights: Rights | None
    """None: not even to read."""
    person: Person | None = None
    session: Session | None = None
    csrf: str = ""
    """What a form of theirs must bring along."""

    @property
    def name(self) -> str:
        """Of the account; empty for nobody."""
        return self.person.name if self.person else ""

    @property
    def zone(self) -> str:
        """What may be seen; "" for all."""
        return self.rights.zone if self.rights else EVERYWHERE

    def may(self, role: str, zone: str = EVERYWHERE) -> bool:
        """Whether this is somebody with a role in a zone; who is nobody may read at most."""
        if self.person is None and role != VIEWER:
            return False
        return self.rights is not None and self.rights.allow(role, zone)


READER: Final = Visitor(NOBODY, Rights(VIEWER, EVERYWHERE))
"""Somebody at this machine, where reading takes no login."""
STRANGER: Final = Visitor(NOBODY, None)


def visitor() -> Visitor:
    """Who sent the request that is answered; who may read, in an application that has no doors."""
    found: Visitor = g.get("visitor", READER)
    return found
