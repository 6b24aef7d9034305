"""Rosters from neighbour to neighbour: in virtual time, over links that lose, with members that lie."""

from __future__ import annotations

from collections import Counter

import pytest

from tabard.brokers.news.answering import BURST, RATE, Answering
from tabard.brokers.news.asking import MOST_ZONES, SHUNNED, TRIES, Asking
from tabard.brokers.news.ports import OLDER, REFUSED, TAKEN, Peer, Taken
from tabard.brokers.news.shelf import mark_of
from tabard.brokers.trust.authority import certify_root
from tabard.brokers.trust.directory import Directory
from tabard.brokers.trust.rosters import AHEAD, Revocation, Roster, sign
from tabard.brokers.wire.rosters import (
    MOST_BYTES,
    MOST_PARTS,
    MOST_VERSIONS,
    PART,
    Ask,
    Part,
    Speaker,
    Version,
    encode_notice,
    encode_part,
)
from tests.unit.news.rig import DOWN, UP, ByteShelf, Side, World
from tests.unit.trust.places import NOW, Tree, key

SECOND = NOW // 1_000_000_000


class Chain:
    """The brokers of hq, hq/dmz and hq/office, two agents and a recorder; all begin with what the authorities first said."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.tree = tree = Tree()
        self.certificate, _ = tree.node("web1", 9)
        first = [tree.hq.roster(NOW, [tree.dmz_chain[0], tree.office_chain[0]])]
        tree.directory.take_roster(first[0], NOW)
        first += [tree.dmz.roster(NOW), tree.office.roster(NOW)]
        for each in first[1:]:
            tree.directory.take_roster(each, NOW)
        self.first = first
        self.hq = world.add("broker", "hq", "hq", self.directory())
        self.dmz = world.add("broker", "hq/dmz", "dmz", self.directory(), self.hq)
        self.office = world.add("broker", "hq/office", "office", self.directory(), self.hq)
        self.agents = [
            world.add("node", "hq/dmz", name, self.directory(), self.dmz) for name in ("web1", "web2")
        ]
        self.recorder = world.add("recorder", "hq", "store1", self.directory())
        # A recorder is above its broker: it hears what goes up, and speaks downwards.
        self.recorder.below.append(self.hq)
        self.hq.above.append(self.recorder)

    def directory(self) -> Directory:
        """What a home knows at first."""
        directory = self.tree.fresh()
        for each in self.first:
            directory.take_roster(each, NOW)
        return directory

    def revoked(self, reason: str = "lost") -> bytes:
        """The next roster of the root, which takes a key of hq/dmz back."""
        roster = self.tree.hq.roster(self.world.wall(), revoke=[(self.certificate.key_id, reason)])
        self.tree.directory.take_roster(roster, self.world.wall())
        return roster

    def put(self, side: Side, roster: bytes) -> None:
        """As a command in its home does."""
        assert side.trust.directory.take_roster(roster, self.world.wall())

    @property
    def sides(self) -> list[Side]:
        """All of them."""
        return [self.hq, self.dmz, self.office, *self.agents, self.recorder]

    def all_have(self, zone: str, sides: list[Side] | None = None) -> bool:
        """Whether they have what the authority of a zone said last."""
        newest = self.tree.directory.version(zone)
        return all(side.versions()[zone] == newest for side in sides or self.sides)


@pytest.mark.threat("stale-roster")
@pytest.mark.parametrize("where", ["hq", "recorder", "web1", "office"])
def test_whoever_has_it_first_everybody_has_it_soon(where: str) -> None:
    """A revocation by the root spreads from any home, up and down, to brokers, agents and recorders."""
    world = World()
    chain = Chain(world)
    first = {"hq": chain.hq, "recorder": chain.recorder, "web1": chain.agents[0], "office": chain.office}[
        where
    ]
    chain.put(first, chain.revoked())
    assert world.run_until(lambda: chain.all_have("hq")) < 8
    assert all(side.trust.directory.revoked(chain.certificate.key_id) for side in chain.sides)
    assert all(side.trust.disk["hq"] for side in chain.sides if side is not first)
    sent = {side.me.name: side.sent for side in chain.sides}
    world.run(30)
    assert {side.me.name: side.sent for side in chain.sides} == sent, "all have it, so nothing more is sent"
    assert not any(side.exchange.status(world.now, world.wall())["behind"] for side in chain.sides)


@pytest.mark.threat("stale-roster")
@pytest.mark.parametrize("seed", range(6))
def test_parts_that_are_lost_doubled_and_late(seed: int) -> None:
    """A roster of many parts comes whole over links that lose a third, double, and change the order."""
    world = World(seed, lose=0.3, double=0.2, late=0.4)
    chain = Chain(world)
    gone = [("node", f"gone{number:05d}{'x' * 50}", "") for number in range(9_000)]
    roster = chain.tree.hq.roster(world.wall(), remove=gone)
    assert len(roster) > 2 * PART
    chain.tree.directory.take_roster(roster, world.wall())
    chain.put(chain.hq, roster)
    took = world.run_until(lambda: chain.all_have("hq"), 600)
    print(f"{len(roster)} bytes, {took:.0f} s of virtual time")
    assert not [name for side in chain.sides for name in side.counters if "refused" in name]


@pytest.mark.threat("stale-roster")
def test_a_zone_that_was_cut_hears_of_it_when_it_is_back() -> None:
    """Meanwhile it goes by what it has, and its neighbour knows that it is behind, and since when."""
    world = World()
    chain = Chain(world)
    world.run(3)
    world.cut.add(frozenset({"hq", "dmz"}))
    world.run(10)
    chain.put(chain.hq, chain.revoked())
    world.run_until(lambda: chain.all_have("hq", [chain.hq, chain.office, chain.recorder]))
    world.run(60)
    assert not chain.all_have("hq", [chain.dmz])
    world.cut.clear()
    assert world.run_until(lambda: chain.all_have("hq")) < 8


def test_the_roster_of_a_zone_below_waits_for_who_signs_it() -> None:
    """A new zone: the roster that certifies its authority comes first, then its own."""
    world = World()
    chain = Chain(world)
    bare, authority = chain.tree.child("plant", 4)
    hq = chain.tree.hq.roster(world.wall(), [*bare])
    chain.tree.directory.take_roster(hq, world.wall())
    plant = authority.roster(world.wall())
    chain.tree.directory.take_roster(plant, world.wall())
    chain.put(chain.hq, hq)
    chain.put(chain.hq, plant)
    late = world.add("broker", "hq/plant", "plant", chain.directory(), chain.hq)
    world.run_until(lambda: late.versions().get("hq/plant", 0) == chain.tree.directory.version("hq/plant"))
    assert "hq/plant" not in chain.dmz.versions(), "what lies beside is nobody's business"


@pytest.mark.threat("forged-roster")
def test_a_roster_of_a_stranger_is_never_stored() -> None:
    """By another root, by the zone beside, altered, or bytes: refused and counted, whoever hands it on."""
    world = World()
    chain = Chain(world)
    other = Directory(certify_root("hq", key(40), NOW), NOW)
    number = SECOND + 1_000
    forged = {
        "another root": sign(Roster("hq", number, key(40).public.key_id, NOW), key(40)),
        "the zone beside": sign(Roster("hq", number, key(3).public.key_id, NOW), key(3)),
        "in the root's name": sign(Roster("hq", number, key(1).public.key_id, NOW), key(3)),
        "altered": chain.revoked()[:-70] + bytes(70),
        "bytes": b"\x92" + bytes(1000),
    }
    assert other.root
    for name, roster in forged.items():
        liar = world.add("broker", "hq/dmz/x", f"liar-{len(name)}", chain.directory(), chain.hq)
        liar.shelf = liar.exchange.asking._shelf = Believing(hq=(number, roster))  # type: ignore[assignment]
        liar.exchange._shelf = liar.exchange._answering._shelf = liar.shelf
    before = {side.me.name: dict(side.trust.directory.rosters()) for side in chain.sides}
    world.run_until(
        lambda: (
            sum(
                chain.hq.counters[name]
                for name in (
                    "rosters refused: foreign",
                    "rosters refused: malformed",
                    "rosters refused: forged",
                )
            )
            >= 5
        )
    )
    assert {side.me.name: dict(side.trust.directory.rosters()) for side in chain.sides} == before
    assert not chain.hq.trust.disk
    assert chain.hq.counters["rosters taken in"] == 0


@pytest.mark.threat("roster-claims")
def test_who_claims_a_number_that_there_is_none_of_keeps_nobody_from_news() -> None:
    """Nothing comes of it, so it is asked ever more seldom, and the others are asked meanwhile."""
    world = World()
    chain = Chain(world)
    liar = world.add("node", "hq/dmz", "liar", chain.directory(), chain.dmz)
    claims = [Version("hq", SECOND + 5_000, bytes(16)), Version("hq/dmz", SECOND + 5_000, bytes(16))]

    def lie() -> None:
        world.send(liar, UP, encode_notice(liar.me, claims))

    for _ in range(3):
        lie()
        world.run(1)
    chain.put(chain.hq, chain.revoked())
    began = world.now
    while not chain.all_have("hq", [chain.dmz]):
        lie()
        world.run(0.5)
        assert world.now - began < 30
    asked = chain.dmz.counters["rosters not had: nothing came"]
    for _ in range(120):
        lie()
        world.run(1)
    assert chain.dmz.counters["rosters not had: nothing came"] - asked <= 12, (
        "a claim that leads nowhere costs little"
    )


@pytest.mark.threat("roster-claims")
@pytest.mark.parametrize("real", [0, 40])
def test_who_claims_many_zones_and_answers_nothing_holds_no_revocation_back(real: int) -> None:
    """Zones that nobody knows the authority of are not asked for; of those there are, somebody who disappointed less is asked first."""
    world = World()
    chain = Chain(world)
    liar = world.add("broker", "hq/dmz", "liar", chain.directory(), chain.hq)
    below = [chain.tree.child(f"a{number:03d}", 50 + number)[0][0] for number in range(real)]
    if real:
        chain.put(chain.hq, chain.tree.hq.roster(world.wall(), below))
    zones = [f"hq/a{number:03d}" for number in range(real or 999)]
    claims = [Version(zone, SECOND + 100, bytes(16)) for zone in zones]

    def lie() -> None:
        for first in range(0, len(claims), MOST_VERSIONS):
            world.send(liar, UP, encode_notice(liar.me, claims[first : first + MOST_VERSIONS]))

    for _ in range(3):
        lie()
        world.run(1)
    roster = chain.tree.dmz.roster(world.wall(), revoke=[(chain.certificate.key_id, "lost")])
    chain.tree.directory.take_roster(roster, world.wall())
    chain.put(chain.dmz, roster)
    began = world.now
    while not chain.all_have("hq/dmz", [chain.hq]):
        lie()
        world.run(0.5)
        assert world.now - began < 60
    assert chain.hq.trust.directory.rosters()["hq/dmz"] == roster


@pytest.mark.threat("two-rosters")
def test_two_rosters_of_one_number_are_told() -> None:
    """Each home keeps its own, both say so, and the next number ends it."""
    world = World()
    chain = Chain(world)
    number = chain.tree.directory.version("hq") + 1
    members = tuple(chain.tree.directory.roster("hq").members)  # type: ignore[union-attr]
    one, two = (
        sign(
            Roster(
                "hq", number, key(1).public.key_id, NOW, members, (Revocation(bytes([each]) * 16, NOW, "x"),)
            ),
            key(1),
        )
        for each in (1, 2)
    )
    chain.put(chain.hq, one)
    chain.put(chain.dmz, two)
    world.run_until(lambda: all(side.exchange.asking.contradicting() for side in (chain.hq, chain.dmz)))
    assert chain.hq.trust.directory.rosters()["hq"] == one
    assert chain.dmz.trust.directory.rosters()["hq"] == two
    assert chain.dmz.counters["rosters refused: contradicts"] == 1
    chain.tree.directory.take_roster(one, NOW)
    chain.put(chain.hq, chain.revoked())
    world.run_until(lambda: chain.all_have("hq"))
    assert not chain.hq.exchange.asking.contradicting()
    assert not chain.dmz.exchange.asking.contradicting()


@pytest.mark.threat("stale-roster")
def test_a_disk_that_refuses_it_does_not_keep_it_from_counting() -> None:
    """A home that cannot write goes by it in memory, hands it on, says so, and writes it when it can."""
    world = World()
    chain = Chain(world)
    chain.dmz.trust.broken = OSError(28, "No space left on device")
    chain.put(chain.hq, chain.revoked())
    world.run_until(lambda: chain.all_have("hq"))
    assert chain.dmz.trust.directory.revoked(chain.certificate.key_id)
    assert chain.dmz.trust.disk == {}
    assert "No space left" in (chain.dmz.shelf.fault or "")
    assert [row["written"] for row in chain.dmz.shelf.status() if row["zone"] == "hq"] == [False]
    chain.dmz.trust.broken = None
    chain.dmz.shelf.look()
    assert chain.dmz.trust.disk["hq"] == chain.tree.directory.rosters()["hq"]
    assert chain.dmz.shelf.fault is None


@pytest.mark.threat("roster-claims")
def test_a_number_of_the_future_is_not_even_asked_for() -> None:
    """It would be refused for its number, so its transfer is spared; one of a week ahead may be a clock that is wrong."""
    asking = Asking(Speaker("broker", "hq/dmz", "dmz"), Believing(hq=(SECOND, b"x")), Counter())
    peer = Peer("up", Speaker("broker", "hq", "hq"))
    row = Version("hq", NOW // 10**9 + AHEAD + 1, bytes(16))
    asking.hear(0.0, peer, [row])
    assert asking.ask(0.0, NOW) is None
    asking.hear(0.0, peer, [row._replace(number=row.number - 1)])
    assert asking.ask(0.0, NOW) is not None


@pytest.mark.threat("roster-flood")
def test_the_word_of_one_neighbour_is_kept_of_so_many_zones() -> None:
    """Names of zones that there are not fill no memory, and are not asked for."""
    asking = Asking(Speaker("broker", "hq", "hq"), Believing(hq=(SECOND, b"x")), Counter())
    peer = Peer("down", Speaker("broker", "hq/dmz", "dmz"))
    for number in range(2 * MOST_ZONES):
        asking.hear(0.0, peer, [Version(f"hq/z{number}", SECOND, bytes(16))])
    assert len(asking.ahead(0.0)) == MOST_ZONES


@pytest.mark.threat("roster-claims")
def test_in_the_name_of_another_nothing_is_heard() -> None:
    """Who says it is known by its key; the versions of somebody else are refused and counted."""
    world = World()
    chain = Chain(world)
    claims = [Version("hq", SECOND + 9, bytes(16))]
    notice = encode_notice(Speaker("node", "hq/dmz", "web2"), claims)
    chain.dmz.exchange.hear(world.now, DOWN, notice, chain.agents[0].me)
    beat = chain.hq.beat()
    chain.dmz.exchange.hear(world.now, DOWN, beat, chain.agents[0].me)
    assert chain.dmz.counters["rosters refused: versions of another"] == 2
    assert not chain.dmz.exchange.asking.ahead(world.now)


# --- sizes and floods ----------------------------------------------------------------------------


class Believing(ByteShelf):
    """Takes all that is whole."""

    def take(self, zone: str, mark: bytes, roster: bytes) -> Taken:
        """As a `Shelf` does."""
        if mark_of(roster) != mark:
            return Taken(REFUSED, "another one than was said", damaged=True)
        if zone in self.held and self.held[zone][1] == roster:
            return Taken(OLDER)
        self.held[zone] = (SECOND, roster)
        return Taken(TAKEN)


@pytest.mark.threat("roster-flood")
def test_the_largest_roster_there_may_be() -> None:
    """8 MB in parts of 256 kB, in as many questions, within what a link may have at once."""
    data = bytes(range(256)) * (MOST_BYTES // 256)
    shelf, mine = Believing(hq=(SECOND, data)), Believing()
    answering, counters = Answering(shelf, Counter(), 0.0), Counter[str]()
    asking = Asking(Speaker("broker", "hq/dmz", "dmz"), mine, counters)
    peer = Peer("up", Speaker("broker", "hq", "hq"))
    now, sent = 0.0, 0
    while "hq" not in mine.held:
        asking.hear(now, peer, shelf.versions())
        asked = asking.ask(now, NOW)
        if asked is not None:
            answering.hear(now, "below", asked[1])
        now += 0.06
        for _link, part in answering.due(now):
            sent += len(part.data)
            asking.take(now, "up", "hq", part)
    assert mine.held["hq"][1] == data
    assert sent == MOST_BYTES
    assert now < MOST_PARTS
    assert not counters["rosters not had: nothing came"]


@pytest.mark.threat("roster-flood")
def test_what_was_not_asked_for_is_not_kept() -> None:
    """Parts of anything else, of anybody else, and of nothing fill no memory."""
    counters = Counter[str]()
    asking = Asking(Speaker("broker", "hq/dmz", "dmz"), Believing(), counters)
    peer = Peer("up", Speaker("broker", "hq", "hq"))
    row = Version("hq", SECOND, bytes(16))
    for part in range(MOST_PARTS):
        asking.take(0.0, "up", "hq", Part(row, MOST_BYTES, part, bytes(PART)))
    asking.hear(0.0, peer, [row])
    assert asking.ask(0.0, NOW) == ("up", Ask(peer.who, row, 0))
    for other in (row._replace(number=SECOND + 1), row._replace(zone="hq/dmz"), row._replace(mark=b"x" * 16)):
        asking.take(0.0, "up", "hq", Part(other, PART, 0, bytes(PART)))
    asking.take(0.0, "up", "dmz2", Part(row, PART, 0, bytes(PART)))
    asking.take(0.0, "down", "hq", Part(row, PART, 0, bytes(PART)))
    assert asking._collected is not None
    assert asking._collected.parts == {}
    assert asking._left is None


@pytest.mark.threat("forged-roster")
def test_made_up_parts_cost_their_sender_its_turn() -> None:
    """What came whole and is not what was said is refused, and its sender is not asked for a time that doubles."""
    counters = Counter[str]()
    asking = Asking(Speaker("broker", "hq/dmz", "dmz"), Believing(), counters)
    liar, honest = (Peer("up", Speaker("broker", "hq", name)) for name in ("hq", "hq2"))
    now = 0.0
    for turn in range(3):
        row = Version("hq", SECOND + 10 + turn, bytes([turn]) * 16)
        asking.hear(now, liar, [row])
        assert asking.ask(now, NOW) is not None
        asking.take(now, "up", "hq", Part(row, 10, 0, b"0123456789"))
        asking.hear(now, liar, [row._replace(mark=b"y" * 16)])
        assert asking.ask(now, NOW) is None, "it is not asked again at once"
        good = b"good%d" % turn
        asking.hear(now, honest, [Version("hq", SECOND + 1, mark_of(good))])
        assert asking.ask(now, NOW) is not None, "another one is"
        asking.take(now, "up", "hq2", Part(Version("hq", SECOND + 1, mark_of(good)), len(good), 0, good))
        now += SHUNNED * 2**turn + 0.1
    assert counters["rosters refused: another one than was said"] >= 2
    assert counters["rosters taken in"] == 3


@pytest.mark.threat("roster-flood")
def test_who_asks_for_everything_keeps_no_news_from_others() -> None:
    """A link has a roster of the largest size at once and a part a second, and what is new goes first."""
    old = {f"z{number}": (SECOND, bytes([number]) * MOST_BYTES) for number in range(4)}
    shelf = Believing(news=(SECOND, b"revoked"), **old)
    counters = Counter[str]()
    answering = Answering(shelf, counters, 0.0)
    rows = {row.zone: row for row in shelf.versions()}
    me = Speaker("broker", "hq", "hq")
    sent: Counter[str] = Counter()
    now = asked = 0.0
    for turn in range(300):
        for zone in old:
            for part in range(MOST_PARTS):
                answering.hear(now, "below", Ask(me, rows[zone], part))
        if turn == 150:
            answering.hear(now, "below", Ask(me, rows["news"], 0))
            asked = now
        now += 0.1
        for _link, said in answering.due(now):
            sent[said.of.zone] += len(said.data)
            if said.of.zone == "news":
                assert now - asked < 1.2
    assert sent["news"] == len(b"revoked")
    assert sum(sent.values()) <= BURST + RATE * (now + 1)


@pytest.mark.threat("roster-flood")
def test_different_asks_are_bounded() -> None:
    """Those beyond are counted, and what is not here is not even noted."""
    shelf = Believing(**{f"z{number}": (SECOND, b"x" * (2 * PART)) for number in range(600)})
    counters = Counter[str]()
    answering = Answering(shelf, counters, 0.0)
    me = Speaker("broker", "hq", "hq")
    for row in shelf.versions():
        for part in range(MOST_PARTS):
            answering.hear(0.0, "below", Ask(me, row, part))
        answering.hear(0.0, "below", Ask(me, row._replace(mark=bytes(16)), 0))
    assert counters["rosters asked for, too many"] == 1_200 - 1_024


@pytest.mark.threat("stale-roster")
def test_a_neighbour_that_goes_amid_a_roster_is_asked_where_it_was_left() -> None:
    """What came is kept, and only the rest is asked for when it is back."""
    data = b"".join(bytes([number]) * PART for number in range(3))
    asking = Asking(Speaker("broker", "hq/dmz", "dmz"), mine := Believing(), Counter())
    peer = Peer("up", Speaker("broker", "hq", "hq"))
    row = Version("hq", SECOND, mark_of(data))
    asking.hear(0.0, peer, [row])
    asking.ask(0.0, NOW)
    asking.take(0.1, "up", "hq", Part(row, len(data), 0, data[:PART]))
    now = 0.1
    for _ in range(TRIES + 1):
        asking.ask(now, NOW)
        now += 2.1
    now += 100
    assert asking.ask(now, NOW) is None
    asking.hear(now, peer, [row])
    assert asking.ask(now, NOW) == ("up", Ask(peer.who, row, 1))
    asking.take(now, "up", "hq", Part(row, len(data), 2, data[2 * PART :]))
    asking.take(now, "up", "hq", Part(row, len(data), 1, data[PART : 2 * PART]))
    assert mine.held["hq"][1] == data


def test_frames_of_a_part_are_what_they_say() -> None:
    """A part whose data is not of the size that its place has is malformed, and counted as such."""
    world = World()
    chain = Chain(world)
    row = Version("hq", SECOND, bytes(16))
    frames = encode_part(chain.hq.me, Part(row, 10, 0, b"123"))
    assert chain.dmz.exchange.hear(world.now, UP, frames, chain.hq.me)
    assert chain.dmz.counters["rosters dropped: malformed"] == 1
