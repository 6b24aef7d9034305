"""The boundary of a zone in its broker: what goes on as it is, changed, or not at all."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tabard.brokers.delivery.ports import NodeKey
from tabard.brokers.forwarder import Forwarder
from tabard.brokers.policy.attesting import Attester
from tabard.brokers.policy.boundary import KEYLESS, NOT_NAMED, Boundary
from tabard.brokers.policy.document import Policy
from tabard.brokers.policy.keeper import Keeper, is_local
from tabard.brokers.policy.laws import FOREIGN, NO_ROSTER, UNREADABLE, Laws, laws_of
from tabard.brokers.rising import is_trouble
from tabard.brokers.trust.authority import Authority, Wanted
from tabard.brokers.trust.certificates import BROKER, RECORDER
from tabard.brokers.trust.directory import Directory
from tabard.brokers.trust.files import found
from tabard.brokers.trust.rosters import Roster, sign
from tabard.brokers.wire import topics
from tabard.brokers.wire.attested import check_attested, is_attested
from tabard.brokers.wire.batch import DATA, GAP, OPEN, Header, body_digest, encode_header
from tabard.brokers.wire.body import decode_groups
from tabard.brokers.wire.codec import pack
from tabard.brokers.wire.messages import Cursor, Hello, encode_cursor, encode_hello
from tabard.brokers.wire.streams import STREAM_IDS
from tabard.clock import SystemClock
from tabard.home import Home
from tests.trustees import NOON, Trustees
from tests.unit.policy.test_policy_matching import log
from tests.unit.trust.test_rolekeys import Later

HIDE: dict[str, Any] = {"withhold": ((("message", "hide*"),),)}


class Zone:
    """The broker of `hq/dmz`, with its parent's zone above and `hq/dmz/cell` below."""

    def __init__(self, *policies: Policy, keys: bool = True) -> None:
        self.trustees = Trustees()
        self.trustees.zone("hq/dmz/cell")
        self.directory = Directory(self.trustees.root, NOON)
        chain = self.trustees.chains["hq/dmz"]
        self.authority = Authority(
            self.directory.take(chain, NOON), self.trustees.zones["hq/dmz"], self.directory
        )
        self.directory.take_roster(self.authority.roster(NOON, policies=policies), NOON)
        self.attester = self.trustees.broker("b1", "hq/dmz") if keys else None
        self.forwarder = Forwarder("b1", "hq/dmz")
        self.counters: Counter[str] = self.forwarder.counters
        self.forwarder.boundary = Boundary(self.laws(), self.attester, self.is_local, self.counters)

    def laws(self) -> Laws:
        """What the directory says now."""
        return laws_of(self.directory, "hq/dmz", NOON)

    def is_local(self, sink: str) -> bool:
        """As the keeper says."""
        return is_local(self.directory, sink, "hq/dmz", NOON)

    def renew(self, attester: Attester | None = None) -> None:
        """Take up what the directory says."""
        assert self.forwarder.boundary is not None
        self.forwarder.boundary.renew(self.laws(), attester or self.attester, self.is_local)

    def up(self, frames: list[bytes]) -> list[bytes] | None:
        """What the broker makes of a message."""
        return self.forwarder.up(list(frames))


def batch(
    *records: Any,
    zone: str = "hq/dmz",
    sink: str = "main",
    stream: str = "logs",
    kind: int = DATA,
    node: str = "web1",
) -> list[bytes]:
    """A message with a batch; nobody between looks at its signature."""
    body = pack([("s", 1, "o", list(records))])
    header = Header(
        STREAM_IDS[stream], kind, b"e" * 16, b"", 2, max(len(records), 1), body_digest(body), bytes(32)
    )
    return [topics.up_topic(sink, zone, node, stream), b"", encode_header(header), bytes(64), body, b""]


def upward(**said: Any) -> Policy:
    """A policy of the link upwards."""
    return Policy("edge", 1, "hq/dmz", "hq/dmz", **said)


