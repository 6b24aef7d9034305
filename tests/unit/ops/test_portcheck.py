"""What `tabard check` says of addresses that somebody else has, and of brokers that dial nobody."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tabard import locks
from tabard.home import Home
from tabard.ops.portcheck import port_findings, unjoined
from tabard.ops.waycheck import way_lines
from tabard.settings import Settings, load


def home_with(path: Path, text: str) -> tuple[Home, Settings]:
    """A home with these settings."""
    home = Home(path).ensure()
    home.settings_file.write_text(text)
    return home, load(home, env={})


def test_a_port_that_another_process_has_is_named(tmp_path: Path) -> None:
    """With the place in the file, and what to do; a free one is not, nor one that the broker itself has."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        end = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        text = f'[node]\nzone = "hq"\n[[broker]]\nname = "hq"\nzone = "hq"\nup_in = "{end}"\n'
        home, settings = home_with(tmp_path / "home", text)
        [finding] = port_findings(home, settings)
        error = finding.error
        assert finding.warning and error.key == "broker hq.up_in" and error.found == end
        assert error.file == str(home.settings_file) and error.line and error.hint
        with locks.hold(home.lock("broker.hq")):
            assert list(port_findings(home, settings)) == []
    assert list(port_findings(home, settings)) == []


@pytest.mark.parametrize(
    ("address", "says"),
    [("192.0.2.1", "this host has no such address"), ("no-such-host.invalid", "that name has no address")],
)
def test_what_is_no_address_of_this_host_is_named(tmp_path: Path, address: str, says: str) -> None:
    """The broker would end at its start, which is told before; the settings may be meant for another host, so it is a warning."""
    text = f'[node]\nzone = "hq"\n[[broker]]\nname = "hq"\nzone = "hq"\nup_in = "tcp://{address}:7101"\n'
    [finding] = port_findings(*home_with(tmp_path / "home", text))
    error = finding.error
    assert finding.warning and says in error.what and "does not start" in error.what
    assert (error.key, error.line, error.found) == ("broker hq.up_in", 3, f"tcp://{address}:7101")
    assert error.expected == "an address of this host" and error.hint


DMZ = (
    '[node]\nzone = "hq/dmz"\n[[broker]]\nname = "dmz"\nzone = "hq/dmz"\n'
    'parent_up = "tcp://127.0.0.1:{0}"\nparent_down = "tcp://localhost:{1}"\n'
)
TUNNEL = '[[tunnel]]\nname = "hq"\nhost = "{0}"\nbackend = "{1}"\n'
FORWARD = '[[tunnel.forward]]\nlisten = "127.0.0.1:{0}"\nto = "127.0.0.1:{0}"\n'


def test_a_loopback_parent_that_nothing_here_keeps_is_told(tmp_path: Path) -> None:
    """With the ssh that would do; whether somebody listens just now; and nothing of one that a tunnel carries."""
    with socket.socket() as one, socket.socket() as two:
        for each in (one, two):
            each.bind(("127.0.0.1", 0))
        ports = [each.getsockname()[1] for each in (one, two)]
        text = DMZ.format(*ports)
        home, settings = home_with(tmp_path / "home", text)
        [line] = way_lines(settings, home)
        assert line.startswith(
            f"Broker dmz dials tcp://127.0.0.1:{ports[0]} and tcp://localhost:{ports[1]}, where no broker"
        )
        assert "(nobody does now)" in line
        assert f"ssh -N -L {ports[0]}:127.0.0.1:{ports[0]} -L {ports[1]}:127.0.0.1:{ports[1]} HOST" in line
        one.listen()
        two.listen()
        assert "(something does now)" in next(way_lines(settings, home))
    half = TUNNEL.format("localhost", "openssh") + FORWARD.format(ports[0])
    home, settings = home_with(tmp_path / "half", text + half)
    [line] = way_lines(settings, home)
    assert f"dials tcp://localhost:{ports[1]}, where" in line
    home, settings = home_with(tmp_path / "whole", text + half + FORWARD.format(ports[1]))
    assert list(way_lines(settings, home)) == []


def test_a_name_without_an_address_is_told(tmp_path: Path) -> None:
    """Of a tunnel's host and of a parent; ssh's own aliases count, and a host behind another one is that one's business."""
    home, settings = home_with(
        tmp_path / "a", TUNNEL.format("no-such.invalid", "openssh") + FORWARD.format(7101)
    )
    [line] = way_lines(settings, home)
    assert line.startswith("Tunnel hq leads to no-such.invalid, and that name has no address now")
    config = tmp_path / "ssh_config"
    config.write_text("Host alias\n HostName 127.0.0.1\nHost far\n HostName far.invalid\n ProxyJump near\n")
    for host in ("alias", "far"):
        text = TUNNEL.format(host, "openssh") + f'config = "{config}"\n' + FORWARD.format(7101)
        home, settings = home_with(tmp_path / host, text)
        assert list(way_lines(settings, home)) == []
    away = DMZ.replace("127.0.0.1", "no-such.invalid").replace("localhost", "no-such.invalid").format(1, 2)
    home, settings = home_with(tmp_path / "b", away)
    assert list(way_lines(settings, home)) == [
        "Broker dmz dials no-such.invalid, and that name has no address now"
    ]


def test_a_broker_of_an_outer_zone_that_dials_nobody_is_told(tmp_path: Path) -> None:
    """It is right where the inner one dials, and then its two ends have to be reachable."""
    alone = '[node]\nzone = "hq/dmz"\n[[broker]]\nname = "dmz"\nzone = "hq/dmz"\n'
    _home, settings = home_with(tmp_path / "alone", alone)
    assert unjoined(settings) == [
        (
            "Broker dmz of hq/dmz dials nobody: the broker above has to dial its up_out and down_in,"
            " which no other host reaches as they are"
        )
    ]
    joined = alone + 'parent = "hq"\n[[broker]]\nname = "hq"\nzone = "hq"\n'
    _home, settings = home_with(tmp_path / "joined", joined)
    assert unjoined(settings) == []
