"""A dispatcher's desk, its store and some nodes in virtual time, broken by a seed: whatever happens, each command runs at most once, and what is told of it is true.

The desk and its rules are the production classes. The node is a model of what docs/protocol.md promises of one: a command's row lies in the same
transaction as the record that it was accepted, and rows are forgotten once they have expired by the latest clock of a dispatcher.
"""

from __future__ import annotations

import copy
import random
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from tabard.brokers.wire.answers import DONE, ENDS, EXPIRED, FAILED, LOST
from tabard.brokers.wire.command import Order
from tabard.consumers.commands.course import SECOND, Course, Rules
from tabard.consumers.commands.desk import Desk
from tabard.consumers.commands.ports import Answer, Answers, Item, Marks, Output, Place, Seen

BEACON = 10
GIVE_UP = 120
DAWN = 1_000_000
FORGED = 77


class Killed(Exception):
    """The dispatcher ends here."""


@dataclass
class Row:
    """What a node knows of a command."""

    expires: int
    state: str
    ends: int
    code: int


@dataclass
class Node:
    """A node by its promises."""

    name: str
    up: bool = True
    nonces: list[bytes] = field(default_factory=list)
    rows: dict[bytes, Row] = field(default_factory=dict)
    journal: list[tuple[int, str, dict[str, Any]]] = field(default_factory=list)
    """What the sink has not said to have stored."""
    last: int = 0
    latest: int = 0
    """The latest clock of a dispatcher."""
    ran: Counter[bytes] = field(default_factory=Counter)
    forgets: bool = False
    """Breaks its promise: knows of no command that it had."""

    @property
    def place(self) -> Place:
        """Its zone and name."""
        return ("hq", self.name)

    def say(self, kind: str, uid: bytes, **more: Any) -> None:
        """Keep a control record."""
        self.last += 1
        self.journal.append((self.last, kind, {"id": uid.hex(), **more}))

    def hear(self, uid: bytes, expires: int, nonce: bytes, now: int, tick: int, rng: random.Random) -> None:
        """A command comes."""
        if not self.up or nonce not in self.nonces:
            return
        self.latest = max(self.latest, now)
        row = None if self.forgets else self.rows.get(uid)
        if row is not None:
            self.say(
                f"command.{row.state}", uid, **({"exit": row.code} if row.state in {DONE, FAILED} else {})
            )
        elif self.latest >= expires:
            self.say("command.expired", uid)
        else:
            self.rows[uid] = Row(expires, "accepted", tick + rng.randrange(1, 20), rng.choice([0, 0, 1]))
            self.ran[uid] += 1
            self.say("command.accepted", uid)

    def go_on(self, tick: int, rng: random.Random) -> None:
        """What runs goes on."""
        for uid, row in list(self.rows.items()):
            if row.state in ENDS:
                if self.latest >= row.expires and not any(
                    kept[2]["id"] == uid.hex() for kept in self.journal
                ):
                    del self.rows[uid]
            elif row.state == "accepted" and rng.random() < 0.5:
                row.state = "running"
                self.say("command.running", uid, pid=1)
            elif tick >= row.ends:
                row.state = DONE if row.code == 0 else FAILED
                self.say(f"command.{row.state}", uid, exit=row.code)

    def restart(self) -> None:
        """The agent was ended and begins anew."""
        self.nonces = []
        for uid, row in self.rows.items():
            if row.state not in ENDS:
                row.state = LOST
                self.say("command.lost", uid, reason="the agent ended")


@dataclass
class Tables:
    """What lies in the database; a copy of it is a backup."""

    marks: Marks = field(default_factory=Marks)
    items: dict[bytes, Item] = field(default_factory=dict)
    seen: dict[Place, Seen] = field(default_factory=dict)
    gaps: dict[Place, int] = field(default_factory=dict)
    control: list[Answer] = field(default_factory=list)
    stored: dict[Place, int] = field(default_factory=dict)
    """Up to which number the records of a node are stored, or their loss is."""