def withheld(frames: list[bytes] | None) -> list[int]:
    """The numbers of the stubs in a message, which a sink in `hq` takes."""
    assert frames is not None
    if not is_attested(frames[4]):
        return []
    found, body = check_attested(frames[2], frames[3], frames[4])
    groups = decode_groups(found.header.stream, body.inner, found.header.count)
    return [
        record[0] for group in groups for record in group[3] if len(record) == 3 and record[1] == "withheld"
    ]


def test_what_no_policy_concerns_goes_on_byte_for_byte() -> None:
    """Other nodes' records, openings, gaps, the control stream and beacons."""
    zone = Zone(upward(up_kinds=("logs",), **HIDE))
    for frames in (
        batch(log("a"), log("b")),
        batch(log("hide"), kind=OPEN),
        batch(log("hide"), kind=GAP),
        batch(log("hide"), stream="control"),
        [topics.up_topic("main", "hq/dmz", "web1", "beacon"), b"", b"hide", b"", b"", b""],
    ):
        assert zone.up(frames) == [*frames[:5], b"b1"]
    assert zone.counters["up attested batches"] == 0


def test_what_is_changed_is_attested() -> None:
    """Head, signature and topic stay; a sink above believes it by certificates and the policy alone."""
    zone = Zone(upward(**HIDE))
    frames = batch(log("a"), log("hide"), log("b"))
    passed = zone.up(frames)
    assert passed is not None
    assert passed[:4] == frames[:4]
    assert withheld(passed) == [3]
    found, body = check_attested(passed[2], passed[3], passed[4])
    said = zone.trustees.recorder(zone="hq").attested(found, body, NodeKey("web1", "hq/dmz"))
    assert [word[:3] for word in said] == [("hq/dmz", "edge@1", "b1")]
    counted = {
        name: zone.counters[name]
        for name in ("up attested batches", "up records withheld", "up records redacted")
    }
    assert list(counted.values()) == [1, 1, 0]


def test_a_policy_changes_while_it_runs() -> None:
    """What was worked out for a topic before does not hold any more."""
    zone = Zone()
    frames = batch(log("hide"))
    assert withheld(zone.up(frames)) == []
    zone.directory.take_roster(zone.authority.roster(NOON + 1, policies=[upward(**HIDE)]), NOON + 1)
    zone.renew()
    assert withheld(zone.up(frames)) == [2]
    zone.directory.take_roster(zone.authority.roster(NOON + 2, policies=[upward(ended=True)]), NOON + 2)
    zone.renew()
    assert withheld(zone.up(frames)) == []


def test_a_sink_of_the_zone_itself_gets_the_whole() -> None:
    """What it is sent does not leave the zone; a sink with a recorder above it does."""
    zone = Zone(upward(**HIDE))

    def certify(sink: str, place: str) -> None:
        key = zone.trustees.key()
        zone.directory.take(zone.trustees.chain(RECORDER, f"r{sink}", place, key, (sink,)), NOON)

    certify("own", "hq/dmz")
    certify("both", "hq/dmz")
    certify("both", "hq")
    certify("top", "hq")
    for sink, hidden in (("own", []), ("both", [2]), ("top", [2]), ("unheard", [2])):
        assert withheld(zone.up(batch(log("hide"), sink=sink))) == hidden


@pytest.mark.threat("sink-with-an-expired-recorder")
def test_a_recorder_above_whose_certificate_ran_out_keeps_its_sink_above() -> None:
    """It may be renewed at any time; one that was revoked or taken out is gone."""
    for gone in ("", "revoked", "taken out"):
        zone = Zone(upward(**HIDE))
        key = zone.trustees.key()
        inside = zone.trustees.chain(RECORDER, "r", "hq/dmz", zone.trustees.key(), ("both",))
        zone.directory.take(inside, NOON)
        above = zone.trustees.chain(RECORDER, "r", "hq", key, ("both",), until=-1)
        zone.directory.take(above, NOON - 2)
        chief = Authority(zone.directory.root, zone.trustees.zones["hq"], zone.directory)
        if gone == "revoked":
            zone.directory.take_roster(chief.roster(NOON, revoke=[(key.public.key_id, "lost")]), NOON)
        elif gone:
            zone.directory.take_roster(chief.roster(NOON, remove=[(RECORDER, "r", "")]), NOON)
        assert withheld(zone.up(batch(log("hide"), sink="both"))) == ([] if gone else [2])


