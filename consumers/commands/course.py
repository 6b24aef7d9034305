"""What becomes of one command, as its dispatcher sees it: what it is now, and what an answer, a beacon or the time makes of it. Pure.

It is sent again, with the nonce of the newest beacon, until a record of the node answers; never from its expiry on, never once the node
took it. What a node said counts more than what was concluded from its silence: a late word corrects that. An end that is told has happened:
what cannot be known is `LOST`, not `EXPIRED`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from tabard.brokers.wire.answers import (
    ACCEPTED,
    CANCELLED,
    DONE,
    ENDS,
    EXPIRED,
    FAILED,
    LOST,
    REFUSED,
    RUNNING,
    STATE_OF,
    TAKEN,
)
from tabard.records import clean_text

QUEUED: Final = "queued"
SENT: Final = "sent"
STATES: Final = (QUEUED, SENT, *TAKEN, *ENDS)
"""The first two are its dispatcher's own; the others are what a node says, or what is concluded from its silence."""
_RANK: Final = {QUEUED: 0, SENT: 0, ACCEPTED: 1, RUNNING: 2, **dict.fromkeys(ENDS, 3)}

SECOND: Final = 1_000_000_000
SOONEST: Final = SECOND
"""Nanoseconds between two sendings at least."""
AGAIN: Final = 5 * SECOND
"""Nanoseconds until the same nonce is used once more: what was sent may be lost on its way."""
NONCES: Final = 4
"""Beacons after which a nonce is worth nothing any more."""
MAX_REASON: Final = 1_000
"""Characters of a reason as it is kept."""

NOT_BEGUN: Final = "it was not begun before its expiry"
NEVER_SENT: Final = "its time was over before it could be sent"
NO_WORD: Final = "the node sent no word of it, and whether it was begun is not known"
NO_END: Final = "the node took it, and sent no word of its end"
NOT_KNOWN: Final = "words of the node may be missing, and whether it was begun is not known"
FORGOTTEN: Final = "its node does not remember it any more, and whether it was begun is not known"
WITHDRAWN: Final = "withdrawn before it was sent"


class Course(NamedTuple):
    """What is known of a command. Times are nanoseconds since 1970 by the dispatcher's clock."""

    made: int
    expires: int
    timeout: int
    """Nanoseconds that it may run."""
    state: str = QUEUED
    reason: str = ""
    attempts: int = 0
    """How often it was sent."""
    sent: int = 0
    """When last."""
    nonce: bytes = b""
    """With which nonce."""
    said: bool = False
    """Whether the node itself said its state."""
    exit: int | None = None
    doubtful: bool = False
    """Whether the store was put back to an earlier state since: what it does not tell may have happened."""
    parts: int | None = None
    """In how many parts its node sent what it printed, once it has ended; None: it did not say so."""
    cut: int | None = None
    """Bytes of what it printed that its node did not send."""
    seen: bytes = b""
    """The nonce that was heard last; not kept in the store."""
    later: int = 0
    """Other nonces heard since it was sent last; not kept in the store."""

    @property
    def ended(self) -> bool:
        """Whether nothing more is to be done for it."""
        return self.state in ENDS

    def is_over(self, now: int) -> bool:
        """Whether its time is over without a word of its node, so that this may be concluded to be its end."""
        return now >= self.expires and self.state not in (*TAKEN, *ENDS)


class Heard(NamedTuple):
    """What beacons of a node tell, by the store."""

    nonce: bytes
    present: bool
    """Whether the newest beacon is young enough for its nonce to be worth something."""
    whole: bool
    """Whether the store has all of the node's control stream, up to the newest beacon, and all of it was taken in."""
    gap: int = 0
    """When the newest gap of that stream was stored; 0: it has none."""


