"""OTLP/HTTP over real connections: answers only for what is journaled, bounds, and clients of every manner."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import socket
import threading
from collections.abc import Callable, Mapping
from typing import Any, Self

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from tabard.agents.intake.bridge import otlp_client, otlp_intake
from tabard.agents.intake.bridge.otlp_http import JSON, MOST_BODY, MOST_JSON, PROTOBUF, Conversation
from tabard.agents.intake.bridge.otlp_intake import OtlpIntake
from tabard.agents.intake.bridge.otlp_resent import REMEMBERED_SECONDS, Resends
from tabard.errors import JournalError
from tests.unit.bridge.exporting import Application
from tests.unit.bridge.rig import Rig

PATIENCE = 30.0


def otlp(max_clients: int = 256, marks: Mapping[str, Any] | None = None) -> Rig:
    return Rig(lambda around: [OtlpIntake("127.0.0.1:0", around)], max_clients=max_clients, marks=marks)


def port(rig: Rig) -> int:
    return int(rig.intake.report().address.split(":")[2].partition("/")[0])


def body(*messages: str, time: int = 10**18) -> bytes:
    made = ExportLogsServiceRequest()
    part = made.resource_logs.add().scope_logs.add()
    part.log_records.extend(
        LogRecord(body=AnyValue(string_value=message), time_unix_nano=time) for message in messages
    )
    raw: bytes = made.SerializeToString()
    return raw


def posted(data: bytes, **headers: str) -> bytes:
    fields = {"Host": "x", "Content-Type": PROTOBUF, "Content-Length": str(len(data))}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items() if value)
    return b"POST /v1/logs HTTP/1.1\r\n" + head.encode() + b"\r\n" + data


class Caller:
    """A client whose bytes are written by hand, while the rig turns."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self.sock = socket.create_connection(("127.0.0.1", port(rig)))
        self.sock.setblocking(False)
        self._unread = b""

    def say(self, data: bytes) -> None:
        """Send it all."""
        view = memoryview(data)
        while view:
            with contextlib.suppress(BlockingIOError):
                view = view[self.sock.send(view) :]
            self._rig.loop.turn(0.001)

    def hear(self) -> tuple[int, dict[str, str], bytes]:
        """The next answer."""
        self._rig.until(lambda: b"\r\n\r\n" in self._more())
        head, _, rest = self._unread.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        length = int(fields.get("content-length", 0))
        while len(rest) < length:
            self._rig.loop.turn(0.01)
            rest = self._more().partition(b"\r\n\r\n")[2]
        self._unread = rest[length:]
        return int(first.split()[1]), fields, rest[:length]

    def ended(self) -> bool:
        """Whether the other side has closed."""
        self._more()
        return self._end

    _end = False

    def _more(self) -> bytes:
        try:
            data = self.sock.recv(65_536)
            self._end = not data
            self._unread += data
        except BlockingIOError:
            pass
        except ConnectionResetError:
            self._end = True
        return self._unread

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()


def messages(rig: Rig) -> list[str]:
    return [record["message"] for record in rig.records()]


# --- what is answered ----------------------------------------------------------------------------------


def test_a_request_is_answered_once_it_is_journaled() -> None:
    """And the connection takes the next one."""
    with otlp() as rig, Caller(rig) as caller:
        for number in range(3):
            caller.say(posted(body(f"n {number}")))
            status, fields, answer = caller.hear()
            assert (status, fields["content-type"], answer) == (200, PROTOBUF, b"")
            assert messages(rig)[-1] == f"n {number}"
        assert rig.intake.report().clients[0]["records"] == 3
        (group, *_) = rig.journal.groups()
    assert group[2] == "unauthenticated 127.0.0.1"