def test_a_policy_that_sets_a_rate_alone_holds(tmp_path: Path) -> None:
    """It changes no record, so the boundary looks at none for it."""
    clock = SystemClock()
    trust = found(Home(tmp_path / "home"), "hq", [], clock)
    policies = [Policy("slow", 1, "hq", "hq/dmz", rate=500), Policy("was", 1, "hq", "hq", rate=9, ended=True)]
    trust.store_roster(trust.authority("hq").roster(clock.wall(), policies=policies))
    trust.reload()
    keeper = Keeper(trust, "b1", "hq", clock, Counter())
    assert keeper.rates() == {"hq/dmz": 500}
    assert keeper.boundary.laws.concerned("hq/dmz", local=False) == []
    assert keeper.status()["in_force"] == [{"name": "slow@1", "below": "hq/dmz"}]


def test_a_broker_says_when_its_own_key_ends(tmp_path: Path) -> None:
    """From thirty days before on that is a fault, as it is of an agent and a recorder; and so is a key that was revoked."""
    clock = SystemClock()
    trust = found(Home(tmp_path / "home"), "hq", [Wanted(BROKER, "b1", "hq")], clock)
    keeper = Keeper(trust, "b1", "hq", clock, Counter())
    told = keeper.key_status()
    assert told is not None and told["fault"] is None and len(told["key"]) == 32
    later = Later()
    later.ahead = told["until"] - clock.wall() - 29 * 86_400 * 10**9
    said = Keeper(trust, "b1", "hq", later, Counter()).key_status()
    assert said is not None and "the certificate of broker b1 of hq ends on" in said["fault"]
    assert Keeper(trust, "other", "hq", clock, Counter()).key_status() is None
    revoked = [(bytes.fromhex(told["key"]), "lost")]
    trust.store_roster(trust.authority("hq").roster(clock.wall(), revoke=revoked))
    trust.reload()
    said = keeper.key_status()
    assert said is not None and "was revoked" in said["fault"]


def test_a_policy_of_the_link_to_a_zone_below() -> None:
    """It concerns what comes up from there and nothing else, also for a sink of this zone."""
    zone = Zone(Policy("in", 1, "hq/dmz", "hq/dmz/cell", **HIDE))
    assert withheld(zone.up(batch(log("hide"), zone="hq/dmz/cell"))) == [2]
    assert withheld(zone.up(batch(log("hide"), zone="hq/dmz/cell/deep"))) == [2]
    assert withheld(zone.up(batch(log("hide")))) == []


def test_two_policies_of_one_link() -> None:
    """Each has its say, and its own word."""
    zone = Zone(upward(**HIDE), upward(up_level=9)._replace(id="levels"))
    passed = zone.up(batch(log("hide"), log("a", severity=5), log("b")))
    assert withheld(passed) == [2, 3]
    assert passed is not None
    _found, body = check_attested(passed[2], passed[3], passed[4])
    assert len(body.proofs) == 2


def test_a_boundary_above_a_boundary() -> None:
    """The next zone's broker goes on from what came."""
    zone = Zone(upward(**HIDE))
    once = zone.up(batch(log("hide"), log("low", severity=5), log("a")))
    assert once is not None
    above = zone.trustees.directory()
    chief = Authority(above.root, zone.trustees.zones["hq"], above)
    above.take_roster(chief.roster(NOON, policies=[Policy("in", 1, "hq", "hq/dmz", up_level=9)]), NOON)
    top = Forwarder("b0", "hq")
    top.boundary = Boundary(
        laws_of(above, "hq", NOON), zone.trustees.broker("b0"), lambda _sink: True, top.counters
    )
    twice = top.up(list(once))
    assert withheld(twice) == [2, 3]
    assert twice is not None
    found, body = check_attested(twice[2], twice[3], twice[4])
    said = zone.trustees.recorder(zone="hq").attested(found, body, NodeKey("web1", "hq/dmz"))
    assert [word[:3] for word in said] == [("hq/dmz", "edge@1", "b1"), ("hq", "in@1", "b0")]
    # a batch of which the second changes nothing goes on with the first one's word
    plain = zone.up(batch(log("hide"), log("a")))
    assert plain is not None
    assert top.up(list(plain)) == [*plain[:5], b"b1/b0"]


