"""A real agent that takes OTLP/HTTP: killed under load, whatever was answered with 200 is stored."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import threading
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Self

import pytest

from tests.integration.bridging import (
    NODE,
    PATIENCE,
    agent,
    free_address,
    journaled,
    place_of,
    report,
    said,
    wait_until,
)
from tests.integration.upping import Started
from tests.numbering import difference
from tests.unit.bridge.exporting import Application

PER_REQUEST = 20


class Exporter:
    """Sends numbered records in requests, each again and again until it is answered, as exporters do."""

    def __init__(self, address: str, *, dated: bool, per_request: int = PER_REQUEST) -> None:
        self._address = address
        self._dated = dated
        self._per_request = per_request
        self._stop = threading.Event()
        self.answered = 0
        """Requests that were answered with 200."""
        self.doubtful: set[int] = set()
        """Requests whose answer was lost at least once."""
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        number = 0
        connection: http.client.HTTPConnection | None = None
        while not self._stop.is_set():
            try:
                if connection is None:
                    connection = http.client.HTTPConnection(*place_of(self._address), timeout=PATIENCE)
                    connection.connect()
            except OSError:
                connection = None
                self._stop.wait(0.01)
                continue
            try:
                headers = {"Content-Type": "application/json"}
                said = numbered(number * self._per_request, self._per_request, dated=self._dated)
                connection.request("POST", "/v1/logs", said, headers)
                answer = connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException):
                self.doubtful.add(number)
                connection.close()
                connection = None
                continue
            assert answer.status == 200
            number += 1
            self.answered = number
        if connection is not None:
            connection.close()


def numbered(first: int, count: int = PER_REQUEST, *, dated: bool = False) -> bytes:
    time = {"timeUnixNano": str(1_700_000_000_000_000_000 + first)} if dated else {}
    records = [{"body": {"stringValue": f"n {number}"}, **time} for number in range(first, first + count)]
    return json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]}).encode()


@pytest.mark.chaos
@pytest.mark.parametrize("dated", [True, False])
def test_what_was_answered_is_stored_over_kills_and_doubled_only_where_nobody_can_know(
    tmp_path: Path, dated: bool
) -> None:
    """Killed four times under load, then ended in order. Records that say their time are never doubled."""
    home, address = tmp_path / "home", free_address()
    with Exporter(address, dated=dated) as exporter:
        for _ in range(4):
            started = agent(home, otlp=address)
            wait_until(lambda: said(home)["bridge"][0]["records"] > 1_000, "nothing is taken")
            started.signal(signal.SIGKILL)
            started.rest()
        with agent(home, otlp=address) as started:
            wait_until(lambda: said(home)["bridge"][0]["records"] > 1_000, "nothing is taken")
            started.signal(signal.SIGTERM)
            assert started.rest() == 0
    found = Counter(int(each["message"][2:]) for each in journaled(home) if each["message"].startswith("n "))
    answered = set(range(exporter.answered * PER_REQUEST))
    assert answered <= set(found), "what was answered is not stored"
    doubled = {number // PER_REQUEST for number, count in found.items() if count > 1}
    assert doubled <= (set() if dated else exporter.doubtful)
    assert len(exporter.doubtful) <= 6
    assert max(found.values()) <= 2


@pytest.mark.chaos
@pytest.mark.parametrize("at", [3, 4, 5, 6])
def test_a_request_whose_answer_a_kill_took_is_stored_once(tmp_path: Path, at: int) -> None:
    """Killed in the middle of a request of four batches, or behind its last: the exporter sends all of it again."""
    home, address = tmp_path / "home", free_address()
    point = f"intake.after_append=kill@{at}"
    with (
        Exporter(address, dated=True, per_request=1_000) as exporter,
        Started(home, "agent", *NODE, "--set", f"intake.otlp={address}", TABARD_FAILPOINTS=point) as killed,
    ):
        assert killed.process.wait(PATIENCE) == -signal.SIGKILL
        with agent(home, otlp=address) as started:
            wait_until(lambda: exporter.answered > 2, "nothing is answered")
            started.signal(signal.SIGTERM)
            assert started.rest() == 0
    found = [int(each["message"][2:]) for each in journaled(home) if each["message"].startswith("n ")]
    assert not difference(found, range(len(found)))
    assert len(found) >= 3_000


def test_the_official_exporter_gets_everything_through_a_restart(tmp_path: Path) -> None:
    """Its own retries cover the time without an agent; an end in order doubles nothing."""
    home, address = tmp_path / "home", free_address()
    application = Application(address, squeezed=True)
    with contextlib.ExitStack() as stack:
        with agent(home, otlp=address) as started:
            for number in range(500):
                application.say(f"n {number}", order=number)
            wait_until(lambda: said(home)["bridge"][0]["records"] > 0, "nothing is taken")
            started.signal(signal.SIGTERM)
            assert started.rest() == 0
        for number in range(500, 1_000):
            application.say(f"n {number}", order=number)
        started = stack.enter_context(agent(home, otlp=address))
        application.end()
        wait_until(lambda: len(said(home)["bridge"]) == 1, "no report")
        started.signal(signal.SIGTERM)
        assert started.rest() == 0
    records = [each for each in journaled(home) if each["message"].startswith("n ")]
    assert [each["message"] for each in records] == [f"n {number}" for number in range(1_000)]
    first = records[0]
    assert (first["service"], first["version"], first["logger"]) == ("shop", "1.2", "shop.till")
    assert first["origin"] == "unauthenticated 127.0.0.1"


def test_status_shows_the_intake_and_what_is_wrong_with_what_comes(tmp_path: Path) -> None:
    """Address, requests, the reason of a refusal; and curl's plain request is understood."""
    home, address = tmp_path / "home", free_address()
    url = f"http://{address}/v1/logs"
    with agent(home, otlp=address):
        kind = {"Content-Type": "application/json"}
        with urllib.request.urlopen(urllib.request.Request(url, numbered(0), kind)) as answer:
            assert (answer.status, answer.read()) == (200, b"{}")
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(urllib.request.Request(url, b"{", kind))
        assert refused.value.code == 400
        refused.value.close()
        wait_until(lambda: bool(said(home)["faults"]), "no fault is shown")
        found = report(home)
    (row,) = found["bridge"]
    assert (row["name"], row["address"], row["records"]) == ("otlp", url, PER_REQUEST)
    assert row["counted"]["answered 400"] == 1
    assert any("no JSON of an OTLP request" in fault["what"] for fault in found["faults"])