class MemoryStore:
    """The desk's store, with the power to kill who commits."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self.kill_before = False

    def marks(self) -> Marks:
        """As of the last commit."""
        return self.tables.marks

    def unfinished(self) -> list[Item]:
        """All that have not ended."""
        return [item for item in self.tables.items.values() if not item.course.ended]

    def find(self, uids: Collection[bytes]) -> list[Item]:
        """Those that there are."""
        return [self.tables.items[uid] for uid in uids if uid in self.tables.items]

    def order(self, number: int) -> Order:
        """Nothing is signed here."""
        raise NotImplementedError

    def seen(self, places: Collection[Place]) -> dict[Place, Seen]:
        """Those that were heard."""
        return {place: each for place, each in self.tables.seen.items() if place in places}

    def gaps(self, places: Collection[Place]) -> dict[Place, int]:
        """Those that there are."""
        return {place: gap for place, gap in self.tables.gaps.items() if place in places}

    def answers(self, after: int) -> Answers:
        """A few at a time, so that some are left unread."""
        found = self.tables.control[after : after + 2]
        upto = after + len(found)
        return Answers(found, upto, complete=upto == len(self.tables.control))

    def commit(self, items: Sequence[Item], outputs: Sequence[Output], marks: Marks, now: int) -> None:
        """All of it."""
        if self.kill_before:
            raise Killed
        for item in items:
            self.tables.items[item.uid] = item._replace(course=item.course._replace(seen=b"", later=0))
        self.tables.marks = marks


class File:
    """What knows of a store that was put back."""

    turns = 0

    def read(self) -> int:
        """The number."""
        return self.turns

    def write(self, turns: int) -> None:
        """Keep it."""
        self.turns = turns


class World:
    """All of it, from one seed."""

    def __init__(
        self,
        seed: int,
        rules: type[Rules] = Rules,
        desk: type[Desk] = Desk,
        *,
        restores: bool = True,
        forgets: bool = False,
    ) -> None:
        self.rng = random.Random(seed)
        self.rules = rules(GIVE_UP * SECOND)
        self.desk_class = desk
        self.restores = restores
        self.tick = 0
        self.skew = 0
        self.nodes = [Node(f"n{number}", forgets=forgets) for number in range(3)]
        self.lossy = self.rng.choice([0.0, 0.2, 0.6])
        self.store = MemoryStore(Tables())
        self.file = File()
        self.backup: Tables | None = None
        self.was_restored = False
        self.air: list[tuple[int, Callable[[], None]]] = []
        self.down = 0
        """Until which tick the dispatcher is not there."""
        self.cut: dict[str, int] = {}
        """Until when nothing passes between a node and the others."""
        self.stalled: dict[str, int] = {}
        """Until when a node's records wait behind others, while its beacons come."""
        self.made = 0
        self.desk: Desk | None = None
        self.wrongly_sent: list[str] = []
        self.untrue: set[bytes] = set()
        """Of which it was told at any time that they expired, and they ran."""

    @property
    def now(self) -> int:
        """By the dispatcher's clock."""
        return (DAWN + self.tick + self.skew) * SECOND

    def run(self, ticks: int = 400) -> None:
        """Break things for a while, then let all of it come to its end."""
        for _ in range(ticks):
            self.tick += 1
            self.mischief()
            self.live()
        self.lossy, self.cut, self.stalled, self.down, self.store.kill_before = 0.0, {}, {}, 0, False
        for node in self.nodes:
            if not node.up:
                node.up = True
                node.restart()
        for _ in range(3 * GIVE_UP + 400):
            self.tick += 1
            self.live()

    def live(self) -> None:
        """One second."""
        due = [act for when, act in self.air if when <= self.tick]
        self.air = [(when, act) for when, act in self.air if when > self.tick]
        for act in due:
            act()
        for number, node in enumerate(self.nodes):
            if not node.up:
                continue
            node.go_on(self.tick, self.rng)
            linked = self.cut.get(node.name, 0) <= self.tick
            if self.tick % BEACON == number:
                node.nonces = [*node.nonces[-3:], self.rng.randbytes(8)]
                if linked and self.rng.random() >= self.lossy:
                    self.note_beacon(node)
            if linked and self.stalled.get(node.name, 0) <= self.tick and self.rng.random() >= self.lossy:
                self.record(node)
        if self.tick >= self.down:
            self.dispatch()
        self.untrue |= {
            uid
            for uid, item in self.store.tables.items.items()
            if item.course.state == EXPIRED and any(node.ran[uid] for node in self.nodes)
        }

    def note_beacon(self, node: Node) -> None:
        """The sink hears one."""
        tables = self.store.tables
        upto = tables.stored.get(node.place, 0)
        oldest = node.journal[0][0] if node.journal else node.last + 1
        if oldest > upto + 1:  # what lay between was given up when the store had it, and it has it no more
            tables.gaps[node.place], tables.stored[node.place] = self.now, oldest - 1
        behind = node.last - tables.stored.get(node.place, 0)
        tables.seen[node.place] = Seen(node.nonces[-1], self.now, BEACON * SECOND, behind)

    def record(self, node: Node) -> None:
        """The sink stores what comes next, and the node gives it up."""
        tables = self.store.tables
        upto = tables.stored.get(node.place, 0)
        if node.journal and node.journal[0][0] > upto + 1:
            return
        for seq, kind, data in node.journal[: self.rng.randrange(4)]:
            if seq > upto:
                tables.control.append(Answer(len(tables.control) + 1, node.place, kind, data, self.tick))
                tables.stored[node.place] = upto = seq
        node.journal = [each for each in node.journal if each[0] > upto]

    def dispatch(self) -> None:
        """A turn of the dispatcher."""
        try:
            if self.desk is None:
                self.desk = self.desk_class(self.store, self.rules, self.file)
                self.desk.start(self.now)
            turn = self.desk.turn(self.now, float(self.tick))
        except Killed:
            self.end_dispatcher()
            return
        sends = turn.sends
        if self.rng.random() < 0.03:  # between commit and send, or between two of these
            sends = sends[: self.rng.randrange(2)]
            self.end_dispatcher()
        for item in sends:
            self.send(item)

    def send(self, item: Item) -> None:
        """Perhaps lost, perhaps doubled, perhaps late."""
        course, now = item.course, self.now
        if now >= course.expires:
            self.wrongly_sent.append("its expiry")
        if course.said:
            self.wrongly_sent.append("the node took it")
        node = next(each for each in self.nodes if each.place == item.place)

        def arrive() -> None:
            node.hear(item.uid, course.expires, course.nonce, now, self.tick, self.rng)

        for _ in range(1 + (self.rng.random() < 0.2)):
            if self.cut.get(node.name, 0) > self.tick or self.rng.random() < self.lossy:
                continue
            self.air.append((self.tick + self.rng.choice([0, 0, 1, 5, 30]), arrive))

    def end_dispatcher(self) -> None:
        """It is killed, and started again."""
        self.store.kill_before = False
        self.desk = None
        self.down = self.tick + self.rng.randrange(30)

    # --- what goes wrong -------------------------------------------------------------------

    def mischief(self) -> None:
        """Perhaps."""
        rng = self.rng
        if rng.random() < 0.06:
            self.submit()
        if rng.random() < 0.01:
            node = rng.choice(self.nodes)
            node.up = not node.up
            if node.up:
                node.restart()
        if rng.random() < 0.02:
            self.cut[rng.choice(self.nodes).name] = self.tick + rng.randrange(5, 80)
        if rng.random() < 0.02:
            self.stalled[rng.choice(self.nodes).name] = self.tick + rng.randrange(20, 120)
        if rng.random() < 0.02 and self.desk is not None:
            self.store.kill_before = True
        if rng.random() < 0.01:
            self.skew += rng.choice([-90, 90])
        if rng.random() < 0.02:
            self.forge()
        if not self.restores:
            return
        if rng.random() < 0.01:
            self.backup = copy.deepcopy(self.store.tables)
        elif self.backup is not None and rng.random() < 0.01:
            self.store = MemoryStore(copy.deepcopy(self.backup))
            self.backup = None
            self.was_restored = True
            self.end_dispatcher()

    def submit(self) -> None:
        """Somebody gives a command."""
        uid, node = self.rng.randbytes(16), self.rng.choice(self.nodes)
        course = Course(self.now, self.now + self.rng.choice([15, 60, 300]) * SECOND, 30 * SECOND)
        item = Item(self.made, uid, uid, *node.place, 0, course)
        self.made += 1
        self.store.tables.items[uid] = item
        if self.desk is not None:
            self.desk.add([item])

    def forge(self) -> None:
        """A node says something of a command that is another's."""
        tables = self.store.tables
        if not tables.items:
            return
        item = self.rng.choice(list(tables.items.values()))
        other = self.rng.choice([node for node in self.nodes if node.place != item.place])
        other.say("command.done", item.uid, exit=FORGED)

    # --- what must be true -----------------------------------------------------------------

    def faults(self) -> list[str]:
        """What is wrong, now that all has come to its end; nothing is known of commands that a backup did not have."""
        ran: Counter[bytes] = Counter()
        for node in self.nodes:
            ran.update(node.ran)
        found = [f"ran {count} times" for count in ran.values() if count > 1]
        found += [f"sent after {what}" for what in self.wrongly_sent]
        for item in self.store.tables.items.values():
            course = item.course
            if not course.ended:
                found.append(f"is {course.state} for ever")
            if course.exit == FORGED:
                found.append("answered by another node")
            if course.state in {DONE, FAILED} and not ran[item.uid]:
                found.append(f"{course.state}, and never ran")
            if item.uid in self.untrue:
                found.append(f"was told to have expired, and ran; now {course.state} ({course.reason})")
            if course.state == LOST and not course.said and not self.was_restored and ran[item.uid]:
                found.append(f"lost, and the node said how it ended ({course.reason})")
        return found
