"""What a doctor finds in a real store: each thing is broken there, and a store in which nothing is wrong is left alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tabard import __version__
from tabard.consumers.store import holding
from tabard.consumers.store.holds import Hold
from tabard.consumers.store.place import Place
from tabard.home import Home
from tabard.locks import hold
from tabard.ops.doctor import asked
from tabard.ops.doctor.finding import FAULT, WARNING, Finding
from tabard.ops.doctor.place import place_of
from tests.unit.web.seed import MINUTE, NOW, SECOND, Seeder, record

FACTS = {"version": __version__}
LOOKS = (
    asked.store,
    asked.clock_nodes,
    asked.clock_store,
    asked.names,
    asked.versions,
    asked.gaps,
    asked.holds,
    asked.quarantine,
)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """One whose recorder ran."""
    made = Home(tmp_path / "home").ensure()
    made.lock("recorder").touch()
    return made


@pytest.fixture
def seeder(home: Home) -> Seeder:
    """Its store, with a node that is well."""
    made = Seeder(home.store)
    made.beacon(facts=FACTS)
    made.logs([record()])
    return made


def found(home: Home, seeder: Seeder, now: int = NOW + SECOND) -> list[Finding]:
    """By every check of the store."""
    seeder.close()
    return [finding for look in LOOKS for finding in look(place_of(home, now))]


def ids(findings: list[Finding]) -> list[tuple[str, str]]:
    """Check and severity."""
    return [(finding.check, finding.severity) for finding in findings]


def test_a_store_in_which_nothing_is_wrong(home: Home, seeder: Seeder) -> None:
    """Nothing is found."""
    assert found(home, seeder) == []


def test_a_home_without_a_store(tmp_path: Path) -> None:
    """A host that has none lacks nothing."""
    place = place_of(Home(tmp_path / "plain").ensure(), NOW)
    assert [finding for look in LOOKS for finding in look(place)] == []


def test_a_store_that_is_no_store(home: Home, seeder: Seeder) -> None:
    """Its file holds something else: told once, and no other check fails of it."""
    seeder.close()
    files = list(home.store.glob("*.db*"))
    assert files
    for path in files:
        path.write_bytes(b"no database at all" * 512)
    findings = [finding for look in LOOKS for finding in look(place_of(home, NOW))]
    assert ids(findings) == [("store", FAULT)]
    assert findings[0].do


def test_a_store_that_is_gone(home: Home) -> None:
    """A recorder ran here, and there is nothing to read."""
    assert ids([finding for look in LOOKS for finding in look(place_of(home, NOW))]) == [("store", FAULT)]


@pytest.mark.parametrize("off", [-10 * MINUTE, 10 * MINUTE])
def test_a_node_whose_clock_is_off(home: Home, seeder: Seeder, off: int) -> None:
    """Ahead or behind: the node is named, and nothing else."""
    seeder.beacon(node="db1", wall=NOW + off, facts=FACTS)
    (finding,) = found(home, seeder)
    assert (finding.check, finding.severity) == ("clock-nodes", FAULT)
    assert "db1" in finding.what and "web1" not in finding.what


def test_a_clock_of_the_store_that_was_put_back(home: Home, seeder: Seeder) -> None:
    """What arrived last arrived later than it is now."""
    seeder.logs([record()], arrived=NOW + 10 * MINUTE)
    assert ids(found(home, seeder)) == [("clock-store", FAULT)]


@pytest.mark.parametrize(("version", "severity"), [("0.0.9", WARNING), ("99.0.0", FAULT)])
def test_a_node_of_another_version(home: Home, seeder: Seeder, version: str, severity: str) -> None:
    """An older one is to be upgraded; a newer one than its sink is a fault, and this host is to be upgraded."""
    seeder.beacon(node="db1", facts={"version": version})
    (finding,) = found(home, seeder)
    assert (finding.check, finding.severity) == ("versions", severity)
    assert version in finding.what
    assert ("this host" in finding.do) == (severity == FAULT)


def test_records_that_were_lost(home: Home, seeder: Seeder) -> None:
    """By node, reason and number."""
    seeder.gap(7)
    seeder.gap(5)
    (finding,) = found(home, seeder)
    assert (finding.check, finding.severity, finding.where) == ("gaps", WARNING, "node web1 (hq)")
    assert finding.what.startswith("12 records") and "the journal was full" in finding.what


def test_records_that_were_lost_long_ago(home: Home, seeder: Seeder) -> None:
    """Two days later nobody is told any more; the node is silent then, which the zones say."""
    seeder.gap(7)
    assert found(home, seeder, NOW + 48 * 60 * MINUTE) == []


def test_a_batch_in_quarantine(home: Home, seeder: Seeder) -> None:
    """It is counted, and said where it is."""
    seeder.poison(3)
    assert ("quarantine", FAULT) in ids(found(home, seeder))


def test_a_zone_of_which_nothing_is_heard(
    home: Home, seeder: Seeder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its one node is silent while another one is heard."""
    later = NOW + 60 * MINUTE
    seeder.beacon(node="db1", zone="hq/dmz", facts=FACTS)
    seeder.beacon(heard=later, facts=FACTS)
    seeder.close()
    monkeypatch.setattr("tabard.ops.zonefacts.wall", lambda: later + SECOND)
    (home.run / "recorder.json").write_text(json.dumps({"pid": 0, "version": "other"}))
    with hold(home.lock("recorder")):
        findings = list(asked.zones(place_of(home, later + SECOND)))
    assert ("zones", FAULT, "zone hq/dmz") in [finding[:3] for finding in findings]
    assert not any(finding.where == "zone hq" for finding in findings)


def test_one_name_in_two_zones(home: Home, seeder: Seeder) -> None:
    """Both are heard; one that is not heard any more has moved."""
    seeder.beacon(zone="hq/dmz", facts=FACTS)
    (finding,) = found(home, seeder)
    assert finding[:3] == ("names", WARNING, "node web1") and "hq, hq/dmz" in finding.what


def test_one_that_moved_has_its_name_to_itself(home: Home, seeder: Seeder) -> None:
    """The name in the former zone is silent for a day."""
    seeder.beacon(zone="hq/dmz", heard=NOW - 1440 * MINUTE, facts=FACTS)
    assert "names" not in {finding.check for finding in found(home, seeder)}


def test_a_hold_that_everybody_forgot(home: Home, seeder: Seeder) -> None:
    """After 90 days it is asked about; one that is released holds nothing up."""
    place = Place(str(home.store))
    for name, days in (("old", 91), ("new", 89), ("gone", 99)):
        made = NOW - days * 1440 * MINUTE
        holding.add(place, Hold(name, None, None, None, None, None, None, "a case", made, "ann"))
    holding.release(place, "gone", NOW, "ann", "it is closed")
    (finding,) = found(home, seeder)
    assert finding[:3] == ("holds", WARNING, "store") and "the hold old of ann" in finding.what
