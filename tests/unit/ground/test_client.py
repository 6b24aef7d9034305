"""The producer's side of the intake socket: nothing that was handed over is left out, numbered twice or forgotten."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tabard.agents.intake.admission import admit
from tabard.client import MAX_PAYLOAD, IntakeClient, Refused
from tabard.errors import IntakeError
from tabard.intake_frames import ACCEPTED, ERROR, HEAD, RECORDS, WELCOME, frame
from tabard.records import LOG_FIELDS, LOG_INDEX, MAX_RECORDS
from tests.unit.ground.listening import Listener

MESSAGE = LOG_INDEX["message"]


def record(message: str) -> tuple[object, ...]:
    """A log record that says `message`."""
    return tuple({"time": 1, "severity": 9, "message": message}.get(name) for name in LOG_FIELDS)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the agent listens."""
    return tmp_path / "intake.sock"


@pytest.fixture
def listener(path: Path) -> Iterator[Listener]:
    """An agent that answers as told."""
    made = Listener(path)
    yield made
    made.close()


def messages(listener: Listener) -> list[object]:
    """What was said, in the order of arrival."""
    return [row[MESSAGE] for row in listener.records]


def test_records_are_handed_over_in_order_in_frames_of_at_most_256(listener: Listener, path: Path) -> None:
    """Each frame has its own number; flush says when all of them are journaled."""
    client = IntakeClient(path, "s")
    sent = [f"m{number}" for number in range(2 * MAX_RECORDS + 1)]
    assert client.send(record(text) for text in sent) == 3
    assert client.flush()
    assert (messages(listener), client.accepted) == (sent, 3)
    client.close()


def test_nothing_of_a_call_is_left_out_when_no_agent_takes_its_first_frame(path: Path) -> None:
    """Every frame of a call that raised stays with the client, and the next call sends them first."""
    client = IntakeClient(path, "s")
    many = [f"m{number}" for number in range(2 * MAX_RECORDS)]
    with pytest.raises(IntakeError, match="no agent takes records"):
        client.send(record(text) for text in many)
    listener = Listener(path)
    client.send([record("last")])
    assert client.flush()
    assert messages(listener) == [*many, "last"]
    client.close()
    listener.close()


def test_a_source_that_the_agent_knows_goes_on_behind_its_last_frame(listener: Listener, path: Path) -> None:
    """A producer that is started again and sends before it connects does not use a number twice."""
    listener.sources["s"] = 7
    client = IntakeClient(path, "s")
    assert client.send([record("new")]) == 8
    assert client.flush()
    assert messages(listener) == ["new"]
    client.close()


def test_frames_lost_with_a_connection_are_sent_again_in_order(listener: Listener, path: Path) -> None:
    """What the agent had not accepted when it hung up comes on the next connection, before what is new."""
    client = IntakeClient(path, "s")
    for hang_up in (2, 4):
        listener.hang_up_before.add(hang_up)
        client.send([record(f"m{hang_up - 1}")])
        client.send([record(f"m{hang_up}")])
        assert client.flush()
    client.send([record("m5")])
    assert client.flush()
    assert messages(listener) == [f"m{number}" for number in range(1, 6)]
    client.close()


def test_a_refused_frame_is_told_and_not_sent_again(listener: Listener, path: Path) -> None:
    """The others go on; `refused` says which frame and why."""
    client = IntakeClient(path, "s")
    listener.refuse.add(2)
    for number in range(1, 4):
        client.send([record(f"m{number}")])
    assert client.flush()
    assert client.refused == [Refused(2, "told to")]
    assert messages(listener) == ["m1", "m3"]
    client.close()


