"""Who may see one zone sees that zone and those below it, and nothing of any other: on every page, in every answer."""

from __future__ import annotations

import inspect
import json

import pytest

from tabard import audit
from tabard.brokers.delivery.leases import RECORDER
from tabard.brokers.delivery.ports import NodeKey
from tabard.brokers.wire.streams import CONTROL, LOGS
from tabard.consumers.store.accounts import ControlQuery
from tabard.consumers.store.arriving import Beside
from tabard.consumers.store.ports import StoreReader
from tabard.consumers.store.read import Reader
from tabard.consumers.store.results import FACET_FIELDS, LogQuery, LogRow, Stored
from tabard.consumers.zones.facts import Facts, Passing
from tabard.errors import StoreError
from tabard.records import LOG_FIELDS
from tabard.web.home import HomeState, Role
from tabard.web.scoped import Scoped
from tests.contract.chain import Chain
from tests.unit.ops_reading.test_versions import start
from tests.unit.web.doors import House, send
from tests.unit.web.html import messages, parse
from tests.unit.web.seed import MINUTE, NOW, SECOND, record
from tests.unit.zones import scene

ZONE = "hq/dmz"
OTHERS = ("hq", "hq/dmz2", "plant", "hq/cloud/dmz")
"""Above it, beside it with a name that begins alike, elsewhere, and with a name that ends alike."""
INSIDE = ("hq/dmz", "hq/dmz/inner")
_TEXTS = [
    name for name in LOG_FIELDS if name not in {"time", "severity", "line", "process", "attributes", "level"}
]


def saying(word: str, number: int) -> tuple[object, ...]:
    """A record with a word in each of its fields."""
    said = {name: f"{word}-{name}" for name in _TEXTS}
    attributes = json.dumps({f"{word}-key": f"{word}-value"})
    return record(**said, level="INFO", attributes=attributes, time=NOW - number * SECOND)


def settle(seeder, zone: str, word: str) -> None:
    """A node of a zone, with something of everything that a store can have of it."""
    name, place = f"{word}-{zone.replace('/', '-')}", {"zone": zone}
    for node in (name, "twin"):
        here = {**place, "node": node}
        seeder.logs([saying(word, number) for number in range(1, 6)], origin=f"{word} origin", **here)
        seeder.gap(3, reason=f"{word} gap", detail=f"{word} detail", **here)
        seeder.poison(2, reason=f"{word} poison", **here)
        seeder.policed([saying(word, 7), saying(word, 6)], ".#", policy=f"{word}@2", **here)
        said = {"uid": "ab", "who": f"{word}-who", "what": {"name": f"{word}-what"}, "outcome": "done"}
        acts = Chain(NodeKey(node, zone), CONTROL).work([(NOW, audit.PREFIX + "keys.revoke", said)])
        seeder.store.commit([acts], NOW)
        facts = {"system": f"{word} system", "version": f"{word}-1", "host": f"{word} host"}
        seeder.beacon(heard=NOW - SECOND, facts=facts, **here)
        host = {"cpu": 3.0, "disks": {f"/{word}": [100, 50]}}
        procs = [[7, NOW - SECOND, 1, f"{word}user", f"{word}proc", f"{word} command", "S", 1.0, 1, 1]]
        table = {"full": True, "scan": 1, "part": 0, "parts": 1, "procs": procs, "gone": []}
        seeder.samples([(NOW - MINUTE, "host", host), (NOW - MINUTE, "processes", table)], **here)
        links = {
            "brokers": [{"name": f"{word}broker", "zone": zone}],
            "tunnels": [{"name": f"{word}tunnel", "state": "refused", "why": f"{word} why"}],
        }
        seeder.samples([(NOW - MINUTE, "links", links)], **here)
        seeder.logs(
            [start(-1, f"{word}stage", f"{word}-1.0", service=f"{word}-shop", a_option=f"{word} option")],
            **here,
        )


def look() -> HomeState:
    """A home with brokers of other zones, and faults."""
    policies = [Passing("plant", "plant", "veiled@1", "veiled policy")]
    return HomeState(
        [Role("recorder", "running", 4711, NOW), Role("veiled-role", "running", 1, NOW)],
        [("veiled-role", "veiled fault")],
        Facts("hq", (scene.hub(scene.hop("veiled-broker", "plant", "below")),), policies=policies),
    )