def test_json_is_answered_in_json() -> None:
    """As curl would send it, in chunks and with a question for leave to go on."""
    said = json.dumps(
        {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"body": {"stringValue": "hi"}}, 5]}]}]}
    ).encode()
    with otlp() as rig, Caller(rig) as caller:
        caller.say(
            b"POST /v1/logs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json; charset=utf-8\r\n"
            b"Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"
        )
        assert caller.hear()[0] == 100
        caller.say(b"%x\r\n%b\r\n0\r\n\r\n" % (len(said), said))
        status, fields, answer = caller.hear()
    assert (status, fields["content-type"]) == (200, JSON)
    assert json.loads(answer)["partialSuccess"]["rejectedLogRecords"] == "1"
    assert messages(rig) == ["hi"]


def test_half_a_surrogate_pair_is_stored_as_what_it_is() -> None:
    """Javascript cuts texts so: wherever it stands, nothing of the request is lost for it."""
    odd = {"stringValue": "a\ud83d"}
    record = {"body": odd, "severityText": "\udc00", "attributes": [{"key": "k\ud800", "value": odd}]}
    resource = {"attributes": [{"key": "service.name", "value": odd}, {"key": "x\ud800", "value": odd}]}
    scope = {"name": "s\ud800", "version": "\ud800"}
    group = {"resource": resource, "scopeLogs": [{"scope": scope, "logRecords": [record, {"body": odd}]}]}
    with otlp() as rig, Caller(rig) as caller:
        caller.say(posted(json.dumps({"resourceLogs": [group]}).encode(), Content_Type=JSON))
        assert caller.hear()[0] == 200
        assert messages(rig) == ["a\ufffd"] * 2
        assert rig.records()[0]["service"] == "a\ufffd"


def test_pipelined_requests_are_answered_in_order() -> None:
    """All of them, though they came at once."""
    with otlp() as rig, Caller(rig) as caller:
        caller.say(b"".join(posted(body(f"n {number}")) for number in range(20)))
        assert [caller.hear()[0] for _ in range(20)] == [200] * 20
    assert messages(rig) == [f"n {number}" for number in range(20)]


def test_requests_byte_by_byte_and_in_gzip() -> None:
    """Of several members too."""
    squeezed = gzip.compress(body("one", "two")[:10]) + gzip.compress(body("one", "two")[10:])
    with otlp() as rig, Caller(rig) as caller:
        for byte in posted(squeezed, Content_Encoding="gzip"):
            caller.say(bytes([byte]))
        assert caller.hear()[0] == 200
    assert messages(rig) == ["one", "two"]


def test_an_empty_request_is_a_success() -> None:
    """As the protocol says."""
    with otlp() as rig, Caller(rig) as caller:
        caller.say(posted(b""))
        assert caller.hear()[0] == 200


def test_a_large_request_is_stored_in_order() -> None:
    """In many batches, and answered behind the last."""
    wanted = [f"n {number}" for number in range(20_000)]
    with otlp() as rig, Caller(rig) as caller:
        caller.say(posted(gzip.compress(body(*wanted), 1), Content_Encoding="gzip"))
        assert caller.hear()[0] == 200
        assert messages(rig) == wanted


