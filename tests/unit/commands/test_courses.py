"""Commands through everything that can happen to a dispatcher, its store, its nodes and what lies between them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tabard.brokers.wire.answers import EXPIRED, TAKEN
from tabard.consumers.commands.course import SECOND, SENT, Course, Heard, Rules
from tabard.consumers.commands.desk import Desk
from tabard.consumers.commands.ports import Answer, Item, Seen
from tests.unit.commands.world import BEACON, World

SEEDS = 60
RESTORED = range(1_000, 1_000 + SEEDS)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_runs_at_most_once_and_what_is_told_is_true(seed: int) -> None:
    """Messages lost, doubled and late, nodes restarted and cut off, a dispatcher killed anywhere, a clock that jumps."""
    world = World(seed, restores=False)
    world.run()
    assert not world.faults(), f"seed {seed}"


@pytest.mark.threat("restored-dispatcher-store")
@pytest.mark.parametrize("seed", RESTORED)
def test_a_store_that_was_put_back_runs_nothing_twice(seed: int) -> None:
    """And says of nothing that ran that it expired."""
    world = World(seed)
    world.run()
    assert not world.faults(), f"seed {seed}"


class SendsFirst(Desk):
    """Forgets that it sent when it is killed then."""

    def _commit(self, items: Any, outputs: Any, marks: Any, now: int) -> None:
        super()._commit([each for each in items if each.course.state != SENT], outputs, marks, now)
        self._open.update((each.uid, each) for each in items if each.course.state == SENT)


class NeverDoubts(Desk):
    """Does not see that the store was put back."""

    def start(self, now: int) -> None:
        """Nothing."""


class BelievesAnybody(Desk):
    """Takes the word of one node for another's."""

    def _take_in(self, turn: Any, now: int) -> bool:
        store: Any = self._store
        asked = store.answers

        def renamed(after: int) -> Any:
            answers = asked(after)
            places = {item.uid.hex(): item.place for item in self._open.values()}
            found = [each._replace(place=places.get(each.data["id"], each.place)) for each in answers.found]
            return answers._replace(found=found)

        store.answers = renamed
        complete = super()._take_in(turn, now)
        store.answers = asked
        return complete


class ConcludesUnread(Desk):
    """Takes an answer that lies unread for none."""

    def _take_in(self, turn: Any, now: int) -> bool:
        super()._take_in(turn, now)
        return True


class ExpiresAtOnce(Rules):
    """Takes no answer yet for no answer."""

    def expire(self, course: Course, heard: Heard | None, now: int) -> Course:
        """Broken."""
        return course._replace(state=EXPIRED, reason="broken")


class CountsOneBeacon(Rules):
    """Concludes while a message may still be believed."""

    def count_beacon(self, course: Course, heard: Heard | None) -> Course:
        """Broken."""
        listened = super().count_beacon(course, heard)
        return listened._replace(later=4) if listened.later else listened


class BelievesHalf(Rules):
    """Does not ask whether the store has everything."""

    def expire(self, course: Course, heard: Heard | None, now: int) -> Course:
        """Broken."""
        return super().expire(course, heard and heard._replace(whole=True), now)


class OverlooksLosses(Rules):
    """Takes a store that lost the answer for a node that gave none."""

    def expire(self, course: Course, heard: Heard | None, now: int) -> Course:
        """Broken."""
        return super().expire(course._replace(doubtful=False), heard and heard._replace(gap=0), now)


class KeepsItsMind(Rules):
    """Hears nothing after its own conclusion."""

    def answered(self, course: Course, kind: str, data: Mapping[str, Any]) -> Course:
        """Broken."""
        return course if course.ended else super().answered(course, kind, data)


class Insists(Rules):
    """Sends what the node has taken."""

    def step(
        self, course: Course, heard: Heard | None, now: int, *, begin: bool = True
    ) -> tuple[Course, bool]:
        """Broken."""
        if course.state in TAKEN and now < course.expires and heard is not None:
            return self.note(course, heard, now), True
        return super().step(course, heard, now, begin=begin)


class SendsLate(Rules):
    """Sends after the expiry."""

    def step(
        self, course: Course, heard: Heard | None, now: int, *, begin: bool = True
    ) -> tuple[Course, bool]:
        """Broken."""
        stepped, send = super().step(course._replace(expires=2**62), heard, now, begin=begin)
        return stepped._replace(expires=course.expires), send