@pytest.fixture
def house(tmp_path, seeder):
    """Zones that may be seen and zones that may not; what is veiled says so in all of its fields."""
    for zone in INSIDE:
        settle(seeder, zone, "shown")
    for zone in OTHERS:
        settle(seeder, zone, "veiled")
    house = House(tmp_path / "store", look=look)
    house.enrol("all", "admin")
    house.enrol("one", "admin", ZONE)
    house.enrol("veiled-person", "viewer", "plant")
    house.enrol("below", "viewer", "hq/dmz/inner")
    yield house
    house.close()


def addresses(house: House) -> list[str]:
    """Every page and answer that there is, with every parameter that could ask for another zone."""
    searches = ["", "?since=all&n=1000", "?facets=1&since=all", "?q=veiled&since=all", "?w=veiled-message", "?service=veiled-service&facets=1",
                "?node=twin&since=all", *(f"?zone={zone}&since=all&facets=1&n=1000" for zone in (*OTHERS, *INSIDE, "", "//", "hq/dmz0"))]  # fmt: skip
    whole = house.reader
    ids = [row.id for row in whole.logs(LogQuery(limit=1000)).rows if not row.is_gap]
    nodes = sorted({(row.name, row.zone) for row in whole.nodes(NOW)})
    by_rule = {
        "/": searches,
        "/logs": searches,
        "/api/logs": searches,
        "/logs.<form>": [],
        "/logs/tail": [],
        "/logs/<int:row_id>": [],
        "/logs/<int:row_id>/fields": [],
        "/nodes": [""],
        "/nodes/<name>": [],
        "/zones": [""],
        "/versions": [
            "",
            "?service=veiled-shop",
            "?node=twin",
            "?stage=veiledstage",
            "?left=veiledstage&right=shownstage&all=1",
            "?service=shown-shop",
        ],
        "/status": [""],
        "/audit": ["", "?kind=keys", "?node=twin", *(f"?zone={zone}" for zone in (*OTHERS, *INSIDE))],
        "/you": [""],
        "/people": [""],
        "/login": [""],
        "/link/<secret>": [],
        "/static/<path:filename>": [],
    }
    rules = {rule.rule for rule in house.app.url_map.iter_rules() if "GET" in (rule.methods or ())}
    assert rules == set(by_rule), "a page that nobody has thought about here"
    found = [rule + search for rule, listed in by_rule.items() for search in listed]
    found += [f"/logs.{form}{search}" for form in ("csv", "ndjson") for search in searches]
    found += ["/logs/tail" + (search + "&" if search else "?") + "after=0" for search in searches]
    found += ["/logs/tail?after=0&count=1", f"/logs/tail?after={max(ids)}"]
    found += [f"/logs/{number}{part}" for number in ids for part in ("", "/fields")]
    found += [f"/nodes/{name}{search}" for name, zone in nodes for search in ("", f"?zone={zone}")]
    return found


ASKED = ("veiled", "hq/dmz2", "plant", "hq/cloud")
"""What no answer may have in it; what was asked for is sent back, so the address is taken out of it first."""


def told(client, address: str) -> str:
    """What an answer says beyond what was asked in its address: the fields of a form, and links, say that again."""
    text: str = client.get(address).text
    for again in (
        "q=veiled",
        "w=veiled-message",
        "service=veiled-service",
        "service=veiled-shop",
        "stage=veiledstage",
        "left=veiledstage",
    ):
        if again in address:
            return "" if client.get(address).status_code == 400 else strip(text)
    if "zone=" in address or address.startswith("/nodes/"):
        return strip(text)
    return text


def strip(text: str) -> str:
    """The text that can be read on a page, without its forms, chips and what it says is not there; answers for programs as they are."""
    if not text.startswith("<!doctype"):
        return text
    page = parse(text)
    gone = {
        id(each)
        for each in page.walk()
        if each.tag in {"form", "title"}
        or "chip" in each.attributes.get("class", "")
        or "empty" in each.attributes.get("class", "")
    }

    def pieces(element) -> str:
        if id(element) in gone:
            return ""
        return " ".join([*element.own, *(pieces(child) for child in element.children)])

    return pieces(page)


@pytest.mark.threat("another-zone")
def test_no_answer_has_anything_of_another_zone_in_it(house):
    """Of every page and answer, asked in every way; who may see everything does see it, so that this can fail."""
    one, everything = house.enter("one"), house.enter("all")
    seen = 0
    for address in addresses(house):
        text = told(one, address)
        for word in ASKED:
            assert word not in text, (
                address,
                word,
                text[max(text.find(word) - 200, 0) : text.find(word) + 100],
            )
        seen += "veiled" in told(everything, address)
    assert seen > 40


