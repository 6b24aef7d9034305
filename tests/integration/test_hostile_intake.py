"""Bad input to the intake socket of a real agent: answered or counted, never a crash, and good records go on."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Final, Self

import msgpack
import pytest

from tabard.intake_frames import ACCEPTED, ERROR, HEAD, HELLO, PING, PONG, RECORDS, REFUSED, WELCOME, frame
from tabard.records import MAX_BODY, MAX_RECORD
from tests.chaos.fuzz import BOMBS, mutate, odd, replace_value
from tests.chaos.siege import NODE, Siege
from tests.unit.intake.samples import log_record

SHORT: Final = 4_000
LONG: Final = 1_000_000
HELLO_PAYLOAD: Final = msgpack.packb({"v": 1, "source": "", "service": "bad"})


@pytest.fixture(scope="module")
def siege(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Siege]:
    """A fleet whose agent is going to hear odd things."""
    with Siege(tmp_path_factory.mktemp("siege"), "intake", noisy=True) as made:
        yield made


class Client:
    """A connection to the intake that says what it likes."""

    def __init__(self, siege: Siege) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(str(siege.fleet.intake(NODE)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def say(self, data: bytes) -> None:
        """Send; an agent that hung up is no reason to stop."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.sock.sendall(data)

    def greet(self) -> Client:
        """Shake hands."""
        self.say(frame(HELLO, 0, HELLO_PAYLOAD))
        assert self.answer()[0] == WELCOME
        return self

    def answer(self) -> tuple[int, int, dict[str, str]]:
        """The next answer: kind, number, payload. Raises ConnectionError when there is none."""
        head = self._exactly(HEAD.size)
        length, kind, number = HEAD.unpack(head)
        payload = self._exactly(length)
        return kind, number, msgpack.unpackb(payload) if payload else {}

    def answers(self) -> list[tuple[int, int, dict[str, str]]]:
        """All answers until the agent hangs up."""
        found = []
        with contextlib.suppress(ConnectionError):
            while True:
                found.append(self.answer())
        return found

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self.sock.recv(size - len(data))
            if not part:
                raise ConnectionResetError("the agent hung up")
            data += part
        return data


def payload(*messages: str) -> bytes:
    """The payload of a RECORDS frame."""
    packed: bytes = msgpack.packb([log_record(message=text) for text in messages])
    return packed


def repr_of(value: bytes) -> str:
    """A short name for a test case."""
    return value[:30].hex()


@pytest.mark.threat("bad-input")
@pytest.mark.parametrize(
    "said",
    [
        frame(RECORDS, 1, payload("too early")),
        frame(HELLO, 0, b""),
        frame(HELLO, 0, msgpack.packb({"v": 2, "source": ""})),
        frame(HELLO, 0, msgpack.packb({"v": 1, "source": "x" * 1_000})),
        frame(HELLO, 0, msgpack.packb({"v": 1, "source": {"a": 1}})),
        frame(HELLO, 0, msgpack.packb([1, 2])),
        frame(HELLO, 0, HELLO_PAYLOAD) * 2,
        frame(3, 0),
        frame(WELCOME, 0),
        HEAD.pack(MAX_BODY + 1, RECORDS, 1),
        HEAD.pack(2**32 - 1, HELLO, 0),
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
        b"\xff" * 64,
        *(frame(HELLO, 0, bomb[:MAX_BODY]) for bomb in BOMBS),
    ],
    ids=repr_of,
)
def test_a_client_that_breaks_the_protocol_hears_why_and_is_hung_up_on(siege: Siege, said: bytes) -> None:
    """One ERROR with a reason, the connection ends, the count goes up."""
    with Client(siege) as client:
        client.say(said)
        *_, (kind, _, reason) = client.answers()
        assert kind == ERROR
        assert reason["reason"]


@pytest.mark.threat("bad-input")
@pytest.mark.parametrize(
    "records",
    [
        b"",
        msgpack.packb([]),
        msgpack.packb(None),
        msgpack.packb([log_record()] * 257),
        msgpack.packb([[*log_record()[:-1], {"a": 1}]]),
        payload("one") + b"\0",
        payload("one")[:-1],
        b"\xc1",
        *(bomb[:MAX_BODY] for bomb in BOMBS),
    ],
    ids=repr_of,
)
def test_records_that_cannot_be_stored_are_refused_and_the_client_goes_on(
    siege: Siege, records: bytes
) -> None:
    """REFUSED with the frame's number, a reason and what was expected; the next frame is accepted."""
    with Client(siege) as client:
        client.greet()
        client.say(frame(RECORDS, 1, records) + frame(RECORDS, 2, payload("good")))
        kind, number, why = client.answer()
        assert (kind, number) == (REFUSED, 1)
        assert why["reason"]
        assert why["expected"]
        assert client.answer()[:2] == (ACCEPTED, 2)