class WaitsForEver(Rules):
    """Never gives up."""

    def expire(self, course: Course, heard: Heard | None, now: int) -> Course:
        """Broken."""
        return super().expire(course._replace(expires=2**62), heard and heard._replace(whole=False), now)


BROKEN_RULES = [
    ExpiresAtOnce,
    CountsOneBeacon,
    BelievesHalf,
    OverlooksLosses,
    KeepsItsMind,
    Insists,
    SendsLate,
    WaitsForEver,
]


@pytest.mark.parametrize("broken", BROKEN_RULES)
def test_a_broken_rule_is_noticed(broken: type[Rules]) -> None:
    """The worlds are bad enough for each rule to be needed."""
    assert _first_fault(rules=broken) is not None


@pytest.mark.parametrize("broken", [SendsFirst, NeverDoubts, BelievesAnybody, ConcludesUnread])
def test_a_broken_desk_is_noticed(broken: type[Desk]) -> None:
    """As above, for the order in which a desk works."""
    assert _first_fault(desk=broken) is not None


def test_a_node_that_forgets_is_noticed() -> None:
    """The checker does see that something ran twice."""
    assert _first_fault(forgets=True) is not None


def _first_fault(**broken: Any) -> str | None:
    for seed in range(1_000, 1_400):
        world = World(seed, **{"restores": bool(seed % 2), **broken})
        world.run()
        found = world.faults()
        if found:
            return found[0]
    return None


def test_what_is_called_back_is_not_sent_any_more() -> None:
    """Its node may not have had it: a copy that came behind the cancellation would be one more thing to refuse."""
    world = World(1, restores=False)
    world.lossy = 0.0
    node = world.nodes[0]
    for number in range(2):
        node.nonces.append(bytes([number]) * 8)
    world.note_beacon(node)
    course = Course(world.now, world.now + 300 * SECOND, SECOND)
    first = Item(0, b"1" * 16, b"1" * 16, *node.place, 0, course)
    world.store.tables.items[first.uid] = first
    desk = Desk(world.store, world.rules, world.file)
    assert [item.uid for item in desk.turn(world.now, 0.0).sends] == [first.uid]
    cancellation = first._replace(number=1, uid=b"2" * 16, group=b"2" * 16, cancels=first.uid)
    desk.add([cancellation])
    node.nonces.append(b"new nonc")
    world.note_beacon(node)
    world.tick += 30
    assert [item.uid for item in desk.turn(world.now, 30.0).sends] == [cancellation.uid]
    world.store.tables.control.append(Answer(1, node.place, "command.refused", {"id": (b"2" * 16).hex()}, 0))
    world.tick += 30
    assert [item.uid for item in desk.turn(world.now, 30.0).sends] == [first.uid]


def test_what_nobody_looked_at_for_long_is_not_fresh() -> None:
    """A node that fell silent while it had no commands is away: its last nonce is new to the desk, and old all the same."""
    world = World(1, restores=False)
    node = world.nodes[0]
    desk = Desk(world.store, world.rules, world.file)

    def given(number: int) -> Item:
        course = Course(world.now, world.now + 3000 * SECOND, SECOND)
        item = Item(number, bytes([number]) * 16, b"g" * 16, *node.place, 0, course)
        world.store.tables.items[item.uid] = item
        desk.add([item])
        return item

    node.nonces.append(b"an early")
    world.note_beacon(node)
    first = given(1)
    assert [item.uid for item in desk.turn(world.now, 0.0).sends] == [first.uid]
    world.store.tables.control.append(Answer(1, node.place, "command.done", {"id": first.uid.hex()}, 0))
    desk.turn(world.now, 0.0)
    assert not desk.open
    node.nonces.append(b"its last")
    world.note_beacon(node)
    world.tick += 1000
    given(2)
    assert not desk.turn(world.now, 1000.0).sends
    # It is heard again, by a recorder whose clock is wrong: what comes while it is looked at is fresh.
    world.store.tables.seen[node.place] = Seen(b"and back", 0, BEACON * SECOND, 0)
    assert len(desk.turn(world.now, 1001.0).sends) == 1