@pytest.mark.threat("another-zone")
def test_what_lies_in_the_zone_is_all_there(house):
    """To see too little would be as wrong."""
    one, everything = house.enter("one"), house.enter("all")
    both = [messages(client.get("/logs?since=all&n=1000&zone=hq/dmz").text) for client in (one, everything)]
    assert both[0] == both[1]
    assert both[0].count("shown-message") == 2 * 2 * 6
    assert messages(one.get("/logs?since=all&n=1000").text) == both[0]
    assert messages(one.get("/logs?since=all&n=1000&zone=hq").text) == both[0]
    inner = messages(house.enter("below").get("/logs?since=all&n=1000").text)
    assert inner.count("shown-message") == 2 * 6
    shown = parse(one.get("/nodes").text)
    assert len(shown.all("tbody")[0].all("tr")) == 4
    assert "shown fault" not in one.get("/status").text
    assert "4" in parse(one.get("/status").text).all("dl")[0].text
    assert one.get("/nodes/twin").status_code == 200
    assert one.get("/nodes/twin?zone=plant").status_code == 404
    assert one.get("/nodes/veiled-plant").status_code == 404


@pytest.mark.threat("another-zone")
@pytest.mark.parametrize("zone", [*OTHERS, "//", "hq/dmz0", None, *INSIDE])
def test_counts_and_facets_count_what_may_be_seen(house, zone):
    """Whatever zone is asked for: bars, facets of each field, counts, tails, gaps, and the oldest record."""
    with Reader(house.store) as whole:
        scoped = Scoped(whole, ZONE)
        query = LogQuery(zone=zone, limit=1000)
        inside = zone in (None, "hq", *INSIDE)
        wanted = 0 if not inside else 14 if zone == "hq/dmz/inner" else 28
        assert sum(1 for row in scoped.logs(query).rows if not row.is_gap) == wanted
        assert scoped.count(query).records == wanted
        assert scoped.count_all(query) == wanted
        assert len(scoped.tail(query, 0)[0]) == wanted
        assert sum(row.is_gap is False for page in scoped.search(query) for row in page.rows) == wanted
        assert scoped.histogram(query, SECOND).seen == wanted
        for field in FACET_FIELDS:
            found = scoped.facets(query, field).counts
            filled = field in {"node", "zone", "severity"}  # those that every record here has
            counted = sum(count for _, count in found)
            assert counted == wanted if filled else counted <= wanted
            assert not any("veiled" in str(value) or value in OTHERS for value, _ in found)
        for ask in (scoped.gaps, scoped.quarantine, scoped.withheld):
            rows = ask(zone=zone)
            assert bool(rows) == inside
            assert {row.zone for row in rows} <= set(INSIDE)
        assert {row.zone for row in scoped.withholding(LOGS, 0)} <= set(INSIDE)
        for kinds in ((), ("audit.",)):
            acts = scoped.control(ControlQuery(kinds, zone=zone, limit=1000))
            assert {row.node.zone for row in acts} == {
                each for each in INSIDE if inside and zone in (None, "hq", "hq/dmz", each)
            }
        others, _ = scoped.beside(query, Beside())
        assert bool(others) == inside
        assert {row.zone for row in others} <= set(INSIDE)
        assert scoped.oldest() == min(
            row.time for row in scoped.logs(LogQuery(limit=1000)).rows if not row.is_gap
        )


