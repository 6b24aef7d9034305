"""`tabard up` makes keys for a new home that is whole in itself, and completes those whose authority it has."""

from __future__ import annotations

from pathlib import Path

import pytest

from tabard.brokers.delivery.ports import NodeKey
from tabard.brokers.trust.authority import HOST_LIFE
from tabard.brokers.trust.certificates import BROKER, DISPATCHER, NODE, OPERATOR, RECORDER
from tabard.brokers.trust.files import Trust
from tabard.brokers.trust.rolekeys import RoleSeal
from tabard.clock import SystemClock
from tabard.home import Home
from tabard.ops.bench.signatures import measure
from tabard.ops.up.keys import RENEW, prepare
from tabard.settings import Settings, load

ROLES = ("broker", "recorder", "agent", "herald")


class Later(SystemClock):
    """A clock that is ahead."""

    def __init__(self, ahead: int) -> None:
        self.ahead = ahead

    def wall(self) -> int:
        """Nanoseconds."""
        return super().wall() + self.ahead


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A new one."""
    return Home(tmp_path / "home").ensure()


def settings(home: Home, **given: str) -> Settings:
    """Settings of a node of a name that is the same everywhere."""
    return load(
        home,
        env={},
        args={"node.name": "web1"} | {name.replace("__", "."): text for name, text in given.items()},
    )


def keys(home: Home) -> set[tuple[str, str, str]]:
    """Role, name and zone of each key but the authorities'."""
    trust = Trust.load(home)
    owned = [file.certificate for file in trust.owned()] if trust is not None else []
    return {(own.role, own.name, own.zone) for own in owned if own is not None and own.role != "zone"}


def test_a_new_home_is_its_own_root(home: Home) -> None:
    """A key for the node, the recorder, the dispatcher and each broker, and one for whoever commands here; the second time there is nothing to say."""
    (line,) = prepare(home, settings(home, up__brokers="2"), ROLES)
    assert "root of zone local" in line
    assert keys(home) == {
        (NODE, "web1", "local"),
        (RECORDER, "web1", "local"),
        (BROKER, "b1", "local"),
        (BROKER, "b2", "local"),
        (DISPATCHER, "web1", "local"),
        (OPERATOR, "local", "local"),
    }
    assert prepare(home, settings(home, up__brokers="2"), ROLES) == []
    assert RoleSeal.of_node(home, SystemClock(), NodeKey("web1", "local")).status()["key"]
    assert RoleSeal.of_recorder(home, SystemClock(), "main").status()["key"]


@pytest.mark.parametrize(
    "given",
    [
        {"agent__up": "ipc:///run/hub/b1.up_in", "agent__down": "ipc:///run/hub/b1.down_out"},
        {"recorder__up": "ipc:///run/hub/b1.up_out", "recorder__down": "ipc:///run/hub/b1.down_in"},
        {"store__url": "postgresql://tabard@db/tabard"},
    ],
    ids=str,
)
def test_a_home_that_talks_to_another_one_is_given_its_keys(home: Home, given: dict[str, str]) -> None:
    """A root of its own would make it a stranger there."""
    assert prepare(home, settings(home, **given), ROLES) == []
    assert not home.trust.exists()


def test_a_home_whose_broker_others_dial_is_given_its_keys(home: Home) -> None:
    """They need keys of the same root, which somebody has to give them."""
    ends = "".join(
        f'{lane} = "tcp://127.0.0.1:{7101 + number}"\n' for number, lane in enumerate(("up_in", "down_out"))
    )
    home.settings_file.write_text(f'[[broker]]\nname = "b1"\nzone = "local"\n{ends}')
    assert prepare(home, settings(home), ROLES) == []
    assert not home.trust.exists()


@pytest.mark.parametrize("room", ["journal", "store"])
def test_a_home_that_was_used_goes_on_as_it_was(home: Home, room: str) -> None:
    """What it talks to may have no keys."""
    (home.path / room / "something").touch()
    assert prepare(home, settings(home), ROLES) == []
    assert not home.trust.exists()


def test_without_a_broker_there_is_nobody_to_be_a_root_of(home: Home) -> None:
    """An agent alone belongs to somebody else's zone."""
    assert prepare(home, settings(home), ("agent",)) == []
    assert not home.trust.exists()


def test_another_name_another_sink_and_another_broker_are_certified(home: Home) -> None:
    """By the authority that is in the home: changed settings must not cut it from its own sink."""
    prepare(home, settings(home), ROLES)
    trust = Trust.load(home)
    assert trust is not None
    before = trust.key(NODE, "web1")
    changed = settings(home, agent__sinks="main,audit", up__brokers="2")
    assert len(prepare(home, changed, ROLES)) == 2
    trust = Trust.load(home)
    assert trust is not None and trust.faults == ()
    assert trust.key(NODE, "web1") == before
    own = trust.certificate(NODE, "web1")
    assert own is not None and own.sinks == ("main", "audit")
    renamed = load(home, env={}, args={"node.name": "web2"})
    prepare(home, renamed, ROLES)
    assert {(NODE, "web2", "local"), (RECORDER, "web2", "local")} <= keys(home)
    assert prepare(home, renamed, ROLES) == []


def test_certificates_are_renewed_in_time(home: Home) -> None:
    """For the same keys, at a start within the last two months."""
    prepare(home, settings(home), ROLES)
    assert prepare(home, settings(home), ROLES, Later(HOST_LIFE - RENEW - 10**12)) == []
    later = Later(HOST_LIFE - RENEW + 10**12)
    assert len(prepare(home, settings(home), ROLES, later)) == 4
    trust = Trust.load(home, later)
    assert trust is not None
    own = trust.certificate(NODE, "web1")
    assert own is not None and own.until - later.wall() > RENEW


def test_what_cannot_be_read_is_said_and_keeps_nobody_from_starting(home: Home) -> None:
    """The roles say it as well, and believe nobody."""
    prepare(home, settings(home), ROLES)
    (home.trust / "root").write_bytes(b"damaged")
    (line,) = prepare(home, settings(home), ROLES)
    assert line.startswith("keys: ")


def test_what_signing_costs_is_measured_with_the_keys_of_the_home(home: Home) -> None:
    """Signing and verifying both cost something, and a record its part of a full batch."""
    prepare(home, settings(home), ROLES)
    costs = measure(home)
    assert costs["sign_us_per_batch"] > costs["unsigned_us_per_batch"] > 0
    assert 0 < costs["us_per_record"] < costs["sign_us_per_batch"] + costs["verify_us_per_batch"]