def test_a_refusal_that_was_lost_with_its_connection_is_told_all_the_same(
    listener: Listener, path: Path
) -> None:
    """The agent accepted a later frame; that it names an earlier one as refused keeps it from seeming accepted."""
    client = IntakeClient(path, "s")
    listener.refuse.add(2)
    listener.unanswered |= {2, 3}
    listener.hang_up_before.add(4)
    for number in range(1, 5):
        client.send([record(f"m{number}")])
    assert client.flush()
    assert [refused.number for refused in client.refused] == [2]
    assert messages(listener) == ["m1", "m3", "m4"]
    client.close()


class Rude:
    """An agent that says these bytes to each client after its first word, and hangs up."""

    def __init__(self, path: Path, *answers: bytes) -> None:
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen()
        self._answers = answers
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        for answer in self._answers:
            connection, _ = self._server.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(answer)

    def close(self) -> None:
        """Wait until all has been said."""
        self._thread.join()
        self._server.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        frame(ERROR, 0, b"\x81\xa6reason\xa2no"),
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        HEAD.pack(2**32 - 1, WELCOME, 0),
        frame(WELCOME, 0),
    ],
    ids=["silence", "error", "another protocol", "an endless frame", "a welcome and no more"],
)
def test_an_agent_that_breaks_off_is_an_intake_error(path: Path, answer: bytes) -> None:
    """Whatever breaks while connecting or sending again, the caller meets one kind of error."""
    rude = Rude(path, *[answer] * 2)
    client = IntakeClient(path, "s", timeout=30)
    for _ in range(2):
        with pytest.raises(IntakeError):  # noqa: PT012 -- whether send or flush notices is up to the kernel
            client.send([record("x" * 100_000)] * 32)
            client.flush()
    rude.close()
    client.close()


def test_a_record_too_large_for_a_frame_is_refused_before_anything_is_sent(
    listener: Listener, path: Path
) -> None:
    """The other records of that call are not kept either, so that it can be repeated without them."""
    client = IntakeClient(path, "s")
    with pytest.raises(IntakeError, match="too large"):
        client.send([record("small"), record("x" * (MAX_PAYLOAD + 1))])
    client.send([record("next")])
    assert client.flush()
    assert messages(listener) == ["next"]
    client.close()


def test_the_fullest_frame_is_one_that_the_agent_takes() -> None:
    """The client cuts frames so that none is refused for its size."""
    from tabard.client import payloads as made

    size = len(made([record("")])[0])
    full = [record("x" * ((MAX_PAYLOAD // 200) - size)) for _ in range(MAX_RECORDS)]
    payloads = made(full)
    assert max(map(len, payloads)) > MAX_PAYLOAD - 10_000
    assert sum(admit(payload).total for payload in payloads) == len(full)


def test_a_client_works_in_a_process_with_many_open_files(listener: Listener, path: Path) -> None:
    """A descriptor beyond 1,023 is one like any other."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 2048:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    held = [os.open(os.devnull, os.O_RDONLY) for _ in range(1_100)]
    try:
        client = IntakeClient(path, "s")
        client.send([record("m")])
        assert client.flush()
        client.close()
    finally:
        for descriptor in held:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_rest_of_the_last_frame_goes_out_though_nothing_follows_it(path: Path) -> None:
    """The kernel took part of a frame; what hears the agent also sends the rest, or both would wait for each other."""
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(str(path))
    server.listen()
    client = IntakeClient(path, "s")
    client.open()
    agent, _ = server.accept()
    agent.settimeout(30)
    agent.sendall(frame(WELCOME, 0))
    assert client.greeted(30)
    data = frame(RECORDS, 1, b"x" * 4_000_000)
    client.post(1, data)
    assert not client.room()  # it is larger than what the kernel keeps
    hello = HEAD.size + HEAD.unpack(agent.recv(HEAD.size, socket.MSG_PEEK))[0]
    got = 0
    while got < hello + len(data):
        got += len(agent.recv(1 << 20))
        client.collect(0.0)
    agent.sendall(frame(ACCEPTED, 1))
    client.collect(30)
    assert (client.accepted, client.unanswered, client.room()) == (1, 0, True)
    for each in (agent, server):
        each.close()
    client.close()