@pytest.mark.threat("another-zone")
def test_a_node_of_another_zone_is_not_there(house):
    """Of two with one name the one that may be seen answers."""
    with Reader(house.store) as whole:
        scoped = Scoped(whole, ZONE)
        assert {row.zone for row in scoped.nodes(NOW)} == set(INSIDE)
        twin = scoped.node("twin", NOW)
        assert twin is not None
        assert twin.zone in INSIDE
        assert scoped.node("veiled-plant", NOW) is None
        for zone in OTHERS:
            assert scoped.node("twin", NOW, zone) is None
            assert scoped.heartbeats("twin", 0, NOW, zone) == []
            assert not any(scoped.host_series("twin", 0, NOW, zone=zone).values())
            assert not scoped.processes("twin", NOW, zone).rows
        for name in ("veiled-plant", "veiled-hq"):
            assert scoped.heartbeats(name, 0, NOW) == []
            assert not any(scoped.host_series(name, 0, NOW).values())
            assert not scoped.processes(name, NOW).rows
        assert scoped.heartbeats("twin", 0, NOW, "hq/dmz") != []
        assert scoped.host_series("twin", 0, NOW, zone="hq/dmz")["disk:/shown"]
        assert [row.user for row in scoped.processes("twin", NOW, "hq/dmz").rows] == ["shownuser"]
        assert {zone for zone, _ in scoped.quarantined()} == set(INSIDE)
        assert {each.zone for each in scoped.newest_links(NOW)} == set(INSIDE)
        assert {each.zone for each in (*scoped.deployments(), *scoped.deployment_history())} == set(INSIDE)
        theirs = next(each for each in whole.deployments() if each.zone == "plant")
        assert whole.configuration(theirs).values
        assert not scoped.configuration(theirs).values


@pytest.mark.threat("another-zone")
def test_what_is_of_all_zones_is_not_shown(house):
    """Numbers of the whole store, holds, signers, recorders, the sink, and questions that nobody can judge."""
    with Reader(house.store) as whole:
        scoped = Scoped(whole, ZONE)
        theirs = next(row for row in whole.logs(LogQuery(zone="plant")).rows if isinstance(row, LogRow))
        assert scoped.log(theirs.id) is None
        assert scoped.context(theirs.id) == []
        assert scoped.attested([theirs]) == {}
        assert scoped.stored(theirs.id) == Stored(theirs.id, 0, "", 0)
        assert whole.stored(theirs.id) not in (None, Stored(theirs.id, 0, "", 0))
        numbers = scoped.stats()
        assert (numbers.nodes, numbers.gaps, numbers.quarantined, numbers.bytes) == (4, 4, 4, 0)
        assert numbers.streams == {}
        for empty in (scoped.signers(), scoped.signed(0, 0, 0), scoped.holds(released=True), scoped.levels(),
                      scoped.indexes(), scoped.epochs([1]), scoped.sharing(RECORDER).holders):  # fmt: skip
            assert not empty
        assert scoped.stored_before(0, 2**62, NOW) is None
        for ask in (scoped.sink, lambda: scoped.ask(lambda _connection: None)):
            with pytest.raises(StoreError):
                ask()


def test_every_question_of_a_store_has_an_answer_of_its_own():
    """A new one is a fault here until somebody has thought about whose it shows."""
    asked = {
        name for name, _ in inspect.getmembers(StoreReader, inspect.isfunction) if not name.startswith("__")
    }
    assert asked - set(vars(Scoped)) == set()
    assert Scoped.__bases__ == (object,)
    assert "__getattr__" not in vars(Scoped)


@pytest.mark.threat("another-zone")
def test_a_tail_goes_on_over_records_of_other_zones(house):
    """They are passed over, none of the own is missed, and the page need not begin anew."""
    one = house.enter("one")
    shown, after, place = 0, 0, ""
    for _ in range(200):
        answer = one.get(f"/logs/tail?after={after}&place={place}&n=3").get_json()
        assert "reset" not in answer
        shown += answer["count"] if not answer["whole"] else 0
        if answer["last"] == after:
            break
        after, place = answer["last"], answer["place"]
    assert after == house.reader.last_id()


@pytest.mark.threat("another-zone")
def test_an_admin_of_a_zone_looks_after_those_of_that_zone(house):
    """Sees no other one, changes no other one, and makes nobody more than what is in the zone."""
    one = house.enter("one")
    text = one.get("/people").text
    assert "below" in text
    assert "veiled-person" not in text
    for name in ("veiled-person", "all"):
        for act in ("set", "link", "remove"):
            assert (
                send(one, f"/people/{name}/{act}", page="/people", role="viewer", zone=ZONE).status_code
                == 404
            )
    for zone in ("", *OTHERS):
        answer = send(one, "/people/add", page="/people", name="eve", role="viewer", zone=zone)
        assert answer.status_code == 400
        assert send(one, "/people/below/set", page="/people", role="viewer", zone=zone).status_code == 400
    assert house.people.named("eve") is None
    assert house.people.named("veiled-person").zone == "plant"
    assert house.people.named("below").zone == "hq/dmz/inner"
    assert (
        send(one, "/people/add", page="/people", name="new", role="operator", zone="hq/dmz/a").status_code
        == 200
    )