def test_fuzzed_frames_are_answered_one_by_one(siege: Siege) -> None:
    """Each is accepted, refused or ends its connection with a reason; thousands of them change nothing."""
    _fuzz_frames(siege, SHORT, "short")


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_many_fuzzed_frames_are_answered_one_by_one(siege: Siege) -> None:
    """The same, a million times."""
    _fuzz_frames(siege, LONG, "long")


def _fuzz_frames(siege: Siege, count: int, seed: str) -> None:
    random = Random(seed)
    valid = payload("a message", "another one")
    left = count
    while left > 0:
        with Client(siege) as client:
            client.greet()
            number = 0
            for number in range(1, min(left, 200) + 1):
                client.say(_fuzzed(random, valid, number))
            client.say(frame(PING, 0))
            with contextlib.suppress(OSError):  # it hung up
                client.sock.shutdown(socket.SHUT_WR)  # a frame whose length was changed waits for more
            left -= _answered(client, number)
    siege.must_be_well()


def _fuzzed(random: Random, valid: bytes, number: int) -> bytes:
    deed = random.randrange(100)
    if deed < 45:
        return frame(RECORDS, number, mutate(valid, random))
    if deed < 90:
        return frame(RECORDS, number, replace_value(valid, random))
    if deed < 97:
        return frame(
            RECORDS, number, msgpack.packb([[odd(random) for _ in range(random.randrange(40))]], default=str)
        )
    return mutate(frame(RECORDS, number, valid), random)


def _answered(client: Client, most: int) -> int:
    """How many frames the agent has dealt with: all, or those up to the one it hung up at."""
    dealt = 0
    with contextlib.suppress(ConnectionError):
        while True:
            kind, number, why = client.answer()
            if kind == PONG:
                return most
            if kind == ERROR:
                assert why["reason"]
                return max(dealt, 1)
            assert kind in (ACCEPTED, REFUSED)
            if kind == REFUSED:
                assert why["reason"]
            dealt = max(dealt, min(number, most))
    return max(dealt, 1)


def test_lines_that_are_no_json_are_stored_as_text(siege: Siege) -> None:
    """Fuzzed objects, deep nesting, lines without an end, bytes that are no text: kept as what they are, or cut."""
    random = Random(7)
    line = json.dumps(
        {"message": "m", "level": "INFO", "time": "2026-11-22T10:00:00Z", "a": {"b": [1, None]}}
    ).encode()
    before = siege.count(NODE, "intake lines")
    with Client(siege) as client:
        client.say(b" \n")
        for _ in range(2_000):
            client.say(mutate(line, random).replace(b"\n", b" ") + b"\n")
        client.say(b'{"a":' * 20_000 + b"\n")
        client.say(b"[" * 200_000 + b"\n")
        client.say(b'{"message": NaN, "time": 1e999, "line": 1e400, "level": "\\ud800"}\n')
        client.say(b'{"message": "' + b"x" * (4 * MAX_RECORD) + b'"}\n')
        client.say(b"\xff" * (2 * MAX_RECORD))
        client.sock.shutdown(socket.SHUT_WR)
        client.answers()
    siege.wait_for_count(NODE, before + 1_900, "intake lines")
    siege.must_be_well()


def test_more_clients_than_allowed_are_turned_away_with_a_word(siege: Siege) -> None:
    """Those beyond the bound hear an ERROR; the others keep their connection."""
    clients = [Client(siege) for _ in range(300)]
    try:
        kinds = set()
        for client in clients:
            client.say(frame(HELLO, 0, HELLO_PAYLOAD))
            with contextlib.suppress(ConnectionError):
                kinds.add(client.answer()[0])
        assert kinds == {WELCOME, ERROR}
        siege.wait_for_count(NODE, 40, "intake turned away")
    finally:
        for client in clients:
            client.sock.close()
    siege.must_be_well()


def test_clients_that_stop_in_the_middle_take_little_memory(siege: Siege) -> None:
    """Two hundred of them, each with almost a megabyte of a frame that never ends: together they are bounded."""
    clients = [Client(siege).greet() for _ in range(200)]
    try:
        part = frame(RECORDS, 1, os.urandom(MAX_BODY))[:-10]
        for client in clients:
            client.say(part)
        siege.wait_for_count(NODE, 100, "intake stalled")
        siege.must_be_well()
    finally:
        for client in clients:
            client.sock.close()


def test_everything_bad_was_counted(siege: Siege) -> None:
    """The status file says how often the protocol was broken and how often records were refused."""
    siege.wait_for_count(NODE, 20, "intake violations")
    siege.wait_for_count(NODE, 18, "intake refused")


def test_the_journal_is_not_filled_by_what_was_refused(siege: Siege, tmp_path: Path) -> None:
    """What a bomb says is not kept: the journal holds what was accepted and no more."""
    kept = siege.fleet.status(NODE)["journals"]["logs"]["bytes"]
    assert kept < 64 * 1_048_576
