"""The bridge's network intakes in a real agent: shown, killed under load, restarted."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from tabard.records import MAX_RECORDS
from tests.integration.bridging import (
    agent,
    free_address,
    journaled,
    place_of,
    report,
    said,
    wait_until,
)
from tests.integration.sending import Load, datagrams, kill, settled, socket_handler, stream
from tests.integration.upping import Started, wait_for_end
from tests.numbering import difference
from tests.unit.bridge.samples import attributes, framed, record_pickle

HOSTILE = b"cos\nsystem\n(Vtouch %b\ntR."
KINDS = ["syslog_tcp", "syslog_tcp counted", "syslog_udp", "syslog_stream", "syslog_datagram"]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home that is not there yet."""
    return tmp_path / "home"


def of_kind(kind: str, directory: Path) -> tuple[str, str, AbstractContextManager[Callable[[int], None]]]:
    """The setting, its address, and a sender to it."""
    name, _, counted = kind.partition(" ")
    where: Any
    if name in {"syslog_stream", "syslog_datagram"}:
        address = where = str(directory / "log")
        family = socket.AF_UNIX
    else:
        udp = name == "syslog_udp"
        address = free_address(socket.SOCK_DGRAM if udp else socket.SOCK_STREAM)
        where, family = place_of(address), socket.AF_INET
    if name == "socket_handler":
        return name, address, socket_handler(address)
    if name in {"syslog_udp", "syslog_datagram"}:
        return name, address, datagrams(family, where)
    return name, address, stream(family, where, counted=bool(counted))


@pytest.mark.chaos
@pytest.mark.parametrize("kind", ["socket_handler", *KINDS])
def test_killed_and_restarted_under_load_only_what_was_on_its_way_is_lost(home: Path, kind: str) -> None:
    """What was journaled before the kill is there once and in order, and so is all that was sent after the restart.

    What is missing lies between the two: what the kernel held, and what was sent while nobody listened.
    """
    name, address, sender = of_kind(kind, home.parent)
    with contextlib.ExitStack() as stack:
        first = agent(home, **{name: address})
        load = stack.enter_context(Load(stack.enter_context(sender)))
        wait_until(lambda: said(home)["accepted"] > 1_000, "nothing is accepted")
        accepted = said(home)["bridge"][0]["records"]
        at_kill = load.sent
        kill(first)
        between = load.sent
        with agent(home, **{name: address}):
            since = load.sent + len(load.failed)
            wait_until(lambda: said(home)["bridge"][0]["records"] > 1_000, "nothing is accepted any more")
            stack.close()
            last = load.sent
            wait_until(lambda: settled(home), "it does not come to rest")
    numbers = [int(each["message"][2:]) for each in journaled(home) if each["message"].startswith("n ")]
    assert not difference(numbers, sorted(set(numbers)))
    assert accepted <= at_kill
    assert between <= last
    missing = sorted(set(range(numbers[-1] + 1)) - set(numbers))
    if name == "syslog_udp":
        return  # it may drop at any time, and says so itself
    kept = accepted - MAX_RECORDS  # one batch may have waited for company when the status was written
    assert not difference(numbers[:kept], range(kept)), "what was accepted is not there"
    if missing:
        assert missing[-1] - missing[0] + 1 == len(missing), "lost in more than one place"
        assert missing[0] >= kept
        assert missing[-1] <= since + 1_000, "lost although the agent ran"


@pytest.mark.chaos
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "syslog_udp"])
def test_clean_restarts_under_load_lose_nothing_that_a_sender_believes_to_be_sent(
    home: Path, kind: str
) -> None:
    """Two of them. What a sender could not send it knows of; all else is stored once and in order."""
    name, address, sender = of_kind(kind, home.parent)
    with sender as say, Load(say) as load:
        for _ in range(2):
            with agent(home, **{name: address}):
                wait_until(lambda: said(home)["bridge"][0]["records"] > 1_000, "nothing is accepted")
        last = agent(home, **{name: address})
        wait_until(lambda: said(home)["bridge"][0]["records"] > 1_000, "nothing is accepted")
    with last:
        wait_until(lambda: settled(home), "it does not come to rest")
    numbers = [int(each["message"][2:]) for each in journaled(home) if each["message"].startswith("n ")]
    failed = set(load.failed)
    assert not difference(
        numbers, [number for number in range(load.sent + len(failed)) if number not in failed]
    )


def test_status_shows_addresses_clients_counts_and_faults(home: Path, tmp_path: Path) -> None:
    """And a hostile pickle has done nothing."""
    address, path = free_address(), str(tmp_path / "log")
    with (
        agent(home, socket_handler=address, syslog_datagram=path),
        socket.create_connection(place_of(address)) as good,
        socket.create_connection(place_of(address)) as bad,
    ):
        good.sendall(framed(record_pickle(attributes(msg="hello"))))
        bad.sendall(framed(HOSTILE % os.fsencode(tmp_path / "touched")))
        wait_until(lambda: said(home)["counters"].get("socket_handler hostile") == 1, "it is not counted")
        found = report(home)
    assert not (tmp_path / "touched").exists()
    assert {f"socket_handler tcp {address}", f"syslog_datagram {path}"} <= set(found["intakes"])
    handler, datagram = found["bridge"]
    assert (handler["name"], handler["clients"], handler["records"]) == ("socket_handler", 2, 1)
    assert handler["counted"]["hostile"] == 1
    assert datagram["address"] == path
    assert any("os.system" in fault["what"] for fault in found["faults"])
    (record,) = journaled(home)
    assert (record["message"], record["origin"]) == ("hello", "unauthenticated 127.0.0.1")


def test_an_agent_whose_intake_cannot_listen_does_not_start(home: Path) -> None:
    """It says which setting is meant, and leaves nothing behind."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with Started(home, "agent", "--set", f"intake.syslog_tcp={address}") as started:
            started.wait_for("intake.syslog_tcp")
            wait_for_end(started.process.pid)
        assert started.process.returncode not in {0, None}
