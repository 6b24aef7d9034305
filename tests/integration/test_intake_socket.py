"""The intake socket over real sockets: acknowledgement, resending, back-pressure, bad clients."""

from __future__ import annotations

import json
import os
import resource
import socket
import stat

import msgpack
import pytest

from tabard import intake_frames
from tabard.agents.intake import server
from tabard.agents.intake.batcher import Batcher, BatchLimits
from tabard.agents.intake.defaults import Defaults
from tabard.agents.intake.protocol import frame_of
from tabard.agents.intake.server import IntakeServer
from tabard.agents.samplers.users import Users
from tabard.brokers.loop import Loop
from tabard.clock import SystemClock
from tabard.errors import IntakeError, JournalError
from tabard.intake_frames import HEAD
from tabard.records import LOG_INDEX, MAX_BODY
from tests.unit.intake.fakes import ListJournal
from tests.unit.intake.samples import log_record

MESSAGE = LOG_INDEX["message"]


class Rig:
    """A server on a loop, and clients on the same thread that turn the loop while they wait."""

    def __init__(self, directory, **options):
        self.loop = Loop()
        self.journal = ListJournal()
        self.batcher = Batcher(self.journal, self.loop, linger=0.001, limits=BatchLimits())
        self.path = str(directory / "intake.sock")
        self.options = {"path": self.path, **options}
        self.clients = []
        try:
            self.start()
        except BaseException:
            self.loop.close()
            raise

    def start(self):
        """Start a server, as after a restart of the agent."""
        self.server = IntakeServer(
            self.loop, self.batcher, SystemClock(), marks=self.journal.marks, **self.options
        )
        self.server.open()

    def until(self, condition, turns=2_000):
        """Turn the loop until it holds; the turns are bounded so that a failure is one."""
        for _ in range(turns):
            if condition():
                return
            self.loop.turn(0.01)
        raise AssertionError("it never came to pass")

    def connect(self, address=None):
        """A new client, on the unix socket unless an address is given."""
        family = socket.AF_UNIX if address is None else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.connect(self.path if address is None else address)
        sock.setblocking(False)
        client = Client(self, sock)
        self.clients.append(client)
        return client

    def messages(self, source=None):
        """The messages journaled so far."""
        return [record[MESSAGE] for record in self.journal.records(source)]

    def close(self):
        """End everything."""
        for client in self.clients:
            client.sock.close()
        self.server.close()
        self.loop.close()


class Client:
    def __init__(self, rig, sock):
        self.rig, self.sock, self.data, self.ended = rig, sock, b"", False

    def hello(self, source="app"):
        """Say HELLO and return the answer."""
        self.send(frame_of(intake_frames.HELLO, 0, {"v": 1, "source": source, "service": "svc"}))
        return self.answer()

    def records(self, number, *messages):
        """Send a frame of records."""
        self.send(records(number, *messages))

    def send(self, data):
        """Send all of it, turning the loop while the socket is full."""
        view = memoryview(data)
        while view:
            try:
                view = view[self.sock.send(view) :]
            except BlockingIOError:
                self.rig.loop.turn(0.01)

    def offer(self, data):
        """Send what the other side takes without waiting for it to read; how many bytes it was."""
        sent = 0
        try:
            while sent < len(data):
                sent += self.sock.send(data[sent:])
        except BlockingIOError:
            pass
        return sent

    def read(self):
        """Take in what has come."""
        try:
            data = self.sock.recv(65_536)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        self.ended = self.ended or not data
        self.data += data

    def answer(self):
        """The next frame: (kind, number, payload)."""

        def complete():
            self.read()
            return (
                len(self.data) >= HEAD.size and len(self.data) >= HEAD.size + HEAD.unpack_from(self.data)[0]
            )

        self.rig.until(complete)
        length, kind, number = HEAD.unpack_from(self.data)
        payload = self.data[HEAD.size : HEAD.size + length]
        self.data = self.data[HEAD.size + length :]
        return kind, number, msgpack.unpackb(payload) if payload else None

    def until_ended(self):
        """Wait until the server has closed the connection."""

        def ended():
            self.read()
            return self.ended

        self.rig.until(ended)


def records(number, *messages):
    return frame_of(intake_frames.RECORDS, number, [log_record(message=text) for text in messages])


@pytest.fixture
def rig(tmp_path):
    rig = Rig(tmp_path)
    yield rig
    rig.close()


