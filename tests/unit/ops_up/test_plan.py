"""What `tabard up` starts, what it looks at before, and how patient it is."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tabard.errors import TabardError, UsageError
from tabard.home import Home
from tabard.ops.up.backoff import FIRST, LONGEST, STEADY, Backoff
from tabard.ops.up.checks import refuse_busy
from tabard.ops.up.plan import Address, addresses, page_url, parse_only, planned, stages
from tabard.settings import Settings, load

CHAIN = """
[intake]
tcp = "127.0.0.1:7010"

[[broker]]
name = "hq"
zone = "hq"
up_in = "tcp://127.0.0.1:7101"
down_out = "tcp://[::1]:7102"

[[broker]]
name = "dmz"
zone = "hq/dmz"
parent = "hq"
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home with two brokers and every kind of TCP address."""
    (tmp_path / "tabard.toml").write_text(CHAIN)
    return Home(tmp_path)


@pytest.fixture
def settings(home: Home) -> Settings:
    """Its settings."""
    return load(home, env={})


def test_those_that_are_dialled_start_first(home: Home, settings: Settings) -> None:
    """Brokers from the outermost, then the recorder, who sends commands beside it, the agent and the page."""
    names = [child.name for child in planned(settings, home)]
    assert names == ["broker.dmz", "broker.hq", "recorder", "dispatcher", "agent", "herald"]
    assert planned(settings, home)[0].words == ("broker", "dmz")
    assert [child.name for child in planned(settings, home, {"agent"})] == ["agent"]


def test_those_that_hand_on_end_last(home: Home, settings: Settings) -> None:
    """In the direction in which records flow."""
    expected = [["dispatcher"], ["agent"], ["broker.dmz"], ["broker.hq"], ["recorder"], ["herald"]]
    assert stages(planned(settings, home)) == expected


def test_every_tcp_address_is_known(home: Home, settings: Settings) -> None:
    """Those of the roles that are started, and no others."""
    everything = [
        (found.host, found.port) for found in addresses(settings, home, {"agent", "broker", "herald"})
    ]
    assert everything == [("127.0.0.1", 8024), ("127.0.0.1", 7010), ("127.0.0.1", 7101), ("::1", 7102)]
    assert addresses(settings, home, {"recorder"}) == []


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8024"),
        ("0.0.0.0", "http://127.0.0.1:8024"),
        ("::", "http://[::1]:8024"),
        ("::1", "http://[::1]:8024"),
        ("ops.example.net", "http://ops.example.net:8024"),
    ],
)
def test_the_address_shown_is_one_that_a_browser_can_open(tmp_path: Path, host: str, url: str) -> None:
    """Not the address that means all addresses."""
    assert page_url(load(tmp_path, env={}, args={"herald.host": host})) == url


def test_only() -> None:
    """Words separated by commas; each must be a role."""
    assert parse_only("agent, broker") == {"agent", "broker"}
    for wrong in ("", ",", "agent,web", "broker.b1"):
        with pytest.raises(UsageError, match="expected one or more of tunnel, broker"):
            parse_only(wrong)


def test_a_busy_port_is_refused_with_a_way_out() -> None:
    """Whichever role wants it; herald's error names an option that helps."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        with pytest.raises(TabardError, match="another process that listens there") as caught:
            refuse_busy([Address("127.0.0.1", port, "herald.port")])
        assert "--port" in (caught.value.hint or "")
        with pytest.raises(TabardError, match=r"intake\.tcp"):
            refuse_busy([Address("127.0.0.1", port, "intake.tcp")])
    refuse_busy([Address("127.0.0.1", port, "herald.port")])


def test_an_address_of_another_host_is_refused() -> None:
    """192.0.2.1 is nobody's."""
    with pytest.raises(TabardError, match=r"Set herald\.port to an address"):
        refuse_busy([Address("192.0.2.1", 8024, "herald.port")])


def test_the_waits_grow_and_begin_anew() -> None:
    """Doubling up to a bound for a child that does not stay; at once for one that ran for a while."""
    backoff = Backoff()
    waits = [backoff.after(0.1) for _ in range(40)]
    assert waits[:4] == [FIRST, 2 * FIRST, 4 * FIRST, 8 * FIRST]
    assert waits == sorted(waits)
    assert waits[-1] == LONGEST
    assert backoff.after(STEADY) == FIRST
