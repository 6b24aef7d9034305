"""Other people's senders: `logger` of util-linux in each of its ways, and rsyslog's omfwd across restarts of the agent."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from tests.conftest import Need
from tests.integration.bridging import agent, free_address, journaled, place_of, said, wait_until
from tests.integration.sending import kill, settled
from tests.numbering import difference


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home that is not there yet."""
    return tmp_path / "home"


def records(home: Path) -> int:
    """How many the first intake of the bridge has taken."""
    return int(said(home)["bridge"][0]["records"])


WAYS = {
    "tcp": ("syslog_tcp", ["--tcp"]),
    "tcp, counted": ("syslog_tcp", ["--tcp", "--octet-count"]),
    "tcp, old": ("syslog_tcp", ["--tcp", "--rfc3164"]),
    "tcp, new, counted": (
        "syslog_tcp",
        ["--tcp", "--octet-count", "--rfc5424", "--msgid", "M1", "--sd-id", "x@1", "--sd-param", 'a="b"'],
    ),
    "udp": ("syslog_udp", ["--udp"]),
    "udp, old": ("syslog_udp", ["--udp", "--rfc3164"]),
    "unix datagram": ("syslog_datagram", []),
    "unix stream": ("syslog_stream", ["--tcp"]),
}


@pytest.mark.parametrize("way", WAYS)
def test_logger_is_understood(home: Path, need: Need, way: str) -> None:
    """Program, process, severity, facility and text, whichever way it is sent."""
    logger = need("logger")
    setting, options = WAYS[way]
    unix = setting in {"syslog_datagram", "syslog_stream"}
    address = str(home.parent / "log") if unix else free_address()
    with agent(home, **{setting: address}):
        host, port = ("", 0) if unix else place_of(address)
        to = ["--socket", address] if unix else ["--server", host, "--port", str(port)]
        words = [logger, *to, *options, "--tag", "shop", "--id=4711", "--priority", "local3.warning"]
        for number in range(3):
            subprocess.run([*words, f"order {number} was gr\u00f6\u00dfer"], check=True, timeout=30)
        wait_until(lambda: records(home) == 3, "not all arrived")
    for number, record in enumerate(sorted(journaled(home), key=lambda each: each["message"])):
        assert record["message"] == f"order {number} was gr\u00f6\u00dfer"
        assert (record["service"], record["process"]) == ("shop", 4711)
        assert (record["level"], record["severity"]) == ("warning", 13)
        attributes = json.loads(record["attributes"])
        assert attributes["facility"] == "local3"
        if "new" in way:
            assert (attributes["msgid"], attributes["sd"]["x@1"]) == ("M1", {"a": "b"})