def test_records_beyond_the_most_are_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer says how many; the others are stored."""
    monkeypatch.setattr(otlp_intake, "MOST_RECORDS", 3)
    with otlp() as rig, Caller(rig) as caller:
        caller.say(posted(body("1", "2", "3", "4", "5")))
        status, _, answer = caller.hear()
        assert status == 200
        assert answer[:4] == b"\x0a" + bytes([len(answer) - 2]) + b"\x08\x02"
        assert rig.counted("rejected") == 2
    assert messages(rig) == ["1", "2", "3"]


# --- what is refused -----------------------------------------------------------------------------------

BOMB = gzip.compress(bytes(MOST_BODY + 10))


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (posted(b"\xff\xff\xff"), 400),
        (posted(b"{", Content_Type=JSON), 400),
        (posted(body("x"), Content_Encoding="gzip"), 400),
        (posted(gzip.compress(body("x"))[:-3], Content_Encoding="gzip"), 400),
        (posted(body("x")).replace(b"/v1/logs", b"/v1/traces"), 404),
        (b"GET /v1/logs HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (posted(BOMB, Content_Encoding="gzip"), 413),
        (posted(body("x"), Content_Type="text/plain"), 415),
        (posted(body("x"), Content_Type=""), 415),
        (posted(body("x"), Content_Encoding="br"), 415),
    ],
)
def test_bad_requests_get_the_right_status_and_the_connection_goes_on(request_: bytes, status: int) -> None:
    """Nothing of them is stored, they are counted, and an operator sees why."""
    with otlp() as rig, Caller(rig) as caller:
        caller.say(request_)
        found, _, answer = caller.hear()
        assert found == status
        assert answer
        caller.say(posted(body("next")))
        assert caller.hear()[0] == 200
        assert rig.counted(f"answered {status}") == 1
        assert rig.intake.report().faults
    assert messages(rig) == ["next"]


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (posted(b"", Content_Length=str(MOST_BODY + 1)), 413),
        (posted(b"", Content_Type=JSON, Content_Length=str(MOST_JSON + 1)), 413),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64), 400),
        (b"POST /v1/logs HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 4_000, 431),
    ],
)
def test_what_is_no_http_or_too_much_ends_the_connection(request_: bytes, status: int) -> None:
    """After an answer that says why, where that is possible."""
    with otlp() as rig, Caller(rig) as caller:
        caller.say(request_)
        assert caller.hear()[0] == status
        rig.until(caller.ended)


def test_a_bomb_never_takes_its_size_in_memory() -> None:
    """Sixty-four MiB of zeros in a few bytes: let go of as soon as it is too large."""
    conversation = Conversation()
    raw = posted(gzip.compress(bytes(64 * 1_048_576)), Content_Encoding="gzip")
    most, request = 0, None
    for at in range(0, len(raw), 1_024):
        request = conversation.feed(raw[at : at + 1_024])
        most = max(most, conversation.held)
    assert request is not None
    assert request.refusal is not None
    assert request.refusal.status == 413
    assert most <= MOST_BODY


@given(st.lists(st.binary(max_size=200), max_size=5), st.booleans())
def test_nonsense_never_raises(pieces: list[bytes], sensible: bool) -> None:
    """Whatever is said, behind the beginning of a request too."""
    conversation = Conversation()
    if sensible:
        pieces = [posted(b"")[:-4], *pieces]
    for piece in pieces:
        request = conversation.feed(piece)
        if request is not None:
            conversation.answer(200, b"")
        if conversation.over:
            return


# --- the journal, and clients that are slow or gone ----------------------------------------------------


def test_while_nothing_can_be_stored_clients_are_told_to_come_again() -> None:
    """Those that were taken before are answered when it is stored."""
    with otlp() as rig, Caller(rig) as early, Caller(rig) as late:
        rig.journal.error = JournalError("full")
        early.say(posted(body("early")))
        rig.until(lambda: rig.batcher.blocked is not None)
        late.say(posted(body("late")))
        status, fields, _ = late.hear()
        assert (status, fields["retry-after"]) == (503, "5")
        rig.journal.error = None
        assert early.hear()[0] == 200
        late.say(posted(body("late")))
        assert late.hear()[0] == 200
    assert messages(rig) == ["early", "late"]


def test_a_request_sent_again_while_it_waits_is_stored_once() -> None:
    """And so is one whose client was gone before it could be told; only then are equal requests the same."""
    with otlp() as rig, Caller(rig) as first:
        rig.journal.error = JournalError("full")
        first.say(posted(body("once")))
        rig.until(lambda: rig.batcher.blocked is not None)
        first.sock.close()
        rig.journal.error = None
        rig.until(lambda: rig.counted("unheard") == 1)
        with Caller(rig) as second:
            for _ in range(2):
                second.say(posted(body("once")))
                assert second.hear()[0] == 200
        assert rig.counted("resent") == 1
    assert messages(rig) == ["once", "once"]


def test_the_next_agent_knows_what_was_journaled_if_its_records_say_their_time() -> None:
    """Of the last request that came; without times the same words may be said twice."""
    with otlp() as rig, Caller(rig) as caller:
        for said in (body("dated"), body("undated", time=0), body("last")):
            caller.say(posted(said))
            assert caller.hear()[0] == 200
        marks = dict(rig.journal.marks)
    with otlp(marks=marks) as rig, Caller(rig) as caller:
        for said in (body("dated"), body("undated", time=0), body("dated"), body("last"), body("next")):
            caller.say(posted(said))
            assert caller.hear()[0] == 200
        assert rig.counted("resent") == 3
        assert messages(rig) == ["undated", "next"]
        assert set(rig.journal.marks).isdisjoint(marks)  # what is remembered is not forgotten for one more


def test_a_request_that_was_journaled_in_part_is_gone_on_with() -> None:
    """By the number of its records, whatever the batches of the next agent are."""
    said = body(*(f"n {number}" for number in range(600)))
    with otlp() as rig, Caller(rig) as caller:
        caller.say(posted(said))
        assert caller.hear()[0] == 200
        ((place, whole),) = rig.journal.marks.items()
    digest, taken, rejected, at = whole
    assert (taken, rejected) == (600, 0)
    with otlp(marks={place: [digest, 300, -1, at]}) as rig, Caller(rig) as caller:
        caller.say(posted(said))
        assert caller.hear()[0] == 200
        assert messages(rig) == [f"n {number}" for number in range(300, 600)]
        assert list(rig.journal.marks.values())[-1][1:3] == [600, 0]


@pytest.mark.parametrize(
    "mark", [None, 7, [b"d", 1, 0], [b"d", 1, 0, "then"], ["d", 1, 0, 10**18], [b"d", 1, True, 10**18]]
)
def test_marks_that_are_none_are_passed_over(mark: Any) -> None:
    """Of another version, perhaps."""
    resends: Resends[str] = Resends({"otlp:0": mark, "otlp:x": mark, "file:/x": mark}, 10**18, 0.0)
    assert resends.known(b"d", 0.0) is None
    assert resends.place() == "otlp:0"


def test_marks_are_believed_for_a_while() -> None:
    """From when they were made, by the clock on the wall; a place is used again after all others."""
    marks = {f"otlp:{place}": [b"%d" % place, 1, 0, 10**18 + place] for place in range(5)}
    resends: Resends[str] = Resends(marks, 10**18 + 10 * 10**9, 100.0)
    assert resends.known(b"4", 100.0 + REMEMBERED_SECONDS - 11) == 0
    assert resends.known(b"4", 100.0 + REMEMBERED_SECONDS - 9) is None
    assert resends.place() == "otlp:5"


def test_a_fault_of_the_agent_s_own_is_answered_and_survived(monkeypatch: pytest.MonkeyPatch) -> None:
    """With 500; the next request is taken."""
    with otlp() as rig, Caller(rig) as caller:
        with monkeypatch.context() as broken:
            broken.setattr(otlp_intake, "Mapper", None)
            caller.say(posted(body("x")))
            assert caller.hear()[0] == 500
        caller.say(posted(body("next")))
        assert caller.hear()[0] == 200
    assert messages(rig) == ["next"]


def test_what_nobody_heard_of_is_forgotten_after_a_while() -> None:
    """And told to all who asked while it waited."""
    resends: Resends[str] = Resends({}, 0, 0.0)
    assert not resends.waits(b"d", "a")
    resends.begin(b"d", "a")
    assert resends.waits(b"d", "b")
    assert resends.done(b"d") == ["a", "b"]
    resends.unheard(b"d", 2, 100.0)
    assert resends.known(b"d", 101.0) == 2
    assert resends.known(b"d", 101.0) is None
    resends.unheard(b"d", 0, 100.0)
    assert resends.known(b"d", 101.0 + REMEMBERED_SECONDS) is None


def test_stalled_clients_are_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """One in the middle of a request, with an answer; an idle one not before it is of no use."""
    monkeypatch.setattr(otlp_client, "STALLED_SECONDS", 0.2)
    monkeypatch.setattr(otlp_intake, "_SWEEP_SECONDS", 0.1)
    with otlp() as rig, Caller(rig) as stalled, Caller(rig) as idle, Caller(rig) as halfway:
        stalled.say(b"POST /v1/logs HT")
        halfway.say(posted(body("x"))[:-2])
        assert halfway.hear()[0] == 408
        rig.until(stalled.ended)
        assert rig.counted("stalled") == 2
        assert not idle.ended()


def test_requests_of_all_clients_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """One too many is told to come again, and the others go on."""
    monkeypatch.setattr(otlp_intake, "MOST_HELD", 1_000)
    large = posted(body("x" * 900))
    with otlp() as rig, Caller(rig) as first, Caller(rig) as second:
        first.say(large[:-5])
        rig.until(lambda: any(client.held for client in rig.intake._clients))  # type: ignore[attr-defined]
        second.say(large[:-5])
        second.say(large[-5:])
        assert second.hear()[0] == 503
        first.say(large[-5:])
        assert first.hear()[0] == 200
    assert len(messages(rig)) == 1


def test_more_clients_than_allowed_are_turned_away() -> None:
    """And counted."""
    with otlp(max_clients=1) as rig, Caller(rig) as first:
        first.say(posted(body("x")))
        assert first.hear()[0] == 200
        with Caller(rig) as second:
            rig.until(second.ended)
        assert rig.counted("turned away") == 1


def test_a_clean_stop_answers_what_was_taken() -> None:
    """So that the exporter need not send it again."""
    rig = otlp()
    rig.batcher.linger = 60.0
    with rig:
        caller = Caller(rig)
        caller.say(posted(body("last")))
        rig.until(lambda: rig.batcher.waiting == 1)
    assert caller.hear()[0] == 200
    assert messages(rig) == ["last"]
    caller.sock.close()


# --- the official exporter -----------------------------------------------------------------------------


def beside(rig: Rig, work: Callable[[], Any]) -> None:
    """Turn the loop while `work` runs in a thread."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    rig.until(lambda: not thread.is_alive())
    thread.join()
    if failed:
        raise failed[0]