@pytest.mark.threat("unknown-policy")
def test_policies_that_cannot_be_told() -> None:
    """No record leaves the zone or comes up into it; what stays in it, and all that is no record, goes on."""
    trustees = Zone().trustees
    key = trustees.zones["hq/dmz"]
    strange = pack((pack((2, "new")), bytes(64)))
    foreign = trustees.policy(zone="hq")
    for policies, reason in (((strange,), UNREADABLE), ((foreign,), FOREIGN), (None, NO_ROSTER)):
        zone = Zone(upward(**HIDE))
        zone.directory = Directory(zone.trustees.root, NOON)
        zone.directory.take(zone.trustees.chains["hq/dmz"], NOON)
        if policies is not None:
            roster = Roster("hq/dmz", 5, key.public.key_id, NOON, policies=policies)
            zone.directory.take_roster(sign(roster, key), NOON)
        recorder = zone.trustees.chain(RECORDER, "r", "hq/dmz", zone.trustees.key(), ("own",))
        zone.directory.take(recorder, NOON)
        zone.renew()
        for frames in (batch(log("a")), batch(log("a"), zone="hq/dmz/cell", sink="own")):
            assert zone.up(frames) is None
        assert zone.counters[f"up dropped: {reason}"] == 2
        for frames in (batch(log("a"), sink="own"), batch(log("a"), stream="control"), batch(kind=OPEN)):
            assert zone.up(frames) is not None


def test_a_root_without_a_roster_lets_its_own_records_pass() -> None:
    """It has no link upwards: a machine alone with a clock that is not set goes on."""
    laws = laws_of(Trustees().directory(), "hq", NOON)
    assert laws.blind == NO_ROSTER
    assert not laws.stops("hq", local=False)
    assert laws.stops("hq/dmz", local=False)


@pytest.mark.threat("unattested-change")
def test_without_a_key_nothing_changed_passes() -> None:
    """And what no policy changes does."""
    zone = Zone(upward(**HIDE), keys=False)
    assert zone.up(batch(log("a"))) is not None
    assert zone.up(batch(log("hide"))) is None
    assert zone.counters[f"up dropped: {KEYLESS}"] == 1


@pytest.mark.threat("altered-before-the-boundary")
def test_a_body_that_was_altered_before_the_boundary() -> None:
    """Nothing is attested of it, and nothing of it passes."""
    zone = Zone(upward(**HIDE))
    frames = batch(log("hide"))
    frames[4] = pack([("s", 1, "o", [log("a")])])
    assert zone.up(frames) is None
    frames[4] = b"\x93\x01"
    assert zone.up(frames) is None
    assert zone.counters[f"up dropped: {NOT_NAMED}"] == 1
    assert sum(count for name, count in zone.counters.items() if name.startswith("up dropped")) == 2


@pytest.mark.parametrize("head", [b"", b"\xc1", pack([1])])
def test_a_header_that_is_none(head: bytes) -> None:
    """Where a policy has a say nobody knows what it is, so it does not pass."""
    zone = Zone(upward(**HIDE))
    frames = batch(log("hide"))
    frames[2] = head
    assert zone.up(frames) is None


@pytest.mark.threat("misdirected-batch")
def test_a_batch_under_another_streams_topic() -> None:
    """The topic says what a policy holds back, so the header has to say the same."""
    zone = Zone(upward(up_kinds=("samples",)))
    logs, samples, control = (batch(log("a"), stream=stream) for stream in ("logs", "samples", "control"))
    for topic, content in ((samples, logs), (control, logs), (logs, samples), (logs, control)):
        assert zone.up([topic[0], *content[1:]]) is None
    assert zone.up(control) == [*control[:5], b"b1"]