class Rules:
    """What is decided. Without state: a class, so that a test can break one rule and see that it is missed."""

    def __init__(self, give_up: int) -> None:
        self.give_up = give_up
        """Nanoseconds after its expiry until the silence of a node is its end."""

    def answered(self, course: Course, kind: str, data: Mapping[str, Any]) -> Course:
        """What a record of the command's own node makes of it; the same where it is no news."""
        state = STATE_OF.get(kind)
        if state is None or (course.said and _RANK[state] <= _RANK[course.state]):
            return course
        if state == EXPIRED and course.doubtful:  # it may have run, and been forgotten since
            return course._replace(state=LOST, reason=NOT_KNOWN, said=True)
        if state == CANCELLED and course.doubtful and _forgotten(data) >= course.expires:  # likewise
            return course._replace(state=LOST, reason=FORGOTTEN, said=True)
        return course._replace(
            state=state,
            reason=reason_of(data),
            said=True,
            exit=_number(data, "exit", -(2**31)),
            parts=_number(data, "parts"),
            cut=_number(data, "cut", most=2**62),
        )

    def step(
        self, course: Course, heard: Heard | None, now: int, *, begin: bool = True
    ) -> tuple[Course, bool]:
        """What it is now, and whether it is to be sent, once that is committed, with `Course.nonce`.

        `begin`: whether it may be sent now; others of its batch may have to end first, or it may be called back.
        """
        if course.ended:
            return course, False
        course = self.count_beacon(course, heard)
        if course.state in TAKEN:
            return self.await_end(course, now), False
        if now >= course.expires:
            return self.expire(course, heard, now), False
        if not begin or heard is None or not self.is_due(course, heard, now):
            return course, False
        return self.note(course, heard, now), True

    def count_beacon(self, course: Course, heard: Heard | None) -> Course:
        """Count beacons."""
        if heard is None or heard.nonce in {course.seen, course.nonce}:
            return course
        return course._replace(seen=heard.nonce, later=course.later + 1)

    def is_due(self, course: Course, heard: Heard, now: int) -> bool:
        """Whether it is time to send it."""
        if not heard.present or not heard.nonce:
            return False
        if not course.attempts:
            return True
        passed = now - course.sent
        if passed < 0:  # the clock was put back
            return True
        return passed >= (SOONEST if heard.nonce != course.nonce else AGAIN)

    def note(self, course: Course, heard: Heard, now: int) -> Course:
        """It is about to be sent."""
        return course._replace(
            state=SENT,
            attempts=course.attempts + 1,
            sent=now,
            nonce=heard.nonce,
            seen=heard.nonce,
            later=0,
        )

    def expire(self, course: Course, heard: Heard | None, now: int) -> Course:
        """Its time is over, and no node has answered."""
        if not course.attempts and not course.doubtful:
            return _over(course, EXPIRED, NEVER_SENT)
        if heard is not None and heard.whole and course.later >= NONCES:
            if course.doubtful or heard.gap >= course.made:
                return _over(course, LOST, NOT_KNOWN)
            return _over(course, EXPIRED, NOT_BEGUN)
        if now >= course.expires + self.give_up:
            return _over(course, LOST, NO_WORD)
        return course

    def await_end(self, course: Course, now: int) -> Course:
        """The node took it: it will say how it ends, or is gone."""
        if now >= course.expires + course.timeout + self.give_up:
            return _over(course, LOST, NO_END)
        return course

    def withdrawn(self, course: Course) -> Course | None:
        """Taken back before it was sent; None: it may be with its node, which has to be told."""
        if course.ended or course.attempts or course.doubtful:
            return None
        return _over(course, CANCELLED, WITHDRAWN)

    def doubted(self, course: Course) -> Course:
        """The store is an earlier state of itself."""
        if course.ended and course.said:
            return course
        if course.state in TAKEN:  # sent again, so that the node says again what became of it
            course = course._replace(state=SENT, said=False)
        return course._replace(doubtful=True)


def beginners(group: Sequence[tuple[Course, bool]], batch: int) -> frozenset[int]:
    """Which of the commands of a group, by their place in it, may be sent: so that `batch` are underway; 0 for all.

    With each course comes whether its node is there. One that is away takes no place as long as it has not taken its command; what was sent
    already goes first.
    """
    open_ = [
        place for place, (course, _) in enumerate(group) if not course.ended and course.state not in TAKEN
    ]
    if not batch:
        return frozenset(open_)
    taken = sum(course.state in TAKEN for course, _ in group)
    there = sorted(
        (place for place in open_ if group[place][1]), key=lambda place: not group[place][0].attempts
    )
    return frozenset(there[: max(0, batch - taken)])


def reason_of(data: Mapping[str, Any]) -> str:
    """What a node says of an end, in one line for people."""
    if isinstance(data.get("signal"), int):
        return f"ended by signal {data['signal']}"
    words = [str(data[name]) for name in ("reason", "expected") if isinstance(data.get(name), str)]
    if isinstance(data.get("by"), str):
        words.append(f"by {data['by']}")
    return clean_text("; expected ".join(words[:2]) if len(words) > 1 else "".join(words))[:MAX_REASON]


def summary(states: Iterable[str]) -> str:
    """What became of several commands: ``done``, ``failed``, ``refused`` where that holds for all of them, ``open`` while some go on, else ``partly``."""
    found = set(states)
    if found.difference(ENDS):
        return "open"
    if found == {DONE}:
        return DONE
    if found == {REFUSED}:
        return REFUSED
    return "partly" if DONE in found else FAILED


def _number(data: Mapping[str, Any], name: str, least: int = 0, most: int = 2**31) -> int | None:
    found = data.get(name)
    return found if type(found) is int and least <= found < most else None


def _forgotten(data: Mapping[str, Any]) -> int:
    """Up to which expiry its node remembers nothing of a command; 0: it knows what it says."""
    return _number(data, "forgotten", most=2**63) or 0


def _over(course: Course, state: str, reason: str) -> Course:
    return course._replace(state=state, reason=reason)