def test_records_are_acknowledged_when_they_are_journaled(rig):
    """WELCOME, then ACCEPTED for each frame once the journal has it; its mark is the frame's number."""
    client = rig.connect()
    assert client.hello() == (intake_frames.WELCOME, 0, None)
    client.records(1, "one", "two")
    assert client.answer() == (intake_frames.ACCEPTED, 1, None)
    assert rig.messages() == ["one", "two"]
    key = f"socket:{os.getuid()}:app"
    assert rig.journal.marks == {key: 1}
    source, mark, origin, _ = rig.journal.groups()[0]
    assert (source, mark) == (key, 1)
    assert origin.startswith(f"uid {os.getuid()}")


def test_one_answer_acknowledges_many_frames(rig):
    """ACCEPTED is cumulative: frames of one batch are answered together."""
    client = rig.connect()
    client.hello()
    client.send(b"".join(records(number, f"m{number}") for number in range(1, 101)))
    kind, number, _ = client.answer()
    while number < 100:
        kind, number, _ = client.answer()
    assert (kind, number) == (intake_frames.ACCEPTED, 100)
    assert rig.messages() == [f"m{number}" for number in range(1, 101)]
    assert len(rig.journal.batches) < 20


@pytest.mark.threat("other-user")
def test_the_socket_is_for_this_user_alone(rig):
    """Nobody else can connect, whatever the directory's mode is."""
    assert stat.S_IMODE(os.stat(rig.path).st_mode) == 0o600
    assert rig.server.addresses() == [rig.path]


def test_a_frame_sent_again_is_stored_once(rig):
    """A client that was cut off before it heard resends; so it may at any later time."""
    client = rig.connect()
    client.hello()
    client.records(1, "one")
    client.answer()
    client.sock.close()
    again = rig.connect()
    assert again.hello() == (intake_frames.WELCOME, 1, None)
    again.records(1, "one")
    assert again.answer() == (intake_frames.ACCEPTED, 1, None)
    again.records(2, "two")
    assert again.answer() == (intake_frames.ACCEPTED, 2, None)
    assert rig.messages() == ["one", "two"]
    assert rig.server.stats.resent == 1


def test_a_frame_sent_again_while_the_first_still_waits_is_stored_once(rig):
    """Received and not yet journaled counts as received, on whichever connection it comes again."""
    rig.batcher.linger = 0.2
    client = rig.connect()
    client.hello()
    client.records(1, "one")
    rig.until(lambda: rig.batcher.waiting == 1)
    again = rig.connect()
    assert again.hello() == (intake_frames.WELCOME, 0, None)
    again.send(records(1, "one") + records(2, "two"))
    kind, number, _ = again.answer()
    assert kind == intake_frames.ACCEPTED
    if number == 1:
        assert again.answer() == (intake_frames.ACCEPTED, 2, None)
    assert rig.messages() == ["one", "two"]


def test_a_source_speaks_on_its_newest_connection(rig):
    """The older one is told why it ends; what it sends afterwards is not stored under that source."""
    old = rig.connect()
    old.hello()
    new = rig.connect()
    new.hello()
    kind, _, payload = old.answer()
    assert kind == intake_frames.ERROR
    assert "another connection" in payload["reason"]
    old.until_ended()
    new.records(1, "one")
    assert new.answer() == (intake_frames.ACCEPTED, 1, None)


def test_after_a_restart_the_marks_of_the_journal_count(rig):
    """What was accepted before a restart is not accepted again after it."""
    client = rig.connect()
    client.hello()
    client.records(5, "five")
    client.answer()
    rig.server.close()
    rig.start()
    again = rig.connect()
    assert again.hello() == (intake_frames.WELCOME, 5, None)
    again.send(records(5, "five") + records(6, "six"))
    while again.answer()[1] < 6:
        pass
    assert rig.messages() == ["five", "six"]


def test_producers_without_a_source_id_do_not_share_one(rig):
    """Two of them count from 1 each, nothing of either is taken for a resend, and no mark is kept."""
    for name in ("a", "b"):
        client = rig.connect()
        assert client.hello(source="") == (intake_frames.WELCOME, 0, None)
        client.records(1, name)
        assert client.answer() == (intake_frames.ACCEPTED, 1, None)
    assert rig.messages() == ["a", "b"]
    assert rig.journal.marks == {}