def cursor(node: str = "web1", zone: str = "hq/dmz", sink: str = "main") -> list[bytes]:
    """What a sink says to a node, out of the zone above."""
    head = encode_cursor(Cursor(sink, b"s" * 8, 1, b"n" * 8, node, 1.0, ()))
    return [topics.down_topic(zone, node), b"", head, bytes(64), b"", b"hq"]


def hello(sink: str = "main") -> list[bytes]:
    """What a sink says to all."""
    return [f"a/{sink}/".encode(), b"", encode_hello(Hello(sink, b"s" * 8)), bytes(64), b"", b"hq"]


def command(node: str = "web1", zone: str = "hq/dmz") -> list[bytes]:
    """What is to a node and no cursor, of whatever edition."""
    return [topics.down_topic(zone, node), b"", pack((1, 99, "do it")), bytes(64), b"", b"hq"]


def descends(zone: Zone, frames: list[bytes]) -> bool:
    """Whether the broker of `hq/dmz` hands it down."""
    return zone.forwarder.down(list(frames)) is not None


def test_without_a_word_of_the_way_down_everything_descends() -> None:
    """A policy of the way up opens nothing of it."""
    zone = Zone(upward(up_kinds=("logs",), **HIDE))
    assert all(descends(zone, frames) for frames in (cursor(), hello(), command()))


@pytest.mark.threat("down-past-a-policy")
def test_what_may_descend_is_told_by_kind_and_node() -> None:
    """Cursors only, to some nodes only; each that is held back is counted, and is no fault."""
    zone = Zone(upward(down_kinds=("cursors",)))
    assert descends(zone, cursor()) and descends(zone, hello())
    assert not descends(zone, command()) and not descends(zone, command(zone="hq/dmz/cell"))
    assert zone.counters["down held back by policy: commands"] == 2
    assert not is_trouble("down held back by policy: commands")
    zone = Zone(upward(down_nodes=("web*",)))
    assert descends(zone, cursor()) and descends(zone, command()) and descends(zone, hello())
    assert not descends(zone, cursor("db1")) and not descends(zone, command("db1"))
    zone = Zone(upward(down_kinds=()))
    assert not any(descends(zone, frames) for frames in (cursor(), hello(), command()))


def test_the_zones_own_sink_speaks_to_its_nodes_whatever_may_come_from_above() -> None:
    """What does not come over the link is none of its business."""
    zone = Zone(upward(down_kinds=(), down_nodes=("none",)))
    inside = zone.trustees.chain(RECORDER, "r", "hq/dmz", zone.trustees.key(), ("own",))
    zone.directory.take(inside, NOON)
    zone.renew()
    assert descends(zone, cursor(sink="own")) and descends(zone, hello("own"))
    assert not descends(zone, cursor()) and not descends(zone, hello())


def test_what_goes_down_to_a_zone_below_is_said_by_that_link_alone() -> None:
    """Also for a sink of this zone; a hello goes to all below at once."""
    zone = Zone(Policy("in", 1, "hq/dmz", "hq/dmz/cell", down_kinds=("commands",), down_nodes=("plc*",)))
    assert descends(zone, cursor()) and descends(zone, command()) and descends(zone, hello())
    assert not descends(zone, cursor("plc1", "hq/dmz/cell"))
    assert descends(zone, command("plc1", "hq/dmz/cell"))
    assert not descends(zone, command("web1", "hq/dmz/cell/deep"))


@pytest.mark.threat("unknown-policy")
def test_where_policies_cannot_be_told_no_command_descends() -> None:
    """Cursors do, since the control stream rests on them."""
    zone = Zone()
    assert zone.forwarder.boundary is not None
    zone.forwarder.boundary.renew(Laws("hq/dmz", "hq", blind=UNREADABLE), zone.attester, zone.is_local)
    assert descends(zone, cursor()) and descends(zone, hello())
    assert not descends(zone, command())