@contextmanager
def rsyslog(directory: Path, program: str, target: str, framing: str) -> Iterator[tuple[str, int]]:
    """An rsyslog that takes lines at the address given and forwards them to ``target``, keeping what it cannot."""
    listen = free_address()
    host, port = place_of(target)
    config = directory / "rsyslog.conf"
    (directory / "spool").mkdir()
    config.write_text(
        f"""
global(workDirectory="{directory}/spool" maxMessageSize="64k")
module(load="imptcp")
input(type="imptcp" address="127.0.0.1" port="{place_of(listen)[1]}")
action(type="omfwd" target="{host}" port="{port}" protocol="tcp" TCP_Framing="{framing}"
       action.resumeRetryCount="-1" action.resumeInterval="1" queue.type="LinkedList" queue.size="100000")
"""
    )
    with subprocess.Popen(
        [program, "-n", "-f", str(config), "-i", str(directory / "rsyslog.pid")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            yield place_of(listen)
        finally:
            process.terminate()


def feed(logger: str, place: tuple[str, int], first: int, last: int) -> None:
    """Numbered messages to rsyslog, by one connection of `logger`."""
    lines = "".join(f"n {number}\n" for number in range(first, last))
    words = ["--server", place[0], "--port", str(place[1]), "--tcp", "--rfc3164", "--tag", "feed"]
    subprocess.run([logger, *words], input=lines, text=True, check=True, timeout=60)


@pytest.mark.parametrize("framing", ["traditional", "octet-counted"])
def test_rsyslog_forwards_across_a_clean_restart_of_the_agent(home: Path, need: Need, framing: str) -> None:
    """Everything arrives in order; what rsyslog could not send while there was no agent comes later."""
    program, logger = need("rsyslogd"), need("logger")
    address = free_address()
    with rsyslog(home.parent, program, address, framing) as place:
        with agent(home, syslog_tcp=address):
            wait_until(lambda: _accepts(logger, place), "rsyslog does not start")
            feed(logger, place, 0, 2_000)
            wait_until(lambda: records(home) >= 2_001, "not all arrived before the restart")
        feed(logger, place, 2_000, 4_000)
        with agent(home, syslog_tcp=address):
            wait_until(lambda: records(home) >= 2_000, "not all arrived after the restart")
            feed(logger, place, 4_000, 5_000)
            wait_until(lambda: records(home) >= 3_000, "not all arrived at the end")
    assert not difference(numbers(home), range(5_000))


@contextmanager
def load(place: tuple[str, int]) -> Iterator[list[int]]:
    """Numbered messages to rsyslog without an end; the list has how many there were."""
    sent, stop = [0], threading.Event()

    def run() -> None:
        with socket.create_connection(place) as sock:
            while not stop.wait(0.002):
                lines = (f"<14>Nov 22 10:00:00 h feed: n {sent[0] + number}\n" for number in range(20))
                sock.sendall("".join(lines).encode())
                sent[0] += 20

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield sent
    finally:
        stop.set()
        thread.join()


@pytest.mark.chaos
@pytest.mark.parametrize("framing", ["traditional", "octet-counted"])
def test_rsyslog_loses_nothing_to_clean_restarts_under_load(home: Path, need: Need, framing: str) -> None:
    """It sees that the agent ends its side of the connection, and keeps from then on what it has."""
    program, logger, address = need("rsyslogd"), need("logger"), free_address()
    with rsyslog(home.parent, program, address, framing) as place:
        with agent(home, syslog_tcp=address):
            wait_until(lambda: _accepts(logger, place), "rsyslog does not start")
        with load(place) as sent:
            for _ in range(2):
                with agent(home, syslog_tcp=address):
                    wait_until(lambda: records(home) > 2_000, "nothing is accepted")
            last = agent(home, syslog_tcp=address)
            wait_until(lambda: records(home) > 2_000, "nothing is accepted")
        with last:
            _end_of(logger, place, home)
    assert not difference(numbers(home), range(sent[0]))


@pytest.mark.chaos
@pytest.mark.parametrize("framing", ["traditional", "octet-counted"])
def test_rsyslog_loses_only_what_was_on_its_way_to_an_agent_that_is_killed(
    home: Path, need: Need, framing: str
) -> None:
    """Twice, under load. It sends nothing again, and nothing is doubled: of each kill one piece is missing at most."""
    program, logger, address = need("rsyslogd"), need("logger"), free_address()
    with rsyslog(home.parent, program, address, framing) as place, contextlib.ExitStack() as stack:
        with agent(home, syslog_tcp=address):
            wait_until(lambda: _accepts(logger, place), "rsyslog does not start")
        with load(place) as sent:
            for _ in range(2):
                started = agent(home, syslog_tcp=address)
                wait_until(lambda: records(home) > 2_000, "nothing is accepted")
                kill(started)
            last = stack.enter_context(agent(home, syslog_tcp=address))
            wait_until(lambda: records(home) > 2_000, "nothing is accepted")
        _end_of(logger, place, home)
        last.signal(signal.SIGTERM)
        assert last.rest() == 0
    found = numbers(home)
    assert not difference(found, sorted(set(found)))
    assert found[-1] == sent[0] - 1
    holes = [after for before, after in pairwise([-1, *found]) if after != before + 1]
    assert len(holes) <= 2, "lost where no kill was"


def numbers(home: Path) -> list[int]:
    """The numbers of the messages that were journaled, in order."""
    return [int(each["message"][2:]) for each in journaled(home) if each["message"].startswith("n ")]


def _end_of(logger: str, place: tuple[str, int], home: Path) -> None:
    """Wait until rsyslog has sent all it holds: the last of it is a message of its own."""
    words = ["--server", place[0], "--port", str(place[1]), "--tcp", "--tag", "feed", "the end"]
    subprocess.run([logger, *words], check=True, timeout=30)
    wait_until(lambda: settled(home), "it does not come to rest")


def _accepts(logger: str, place: tuple[str, int]) -> bool:
    words = ["--server", place[0], "--port", str(place[1]), "--tcp", "--tag", "feed", "ready"]
    return subprocess.run([logger, *words], capture_output=True, check=False, timeout=30).returncode == 0