@pytest.mark.threat("false-user")
def test_tcp_clients_are_unauthenticated_and_have_their_own_sources(tmp_path):
    """A source id said over TCP is another source than the same id said on the unix socket."""
    rig = Rig(tmp_path, tcp="127.0.0.1:0")
    try:
        local = rig.connect()
        local.hello()
        local.records(1, "local")
        local.answer()
        host, port = rig.server.addresses()[1].removeprefix("tcp ").split(":")
        client = rig.connect((host, int(port)))
        assert client.hello() == (intake_frames.WELCOME, 0, None)
        client.records(1, "far")
        assert client.answer() == (intake_frames.ACCEPTED, 1, None)
        assert rig.journal.groups()[1][:3] == ["tcp:127.0.0.1:app", 1, "unauthenticated 127.0.0.1"]
    finally:
        rig.close()


@pytest.mark.threat("false-user")
def test_no_client_is_another_user_by_saying_so(tmp_path):
    """Neither in its hello, nor in a record, nor in a line of JSON: the kernel's word is the origin."""
    rig = Rig(tmp_path, users=Users(str(tmp_path / "none")))
    try:
        client = rig.connect()
        claim = {"origin": "uid 0 (root)", "uid": 0, "user": "root", "peer": "uid 0"}
        hello = {"v": 1, "source": "uid:0:app", "service": "svc", **claim}
        client.send(frame_of(intake_frames.HELLO, 0, hello))
        assert client.answer()[0] == intake_frames.WELCOME
        client.records(1, "framed")
        client.answer()
        lines = rig.connect()
        lines.send(json.dumps({"message": "line", **claim}).encode() + b"\n")
        rig.until(lambda: len(rig.messages()) == 2)
        assert {group[2] for group in rig.journal.groups()} == {f"uid {os.getuid()}"}
    finally:
        rig.close()


def test_users_are_named_by_the_passwd_file(tmp_path):
    """The origin shows who said it, by number and by name."""
    passwd = tmp_path / "passwd"
    passwd.write_text(f"alice:x:{os.getuid()}:0::/:/bin/sh\n")
    rig = Rig(tmp_path, users=Users(str(passwd)))
    try:
        client = rig.connect()
        client.hello()
        client.records(1, "one")
        client.answer()
        assert rig.journal.groups()[0][2] == f"uid {os.getuid()} (alice)"
        assert rig.server.clients() == [
            {
                "origin": f"uid {os.getuid()} (alice)",
                "source": "app",
                "service": "svc",
                "protocol": "binary",
                "records": 1,
            }
        ]
    finally:
        rig.close()


def test_json_lines_need_no_hello_and_get_no_answer(rig):
    """A line is a record; the last one counts without its newline."""
    client = rig.connect()
    client.send(b'{"msg": "one"}\nplain\n{"msg": "th')
    rig.until(lambda: len(rig.messages()) == 2)
    client.send(b'ree"}')
    client.sock.shutdown(socket.SHUT_WR)
    client.until_ended()
    rig.until(lambda: len(rig.messages()) == 3)
    assert rig.messages() == ["one", "plain", "three"]
    assert client.data == b""


def test_a_client_may_finish_writing_and_still_hear_its_answers(rig):
    """A half-closed connection is closed when everything it sent is acknowledged."""
    rig.batcher.linger = 0.05
    client = rig.connect()
    client.hello()
    client.records(1, "one")
    client.sock.shutdown(socket.SHUT_WR)
    assert client.answer() == (intake_frames.ACCEPTED, 1, None)
    client.until_ended()


@pytest.mark.parametrize("size", [0, 1, 12, 13, 40])
def test_a_client_cut_in_mid_frame_costs_nothing(rig, size):
    """Half a frame is never stored, and the next client is served."""
    client = rig.connect()
    client.hello()
    client.send(records(1, "half")[:size])
    client.sock.close()
    other = rig.connect()
    other.hello("other")
    other.records(1, "whole")
    assert other.answer() == (intake_frames.ACCEPTED, 1, None)
    rig.until(lambda: len(rig.server.clients()) == 1)
    assert rig.messages() == ["whole"]


def test_a_refused_frame_is_counted_and_the_connection_goes_on(rig):
    """REFUSED names the frame and the reason; frames before and after it are stored."""
    client = rig.connect()
    client.hello()
    client.send(records(1, "one") + frame_of(intake_frames.RECORDS, 2, [{"a": 1}]) + records(3, "three"))
    kind, number, payload = client.answer()
    assert (kind, number) == (intake_frames.REFUSED, 2)
    assert "map" in payload["reason"]
    assert client.answer() == (intake_frames.ACCEPTED, 3, None)
    assert rig.messages() == ["one", "three"]
    assert rig.server.stats.refused == 1


