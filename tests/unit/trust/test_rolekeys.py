"""The seal of a role follows the files of its home: keys that come, change, or cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from tabard.brokers.delivery.ports import NodeKey
from tabard.brokers.delivery.seal import UNREADY, OpenSeal, sealed
from tabard.brokers.trust.authority import HOST_LIFE, Wanted
from tabard.brokers.trust.certificates import NODE, RECORDER
from tabard.brokers.trust.files import KEYS, found
from tabard.brokers.trust.rolekeys import SOON, RoleSeal
from tabard.brokers.wire.codec import pack
from tabard.clock import SystemClock
from tabard.home import Home

WEB1 = NodeKey("web1", "hq")
TOPIC = b"a/main/"
HEAD = pack("said")


class Later(SystemClock):
    """A clock that is ahead."""

    ahead = 0

    def wall(self) -> int:
        """Nanoseconds."""
        return super().wall() + self.ahead


@pytest.fixture
def clock() -> Later:
    """The system's, until it is put ahead."""
    return Later()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home without keys."""
    return Home(tmp_path / "home").ensure()


def give_keys(home: Home, *names: str) -> None:
    """Found a zone with nodes of these names, and a recorder of the sink `main`."""
    nodes = [Wanted(NODE, name, "hq", ("main",)) for name in names]
    found(home, "hq", [*nodes, Wanted(RECORDER, "store", "hq", ("main",))])


def test_without_keys_nothing_is_signed_until_they_come(home: Home, clock: Later) -> None:
    """Then node and recorder believe each other."""
    node, recorder = RoleSeal.of_node(home, clock, WEB1), RoleSeal.of_recorder(home, clock, "main")
    assert not node.look() and not recorder.look()
    assert sealed(node, TOPIC, HEAD).signature == b""
    assert recorder.refuses_beacon(sealed(node, TOPIC, HEAD), WEB1) == ""
    give_keys(home, "web1")
    assert node.look() and recorder.look()
    said = sealed(node, TOPIC, HEAD)
    assert len(said.signature) == 64
    assert recorder.refuses_beacon(said, WEB1) == ""
    assert node.refuses_sink(sealed(recorder, TOPIC, HEAD), "main") == ""
    assert recorder.refuses_beacon(sealed(OpenSeal(), TOPIC, HEAD), WEB1) != ""
    assert node.status()["key"] == node.pen.key_id.hex()
    assert not node.look() and node.status()["fault"] is None


@pytest.mark.threat("damaged-keys")
def test_a_home_with_keys_of_others_only_signs_nothing_and_believes_nobody(home: Home, clock: Later) -> None:
    """It does not go on unsigned, and says what is missing."""
    give_keys(home, "web2")
    node = RoleSeal.of_node(home, clock, WEB1)
    recorder = RoleSeal.of_recorder(home, clock, "other")
    for seal, missing in ((node, "node web1 of hq"), (recorder, "a recorder of sink other")):
        assert missing in (seal.status()["fault"] or "")
        assert seal.refuses_sink(sealed(OpenSeal(), TOPIC, HEAD), "main") == UNREADY
        assert seal.refuses_beacon(sealed(OpenSeal(), TOPIC, HEAD), WEB1) == UNREADY


@pytest.mark.threat("damaged-keys")
def test_a_damaged_key_closes_the_seal_and_a_mended_one_opens_it(home: Home, clock: Later) -> None:
    """At the start and while it runs."""
    give_keys(home, "web1")
    node = RoleSeal.of_node(home, clock, WEB1)
    (path,) = (home.trust / KEYS).glob("node.*")
    whole = path.read_bytes()
    path.write_bytes(whole[:40])
    assert node.look()
    assert node.status()["key"] is None and node.status()["fault"]
    assert node.refuses_sink(sealed(OpenSeal(), TOPIC, HEAD), "main") == UNREADY
    assert RoleSeal.of_node(home, clock, WEB1).status()["fault"]
    path.write_bytes(whole)
    assert node.look()
    assert node.status()["fault"] is None and node.status()["key"]


def test_a_certificate_that_runs_out_soon_is_a_fault_in_time(home: Home, clock: Later) -> None:
    """A month before, in words that say when."""
    give_keys(home, "web1")
    node = RoleSeal.of_node(home, clock, WEB1)
    assert node.status()["fault"] is None
    clock.ahead = HOST_LIFE - SOON + 10**9
    assert "ends on" in node.status()["fault"]
