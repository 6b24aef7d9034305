"""What the dispatcher's desk asks of its store, and of the file that knows whether that was put back."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from tabard.brokers.wire.command import Order
from tabard.consumers.commands.course import Course

Place = tuple[str, str]
"""Zone and name of a node."""


class Item(NamedTuple):
    """One command, as the desk carries it."""

    number: int
    """The store's own, in the order in which they came."""
    uid: bytes
    group: bytes
    zone: str
    node: str
    batch: int
    """How many of its group may be underway at a time; 0 for any number."""
    course: Course
    cancels: bytes = b""
    """The id of the command that this one calls back; empty for others."""
    approved: int = 0
    """How many operators besides its issuer have approved it."""

    @property
    def place(self) -> Place:
        """Whom it is for."""
        return (self.zone, self.node)


class Seen(NamedTuple):
    """What the store knows of a node's beacons."""

    nonce: bytes
    heard: int
    """Nanoseconds since 1970, by the recorder's clock."""
    interval: int
    """Nanoseconds until the next beacon."""
    behind: int
    """Control records that the node had by the newest beacon, and the store had not."""


class Answer(NamedTuple):
    """One control record."""

    row: int
    """Its number in the store: rising, none before it comes later."""
    place: Place
    """The node that it is signed by."""
    kind: str
    data: Mapping[str, Any]
    time: int
    """By the node's clock."""


class Answers(NamedTuple):
    """The next control records about commands."""

    found: Sequence[Answer]
    upto: int
    """The row up to which there are no others."""
    complete: bool
    """Whether these are all that the store had when it was asked: what is not among them was not answered by then."""


class Output(NamedTuple):
    """A piece of what a run printed."""

    number: int
    """Of its command."""
    part: int
    """From 1."""
    fd: int
    """1 or 2."""
    data: bytes


class Marks(NamedTuple):
    """How far the desk is."""

    row: int = 0
    """The control record up to which all were taken in."""
    turns: int = 0
    """Times that something was about to be sent."""


class DeskStore(Protocol):
    """The tables of commands. All of it raises StoreError when the store cannot be asked."""

    def marks(self) -> Marks:
        """As of the last commit."""
        ...

    def unfinished(self) -> list[Item]:
        """All that have not ended, in order."""
        ...

    def find(self, uids: Collection[bytes]) -> list[Item]:
        """Those of them that there are."""
        ...

    def order(self, number: int) -> Order:
        """What its issuer signed."""
        ...

    def seen(self, places: Collection[Place]) -> dict[Place, Seen]:
        """Of these nodes those that were ever heard."""
        ...

    def gaps(self, places: Collection[Place]) -> dict[Place, int]:
        """When the newest gap in the control stream of these nodes was stored, nanoseconds since 1970; of those that have one."""
        ...

    def answers(self, after: int) -> Answers:
        """What comes behind that row; as many as may be taken in at once."""
        ...

    def commit(self, items: Sequence[Item], outputs: Sequence[Output], marks: Marks, now: int) -> None:
        """All of it, durably, or nothing; a state that is another one than before enters the history."""
        ...


class Witness(Protocol):
    """A number outside the store: it tells that the store is an earlier state of itself."""

    def read(self) -> int:
        """What was written last, 0 when nothing was."""
        ...

    def write(self, turns: int) -> None:
        """Keep it."""
        ...