def test_a_refusal_that_was_lost_is_told_in_the_next_welcome(rig):
    """Also by an agent that was started again: what was refused is journaled with the frames after it."""
    client = rig.connect()
    client.hello()
    client.send(records(1, "one") + frame_of(intake_frames.RECORDS, 2, [{"a": 1}]) + records(3, "three"))
    rig.until(lambda: rig.messages() == ["one", "three"])
    client.sock.close()  # no answer was read
    assert rig.connect().hello() == (intake_frames.WELCOME, 3, {"refused": [2]})
    rig.server.close()
    rig.start()
    again = rig.connect()
    assert again.hello() == (intake_frames.WELCOME, 3, {"refused": [2]})
    again.records(3 + intake_frames.MOST_UNANSWERED, "long after")
    again.answer()
    assert rig.connect().hello() == (intake_frames.WELCOME, 3 + intake_frames.MOST_UNANSWERED, None)


def test_a_broken_protocol_is_answered_with_a_reason_and_the_end(rig):
    """What was understood before is stored; bytes after it are read and thrown away."""
    client = rig.connect()
    client.hello()
    client.send(records(1, "one") + frame_of(77) + b"x" * 100_000)
    kind, _, payload = client.answer()
    assert (kind, "77" in payload["reason"]) == (intake_frames.ERROR, True)
    client.until_ended()
    rig.until(lambda: rig.messages() == ["one"])
    assert rig.server.stats.violations == 1


def test_pings_are_answered(rig):
    """PONG says that the agent is alive, without a HELLO."""
    client = rig.connect()
    client.send(frame_of(intake_frames.PING))
    assert client.answer() == (intake_frames.PONG, 0, None)


def test_too_many_clients_are_turned_away_with_a_reason(tmp_path):
    """The one too many is told so; when another leaves there is room again."""
    rig = Rig(tmp_path, max_clients=2)
    try:
        first, second = rig.connect(), rig.connect()
        first.hello("a")
        second.hello("b")
        third = rig.connect()
        kind, _, payload = third.answer()
        assert kind == intake_frames.ERROR
        assert "agent.max_clients" in payload["reason"]
        third.until_ended()
        first.sock.close()
        rig.until(lambda: len(rig.server.clients()) == 1)
        assert rig.connect().hello("c") == (intake_frames.WELCOME, 0, None)
        assert rig.server.stats.turned_away == 1
    finally:
        rig.close()


def test_a_journal_that_cannot_be_written_makes_clients_wait(rig):
    """Nothing is read, nothing acknowledged, memory stays bounded; afterwards nothing is missing or doubled."""
    client = rig.connect()
    client.hello()
    rig.journal.error = JournalError("the disk is full")
    sent = b"".join(records(number, f"{number} " + "x" * 20_000) for number in range(1, 201))
    done = client.offer(sent)
    rig.until(lambda: rig.batcher.blocked is not None)
    for _ in range(20):
        done += client.offer(sent[done:])
        rig.loop.turn(0.01)
    assert done < len(sent) / 2, "back-pressure reaches the client"
    assert rig.batcher.waiting * 20_000 < 2_000_000
    assert client.data == b""
    late = rig.connect()
    rig.loop.turn(0.01)
    rig.journal.error = None
    client.send(sent[done:])
    while client.answer()[1] < 200:
        pass
    assert [text.split()[0] for text in rig.messages()] == [str(number) for number in range(1, 201)]
    assert late.hello("late")[0] == intake_frames.WELCOME


def test_a_client_that_does_not_read_its_answers_is_not_read_from(rig):
    """Refusals nobody reads do not pile up in the agent; other clients are served meanwhile."""
    client = rig.connect()
    client.hello()
    bad = frame_of(intake_frames.RECORDS, 1, [{"a": 1}])
    flood = bad * 40_000
    sent = 0
    for _ in range(200):
        sent += client.offer(flood[sent:])
        rig.loop.turn(0.001)
    assert sent < len(flood)
    other = rig.connect()
    other.hello("other")
    other.records(1, "one")
    assert other.answer() == (intake_frames.ACCEPTED, 1, None)
    refusals = rig.server.stats.refused
    assert refusals < 40_000
    while client.answer()[0] == intake_frames.REFUSED and rig.server.stats.refused == refusals:
        pass
    assert rig.server.stats.refused > refusals, "once its answers are read, so is it"


