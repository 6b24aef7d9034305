"""The dispatcher's socket against clients that read slowly, say nonsense, or leave; and how ids are shortened."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tabard.brokers.delivery.ports import EpochWork
from tabard.brokers.loop import Loop
from tabard.brokers.wire.answers import DONE
from tabard.brokers.wire.streams import CONTROL, LOGS
from tabard.consumers.commands.asked import chosen
from tabard.consumers.commands.course import Course
from tabard.consumers.commands.following import Follower
from tabard.consumers.commands.ports import Item, Output
from tabard.consumers.commands.serving import MAX_CLIENTS, Client, Serving
from tabard.consumers.commands.talk import MAX_LINE, encode
from tabard.consumers.recorder.waking import Waking
from tabard.errors import UsageError
from tests.contract.chain import Chain

LARGE = b"x" * 200_000


class Served:
    """A socket, its loop, and a client that connects."""

    def __init__(self, path: Path) -> None:
        self.loop = Loop()
        self.clients: list[Client] = []
        self.path = path / "s"
        self.serving = Serving(self.path, self.loop, self._handle)

    def _handle(self, client: Client, request: dict[str, Any]) -> dict[str, Any]:
        self.clients.append(client)
        if request.get("op") != "known":
            raise UsageError("not known", expected="known", found=repr(request.get("op")))
        return {"ok": True}

    def connect(self) -> socket.socket:
        """One more client."""
        made = socket.socket(socket.AF_UNIX)
        made.connect(str(self.path))
        made.settimeout(30)
        return made

    def read_line(self, client: socket.socket) -> dict[str, Any]:
        """The next line, with the loop turning meanwhile."""
        client.setblocking(False)
        data = b""
        while not data.endswith(b"\n"):
            try:
                data += client.recv(1)
            except BlockingIOError:
                self.loop.turn(0.05)
        found: dict[str, Any] = json.loads(data)
        return found


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """One that listens."""
    made = Served(tmp_path)
    yield made
    made.serving.close()
    made.loop.close()


@pytest.mark.parametrize("line", [b"nonsense\n", b"[]\n", b"{}\n", b'{"op": ["known"]}\n', b"\xff\n", b"\n"])
def test_nonsense_is_answered(served: Served, line: bytes) -> None:
    """And the next line is read."""
    client = served.connect()
    client.sendall(line + b'{"op": "known"}\n')
    assert served.read_line(client)["ok"] is False
    assert served.read_line(client)["ok"] is True
    client.close()


def test_a_line_without_an_end_ends_the_connection(served: Served) -> None:
    """It would fill the memory."""
    client = served.connect()
    client.setblocking(False)
    sent = 0
    served.loop.turn(0.05)
    assert served.serving.clients
    while served.serving.clients:
        with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
            sent += client.send(LARGE)
        served.loop.turn(0.0)
    assert MAX_LINE < sent < 2 * MAX_LINE
    client.close()


def test_too_many_clients_are_turned_away(served: Served) -> None:
    """Those that are there go on."""
    clients = [served.connect() for _ in range(MAX_CLIENTS)]
    for _ in clients:
        served.loop.turn(0.05)
    late = served.connect()
    while len(served.serving.clients) < MAX_CLIENTS:
        served.loop.turn(0.05)
    served.loop.turn(0.05)
    assert late.recv(1) == b""
    clients[0].sendall(encode({"op": "known"}))
    assert served.read_line(clients[0])["ok"] is True
    for each in (*clients, late):
        each.close()


class Printed:
    """Tables with one command that printed much."""

    def __init__(self, parts: int) -> None:
        self.parts = parts

    def group(self, _group: bytes) -> list[Item]:
        """The command."""
        return [
            Item(1, b"u" * 16, b"g" * 16, "hq", "web1", 0, Course(1, 2, 3, state=DONE, said=True, exit=0))
        ]

    def output(self, number: int, after: int = 0) -> list[Output]:
        """A part at a time."""
        return [Output(number, after + 1, 1, LARGE)] if after < self.parts else []


def test_whoever_reads_slowly_is_told_the_rest_later(served: Served) -> None:
    """All of it, in order, and the end last; nothing is thrown away, and little waits."""
    client = served.connect()
    client.sendall(encode({"op": "known"}))
    assert served.read_line(client)["ok"] is True
    tables: Any = Printed(120)
    follower = Follower(served.clients[0], b"g" * 16)
    ended: list[bool] = []

    def push() -> None:
        ended.append(follower.push(tables, 0.0))

    served.clients[0].on_room = lambda: served.loop.call_soon(push)
    push()
    assert ended == [False]
    parts = []
    data = b""
    while not ended[-1] or not data.endswith(b'{"event":"end"}\n'):
        served.loop.turn(0.01)
        try:
            data += client.recv(2**20)
        except BlockingIOError:
            continue
        *lines, data_left = data.split(b"\n")
        parts += [json.loads(line) for line in lines]
        if parts and parts[-1] == {"event": "end"}:
            break
        data = data_left
    assert [each.get("part") for each in parts] == [*range(1, 121), None, None]
    assert [each["event"] for each in parts[-2:]] == ["state", "end"]
    client.close()


def row(uid: str, group: str) -> dict[str, Any]:
    """A command by its ids."""
    return {"uid": bytes.fromhex(uid * 8), "group_uid": bytes.fromhex(group * 8)}


def test_the_beginning_of_an_id_names_one_thing() -> None:
    """A command, or a submission with all that belongs to it; never some of one."""
    ours = [row("aa01", "bb01"), row("aa02", "bb01")]
    assert chosen(ours[:1], "aa01") == ours[:1]
    assert chosen(ours, "bb01") == ours
    with pytest.raises(UsageError, match="2 ids"):
        chosen(ours, "aa")
    with pytest.raises(UsageError, match="2 ids"):
        chosen([row("aa01", "bb01"), row("cc01", "aa01")], "aa01")
    with pytest.raises(UsageError, match="no ids"):
        chosen([], "aa01")


def test_a_recorder_wakes_for_control_records_alone(tmp_path: Path) -> None:
    """And does not mind when nobody listens."""
    path = tmp_path / "wake"
    waking = Waking(path)
    answers: list[EpochWork] = [Chain(stream=CONTROL).work([(1, "command.done", {})])]
    waking(answers)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as listening:
        listening.bind(str(path))
        waking([Chain(stream=LOGS).work([])])
        with pytest.raises(BlockingIOError):
            listening.recv(1)
        waking(answers)
        assert listening.recv(1) == b""
    waking.close()
