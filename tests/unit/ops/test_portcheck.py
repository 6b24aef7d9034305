"""What `tabard check` says of addresses that somebody else has, and of brokers that dial nobody."""

from __future__ import annotations

import socket
from pathlib import Path

from tabard import locks
from tabard.home import Home
from tabard.ops.portcheck import port_findings, unjoined
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


def test_a_name_that_is_no_address_of_this_host_says_nothing_here(tmp_path: Path) -> None:
    """What is wrong with it is said when it is bound."""
    text = '[node]\nzone = "hq"\n[[broker]]\nname = "hq"\nzone = "hq"\nup_in = "tcp://192.0.2.1:7101"\n'
    assert list(port_findings(*home_with(tmp_path / "home", text))) == []


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