def test_unfinished_frames_of_many_clients_are_bounded(rig, monkeypatch):
    """When they hold too much together, the one silent longest is cut off; the others go on."""
    monkeypatch.setattr(server, "MOST_UNFINISHED", 2_000_000)
    clients = [rig.connect() for _ in range(4)]
    for number, client in enumerate(clients):
        client.hello(f"s{number}")
        client.send(HEAD.pack(MAX_BODY, intake_frames.RECORDS, 1) + b"\0" * 900_000)
        rig.loop.turn(0.01)
    kind, _, payload = clients[0].answer()
    assert kind == intake_frames.ERROR
    assert "unfinished" in payload["reason"]
    rig.until(lambda: rig.server.stats.stalled == 2)
    clients[3].send(b"\0" * (MAX_BODY - 900_000))
    assert clients[3].answer()[0] == intake_frames.REFUSED


def test_a_stale_socket_is_replaced_and_anything_else_is_not(tmp_path):
    """A dead agent's socket does not keep the next one from starting; a file that lies there does."""
    path = tmp_path / "intake.sock"
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    dead.close()
    rig = Rig(tmp_path)
    assert rig.connect().hello()[0] == intake_frames.WELCOME
    rig.close()
    assert not path.exists()
    path.write_text("precious")
    with pytest.raises(IntakeError, match="in the way"):
        Rig(tmp_path)
    assert path.read_text() == "precious"


def test_a_removed_socket_file_comes_back(rig, monkeypatch):
    """A cleaner of temporary directories does not cut the agent off for good."""
    os.unlink(rig.path)
    rig.server._sweep_clients()
    assert rig.connect().hello()[0] == intake_frames.WELCOME


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "127.0.0.1:http:x", "127.0.0.1:99999", "no.such.host.invalid:1"]
)
def test_an_unusable_tcp_address_is_said(tmp_path, address):
    """The error names the setting; nothing is left listening."""
    with pytest.raises(IntakeError, match=r"intake\.tcp"):
        Rig(tmp_path, tcp=address)
    assert not (tmp_path / "intake.sock").exists()


def test_a_busy_port_is_said(tmp_path):
    """So is a port that another program has."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(IntakeError, match="in use"):
            Rig(tmp_path, tcp=f"127.0.0.1:{other.getsockname()[1]}")


def test_without_file_descriptors_clients_wait_and_the_loop_does_not_spin(rig):
    """The listener rests for a second at a time; once there are descriptors again the client is served."""
    clients = [rig.connect() for _ in range(3)]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (clients[-1].sock.fileno() + 1, hard))
    try:
        rig.loop.turn(0.05)
        assert rig.server.clients() == []
        turns = 0
        end = rig.loop.now() + 0.2
        while rig.loop.now() < end:
            rig.loop.turn(0.1)
            turns += 1
        assert turns < 20
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    for number, client in enumerate(clients):
        assert client.hello(f"s{number}") == (intake_frames.WELCOME, 0, None)


def test_a_client_left_in_mid_frame_is_cut_off_in_the_end(rig, monkeypatch):
    """After a minute of silence; one that was silent because the agent did not read is not."""
    monkeypatch.setattr(server, "STALLED_SECONDS", 0.0)
    client, idle = rig.connect(), rig.connect()
    client.hello("stalled")
    idle.hello("idle")
    client.send(records(1, "half")[:20])
    rig.until(lambda: rig.server._held)
    rig.batcher.blocked = JournalError("the disk is full")
    rig.server._sweep_clients()
    assert rig.server.stats.stalled == 0
    rig.batcher.blocked = None
    rig.server._sweep_clients()
    kind, _, payload = client.answer()
    assert (kind, "unfinished" in payload["reason"]) == (intake_frames.ERROR, True)
    idle.records(1, "one")
    assert idle.answer() == (intake_frames.ACCEPTED, 1, None)


def test_records_that_name_no_product_get_the_node_s(tmp_path):
    """On both protocols."""
    rig = Rig(tmp_path, defaults=Defaults(product="shop"))
    try:
        client = rig.connect()
        client.hello()
        client.records(1, "framed")
        client.answer()
        lines = rig.connect()
        lines.send(b'{"message": "line"}\n{"message": "named", "product": "bank"}\n')
        rig.until(lambda: len(rig.messages()) == 3)
        products = {record[MESSAGE]: record[LOG_INDEX["product"]] for record in rig.journal.records()}
        assert products == {"framed": "shop", "line": "shop", "named": "bank"}
    finally:
        rig.close()