def test_http_clients_of_the_standard_library_are_understood() -> None:
    """With its own way of writing requests."""
    with otlp() as rig:
        where = port(rig)
        found = []

        def work() -> None:
            connection = http.client.HTTPConnection("127.0.0.1", where, timeout=PATIENCE)
            for message in ("a", "b"):
                connection.request("POST", "/v1/logs", body(message), {"Content-Type": PROTOBUF})
                answer = connection.getresponse()
                found.append((answer.status, answer.read()))
            connection.close()

        beside(rig, work)
    assert found == [(200, b""), (200, b"")]
    assert messages(rig) == ["a", "b"]


@pytest.mark.parametrize("squeezed", [False, True])
def test_the_official_exporter_is_understood(squeezed: bool) -> None:
    """Plain and in gzip; every field arrives, structured bodies as JSON."""
    with otlp() as rig:
        address = f"127.0.0.1:{port(rig)}"

        def work() -> None:
            application = Application(address, squeezed=squeezed)
            for number in range(2_000):
                application.say(f"n {number}", order=number)
            application.say({"sold": [1, 2.5, None, True]})
            application.end()

        beside(rig, work)
    found = rig.records()
    assert [record["message"] for record in found[:-1]] == [f"n {number}" for number in range(2_000)]
    assert json.loads(found[-1]["message"]) == {"sold": [1, 2.5, None, True]}
    first = found[0]
    assert json.loads(first.pop("attributes")) == {"order": 0, "host": "web1", "scope": {"version": "3"}}
    assert first == {
        "time": 1_763_765_724_000_000_000, "severity": 13, "level": "WARN", "service": "shop", "version": "1.2",
        "logger": "shop.till", "message": "n 0",
    }  # fmt: skip
