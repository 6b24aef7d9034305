"""The dispatcher's desk: takes in what nodes answered, decides what is sent, and has all of it in the store before anything is.

A turn reads beacons first and answers second: so an answer that the store had when it said that it has everything is not missed, as
long as all answers were read. While some are left, nothing is concluded from the silence of a node.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from tabard import failpoints
from tabard.brokers.wire.answers import OUTPUT
from tabard.consumers.commands.course import NONCES, Course, Heard, Rules, beginners
from tabard.consumers.commands.ports import (
    Answer,
    DeskStore,
    Item,
    Marks,
    Output,
    Place,
    Seen,
    Witness,
)

SENDS: Final = 1_000
"""Commands that one turn sends at most: what is answered meanwhile is to be heard."""
MAX_PART: Final = 2**31
ROWS_UNNOTED: Final = 10_000
"""Control records that say nothing of commands, and may have to be read once more after a start: noting each would be a commit each time."""
_HEX: Final = frozenset("0123456789abcdef")
_UID: Final = 32

NOTED = failpoints.declare("dispatcher.noted", "a dispatcher committed that it sends, and has not sent")
"""Between both a kill leaves a command that was not sent and is held to have been: it is sent again."""


@dataclass(slots=True)
class _Node:
    """Of a node, what one beacon alone does not tell."""

    nonce: bytes = b""
    looked: float = float("-inf")
    """When that was looked at, monotonic seconds."""
    fresh: float = float("-inf")
    """When its nonce was still another one: its last beacon is younger."""


@dataclass(slots=True)
class Turn:
    """What a turn came to."""

    sends: list[Item] = field(default_factory=list)
    """To be sent now, each with the nonce of its course."""
    changed: set[bytes] = field(default_factory=set)
    """Groups of which something became known."""
    more: bool = False
    """Whether the next turn has something to do at once."""


class Desk:
    """Commands that have not ended, kept in step with the store."""

    def __init__(
        self,
        store: DeskStore,
        rules: Rules,
        witness: Witness,
        held: Callable[[Item], bool] = lambda _item: False,
    ) -> None:
        """`held`: whether a command is not to be sent yet, whoever waits for it. Raises StoreError."""
        self._held = held
        self.rules = rules
        self._store = store
        self._witness = witness
        self._nodes: dict[Place, _Node] = {}
        self._marks = self._noted = store.marks()
        """How far it is, and how far the store says that it is."""
        self._open: dict[bytes, Item] = {item.uid: item for item in store.unfinished()}
        self.restored = False
        """Whether the store was found to be an earlier state of itself."""

    def start(self, now: int) -> None:
        """See whether the store was put back: then nothing that it does not tell is known. Raises StoreError."""
        known = self._witness.read()
        if known <= self._marks.turns:
            return
        self.restored = True
        items = [each._replace(course=self.rules.doubted(each.course)) for each in self._open.values()]
        self._commit(items, [], self._marks._replace(turns=known), now)

    @property
    def open(self) -> int:
        """How many commands have not ended."""
        return len(self._open)

    def add(self, items: Iterable[Item]) -> None:
        """Commands that are in the store now."""
        self._open.update((item.uid, item) for item in items)

    def take(self, items: Iterable[Item], now: int) -> None:
        """Put items in the place of what was known of them, in the store too. Raises StoreError."""
        self._commit(list(items), [], self._marks, now)

    def turn(self, now: int, monotonic: float) -> Turn:
        """Take in, decide, keep; what is to be sent then. `now`: nanoseconds since 1970. Raises StoreError."""
        turn = Turn()
        seen = self._store.seen({item.place for item in self._open.values()}) if self._open else {}
        complete = self._take_in(turn, now)
        heard = {
            place: self._heard(place, each, now, monotonic, complete=complete) for place, each in seen.items()
        }
        self._decide(turn, self._with_gaps(heard, now), now)
        return turn

    # --- answers ---------------------------------------------------------------------------

    def _take_in(self, turn: Turn, now: int) -> bool:
        """Whether no answer is left that the store had by now."""
        answers = self._store.answers(self._marks.row)
        if answers.upto == self._marks.row:
            return answers.complete
        turn.more = not answers.complete
        named = [(uid, answer) for answer in answers.found if (uid := named_by(answer)) is not None]
        others = {uid for uid, _ in named} - self._open.keys()
        items = (
            {**self._open, **{item.uid: item for item in self._store.find(others)}} if others else self._open
        )
        changed: dict[bytes, Item] = {}
        outputs = []
        for uid, answer in named:
            item = changed.get(uid) or items.get(uid)
            if item is None or item.place != answer.place:  # nobody answers in another's name
                continue
            if answer.kind == OUTPUT:
                output = _output(item, answer)
                if output is not None:
                    outputs.append(output)
                    turn.changed.add(item.group)
                continue
            course = self.rules.answered(item.course, answer.kind, answer.data)
            if course != item.course:
                changed[uid] = item._replace(course=course)
                turn.changed.add(item.group)
        marks = self._marks._replace(row=answers.upto)
        if changed or outputs or marks.row - self._noted.row >= ROWS_UNNOTED:
            self._commit(list(changed.values()), outputs, marks, now)
        else:
            self._marks = marks
        return answers.complete

    # --- what is to be sent ----------------------------------------------------------------

    def _with_gaps(self, heard: dict[Place, Heard], now: int) -> dict[Place, Heard]:
        """Gaps count where the time of a command is over, and it is to be said whether it was begun."""
        over = {item.place for item in self._open.values() if item.course.is_over(now)} & heard.keys()
        gaps = self._store.gaps(over) if over else {}
        return {**heard, **{place: heard[place]._replace(gap=gap) for place, gap in gaps.items()}}

    def _decide(self, turn: Turn, heard: dict[Place, Heard], now: int) -> None:
        begin = self._begin(heard)
        changed: list[Item] = []
        sends: list[Item] = []
        for uid, item in list(self._open.items()):
            if len(sends) >= SENDS:
                turn.more = True
                break
            course, send = self.rules.step(item.course, heard.get(item.place), now, begin=uid in begin)
            if course == item.course:
                continue
            newer = item._replace(course=course)
            if not lasts(course, item.course):
                self._open[uid] = newer
                continue
            changed.append(newer)
            turn.changed.add(item.group)
            if send:
                sends.append(newer)
        if not changed:
            return
        marks = self._marks._replace(turns=self._marks.turns + 1) if sends else self._marks
        self._commit(changed, [], marks, now)
        if sends:
            self._witness.write(marks.turns)
            failpoints.hit(NOTED)
        turn.sends = sends

    def _begin(self, heard: dict[Place, Heard]) -> set[bytes]:
        """What may be sent now. A command whose cancellation is on its way is not sent any more."""
        groups: dict[bytes, list[Item]] = {}
        for item in self._open.values():
            if not self._held(item):
                groups.setdefault(item.group, []).append(item)
        begin = set()
        for group in groups.values():
            courses = [(each.course, each.place in heard and heard[each.place].present) for each in group]
            begin |= {group[place].uid for place in beginners(courses, group[0].batch)}
        return begin.difference(item.cancels for item in self._open.values())

    def _heard(self, place: Place, seen: Seen, now: int, monotonic: float, *, complete: bool) -> Heard:
        """A beacon counts as young by either clock: the recorder's may be another one."""
        node = self._nodes.setdefault(place, _Node())
        if node.nonce != seen.nonce:
            if node.nonce:
                node.fresh = node.looked  # and not now: nobody may have looked for long
            node.nonce = seen.nonce
        node.looked = monotonic
        young = abs(now - seen.heard) <= NONCES * seen.interval
        fresh = monotonic - node.fresh <= NONCES * seen.interval / 1e9
        return Heard(seen.nonce, young or fresh, complete and seen.behind == 0)

    def _commit(self, items: list[Item], outputs: list[Output], marks: Marks, now: int) -> None:
        self._store.commit(items, outputs, marks, now)
        self._marks = self._noted = marks
        for item in items:
            if item.course.ended:
                self._open.pop(item.uid, None)
            else:
                self._open[item.uid] = item


def named_by(answer: Answer) -> bytes | None:
    """The id of the command that a record is about; None: of none."""
    uid = answer.data.get("id")
    if not isinstance(uid, str) or len(uid) != _UID or not _HEX.issuperset(uid):
        return None
    return bytes.fromhex(uid)


def lasts(course: Course, before: Course) -> bool:
    """Whether they differ in what the store keeps."""
    return course._replace(seen=b"", later=0) != before._replace(seen=b"", later=0)


def _output(item: Item, answer: Answer) -> Output | None:
    part, fd, data = (answer.data.get(name) for name in ("n", "fd", "data"))
    if type(part) is not int or not 0 < part < MAX_PART or type(fd) is not int or fd not in {1, 2}:
        return None
    return Output(item.number, part, fd, data) if isinstance(data, bytes) else None
