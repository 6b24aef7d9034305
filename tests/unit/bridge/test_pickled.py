"""The intake for SocketHandlers over real sockets: bursts, cuts, wrong lengths, hostile clients, back-pressure."""

from __future__ import annotations

import contextlib
import json
import logging
import logging.handlers
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tabard.agents.intake.bridge.pickled import MOST_BYTES, MOST_SKIPPED, made
from tabard.agents.intake.bridge.streams import MOST_HELD, STALLED_SECONDS
from tabard.agents.intake.defaults import Defaults
from tabard.errors import IntakeError
from tabard.home import Home
from tabard.settings import load
from tests.unit.bridge.rig import Rig
from tests.unit.bridge.samples import CAPTURES, attributes, framed, record_pickle

HOSTILE = b"cos\nsystem\n(Vid\ntR."


def rig(directory: Path, defaults: Defaults | None = None, max_clients: int = 256) -> Rig:
    """The intake at a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    settings = load(Home(directory), env={}, args={"intake.socket_handler": address})
    return Rig(lambda around: made(settings, around), defaults or Defaults(), max_clients)


@pytest.fixture
def intake(tmp_path: Path) -> Iterator[Rig]:
    """One that is open."""
    with rig(tmp_path) as opened:
        yield opened


@contextlib.contextmanager
def client(intake: Rig) -> Iterator[socket.socket]:
    """A connection."""
    with socket.create_connection(("127.0.0.1", intake.port)) as sock:
        sock.settimeout(30)
        yield sock


@contextlib.contextmanager
def logger(intake: Rig) -> Iterator[logging.Logger]:
    """A logger of the standard library that sends to the intake."""
    log = logging.Logger("shop.orders", 1)  # noqa: LOG001 -- of no use to anybody else
    handler = logging.handlers.SocketHandler("127.0.0.1", intake.port)
    log.addHandler(handler)
    try:
        yield log
    finally:
        handler.close()


def apart(what: Callable[[], object]) -> threading.Thread:
    """Run something while the intake turns."""
    thread = threading.Thread(target=what)
    thread.start()
    return thread


def record(number: int, size: int = 0) -> bytes:
    """A pickled record with a number in its message."""
    return record_pickle(attributes(msg=f"number {number}" + "x" * size))


def hung_up(sock: socket.socket) -> bool:
    """Whether the intake closed the connection."""
    sock.setblocking(False)
    try:
        return not sock.recv(1)
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


def test_a_burst_of_five_thousand_is_stored_once_and_in_order(intake: Rig) -> None:
    """Through the standard library's handler, with records of 6 kB, extras, odd messages and traces among them."""

    def burst() -> None:
        with logger(intake) as log:
            for number in range(5_000):
                if number % 5 == 1:
                    log.info("number %d %s", number, "x" * 6_000)
                elif number % 5 == 2:
                    log.warning("number %d", number, extra={"request": f"r-{number}", "thing": object()})
                elif number % 5 == 3:
                    log.log(number % 60, {"number": number})
                elif number % 50 == 4:
                    try:
                        raise KeyError(number)  # noqa: TRY301 -- there is no trace without
                    except KeyError:
                        log.exception("number %d", number)
                else:
                    log.info("number %d", number)

    thread = apart(burst)
    found = intake.wait_for(5_000)
    thread.join()
    numbers = [int("".join(filter(str.isdigit, each["message"].partition(" x")[0]))) for each in found]
    assert numbers == list(range(5_000))
    assert json.loads(found[2]["attributes"]) == {"request": "r-2", "thing": "<__builtin__.object>"}
    assert found[4]["exception"] == "KeyError: 4"
    assert len(found[1]["message"]) > 6_000


def test_records_may_straddle_reads_anywhere(intake: Rig) -> None:
    """Every capture of every Python, byte by byte: the same as at once."""
    stream = (CAPTURES / "py38-p0.bin").read_bytes() + (CAPTURES / "py313.bin").read_bytes()
    with client(intake) as sock:
        sock.sendall(stream)
        at_once = intake.wait_for(16)

        def slowly() -> None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for at in range(0, len(stream), 7):
                sock.sendall(stream[at : at + 7])

        thread = apart(slowly)
        assert intake.wait_for(32)[16:] == at_once
        thread.join()


def test_a_large_record_is_cut_and_says_so(intake: Rig) -> None:
    """A message of a megabyte keeps its beginning; its neighbours are whole."""
    with client(intake) as sock:
        apart(lambda: sock.sendall(framed(record(1), record(2, 1_000_000), record(3))))
        one, two, three = intake.wait_for(3)
    assert (one["message"], three["message"]) == ("number 1", "number 3")
    assert two["message"].startswith("number 2xxx")
    assert json.loads(two["attributes"])["intake.cut"] == {"message": 1_000_008}


def test_a_connection_cut_in_mid_record_keeps_the_records_before(intake: Rig) -> None:
    """Half a pickle is counted, the others are stored, and the next connection is a new one."""
    with client(intake) as sock:
        sock.sendall(framed(record(1), record(2), record(3))[:-5])
    with client(intake) as sock:
        sock.sendall(framed(record(4)))
        intake.until(lambda: intake.counted("cut off") == 1)
        found = intake.wait_for(3)
    assert sorted(each["message"] for each in found) == ["number 1", "number 2", "number 4"]


def test_a_sender_that_connects_anew_is_heard_behind_its_old_connection(intake: Rig) -> None:
    """Twice it is cut off in the middle of a record, with much unread: the records stay in order."""
    for first in (0, 1_000, 2_000):
        with client(intake) as sock:
            sock.sendall(framed(*(record(first + number) for number in range(1_000)), record(9_999))[:-5])
    found = intake.wait_for(3_000)
    assert [each["message"] for each in found] == [f"number {number}" for number in range(3_000)]
    intake.until(lambda: intake.counted("cut off") == 3)


def test_a_crowd_of_short_connections_is_not_turned_away(intake: Rig) -> None:
    """Beside a client that never stops: they do not pile up behind it beyond the number that is allowed."""
    over = threading.Event()
    blob = framed(*(record(9_999) for _ in range(1_000)))

    def flood() -> None:
        with client(intake) as sock:
            while not over.is_set():
                sock.sendall(blob)

    def crowd() -> None:
        for number in range(1_000):
            with client(intake) as sock:
                sock.sendall(framed(record(number)))

    threads = [apart(flood)]
    intake.wait_for(5_000)
    threads.append(apart(crowd))
    intake.until(lambda: not threads[1].is_alive())
    over.set()
    intake.until(lambda: intake.counted("connections") == 1_001 and not intake.intake.report().clients)
    intake.batcher.flush()
    assert intake.counted("turned away") == 0
    heard = [each["message"] for each in intake.records()]
    assert sorted(each for each in heard if each != "number 9999") == sorted(
        f"number {n}" for n in range(1_000)
    )


def test_what_connections_held_while_the_journal_was_blocked_is_read_in_their_order(intake: Rig) -> None:
    """The standard library's handler gives up after a second, and connects anew."""
    intake.journal.error = OSError("no room")
    with client(intake) as sock:
        sock.sendall(framed(record(0)))
        intake.until(lambda: intake.batcher.blocked is not None)
        sock.sendall(framed(*(record(number) for number in range(1, 1_000))))
    with client(intake) as sock:
        sock.sendall(framed(*(record(number) for number in range(1_000, 2_000))))
        intake.until(lambda: intake.counted("connections") == 2)
        intake.journal.error = None
        intake.wait_for(2_000)
        sock.sendall(framed(record(2_000)))
        found = intake.wait_for(2_001)
    assert [each["message"] for each in found] == [f"number {number}" for number in range(2_001)]


def send_in_parts(sock: socket.socket, stream: bytes, step: int) -> None:
    """So many bytes a call."""
    for at in range(0, len(stream), step):
        sock.sendall(stream[at : at + step])


@pytest.mark.parametrize("step", [70_000, 2**30])
def test_a_record_too_long_is_passed_over(intake: Rig, step: int) -> None:
    """It is counted and a fault says so; its neighbours on the connection are stored."""
    stream = framed(record(1), record(2, MOST_BYTES), record(3))
    with client(intake) as sock:
        thread = apart(lambda: send_in_parts(sock, stream, step))
        found = intake.wait_for(2)
        thread.join()
    assert [each["message"] for each in found] == ["number 1", "number 3"]
    assert intake.counted("too long") == 1
    assert f"at most {MOST_BYTES} are taken" in intake.intake.report().faults[0]


@pytest.mark.parametrize("length", [0, MOST_SKIPPED + 1, 2**32 - 1])
def test_a_length_that_is_none_ends_the_connection(intake: Rig, length: int) -> None:
    """What came before it is kept; a fault says why."""
    with client(intake) as sock:
        sock.sendall(framed(record(1)) + length.to_bytes(4, "big") + b"GET / HTTP/1.1\r\n\r\n")
        intake.until(lambda: hung_up(sock))
    assert [each["message"] for each in intake.wait_for(1)] == ["number 1"]
    assert intake.counted("violations") == 1
    (fault,) = intake.intake.report().faults
    assert "no length of a pickled record" in fault


def test_a_hostile_record_is_counted_and_harms_no_other(intake: Rig) -> None:
    """Nothing of it is stored, a fault names what it wanted, the records around it are taken."""
    inside = record_pickle(attributes(msg="number 9"), b"X\x01\0\0\0z" + HOSTILE[:-1])
    with client(intake) as sock:
        sock.sendall(framed(record(1), HOSTILE, record(2), inside, record(3)))
        found = intake.wait_for(3)
    assert [each["message"] for each in found] == ["number 1", "number 2", "number 3"]
    assert intake.counted("hostile") == 2
    (fault,) = intake.intake.report().faults
    assert "os.system" in fault
    assert "127.0.0.1" in fault


def test_what_is_no_record_is_dropped_and_the_connection_goes_on(intake: Rig) -> None:
    """Garbage, and a pickle of something else, are counted; a fault shows it."""
    with client(intake) as sock:
        sock.sendall(framed(b"garbage", b"(lp0\n.", record(1)))
        assert intake.wait_for(1)[0]["message"] == "number 1"
    assert intake.counted("unreadable") == 2
    assert len(intake.intake.report().faults) == 2


def test_messages_that_a_handler_left_unformatted_are_formatted_within_bounds(intake: Rig) -> None:
    """Arguments are put in where the directives are harmless; else both are kept beside one another."""
    bomb = b"X\x04\0\0\0argsK\x07\x85X\x03\0\0\0msgX\x0c\0\0\0%0999999999d"
    with client(intake) as sock:
        sock.sendall(
            framed(
                b"}(X\x04\0\0\0argsK\x07X\x01\0\0\0a\x86X\x03\0\0\0msgX\x05\0\0\0%d %su.",
                b"}(" + bomb + b"u.",
                b"}(X\x04\0\0\0argsK\x07\x85X\x03\0\0\0msgX\x02\0\0\0%zu.",
                b"}(X\x04\0\0\0args}X\x01\0\0\0kK\x07sX\x03\0\0\0msgX\x05\0\0\0%(k)du.",
                b"}X\x03\0\0\0msgN s."[:-3] + b"s.",
            )
        )
        found = intake.wait_for(5)
    assert [each["message"] for each in found] == ["7 a", "%0999999999d", "%z", "7", ""]
    assert json.loads(found[1]["attributes"]) == {"args": [7]}
    assert json.loads(found[2]["attributes"]) == {"args": [7]}


def test_a_blocked_journal_makes_clients_wait(intake: Rig) -> None:
    """Nothing is read while nothing can be kept; then everything arrives, once and in order."""
    intake.journal.error = OSError("no room")
    sent = threading.Event()
    blob = framed(*(record(number, 2_000) for number in range(10_000)))

    def send() -> None:
        with client(intake) as sock:
            sock.sendall(blob)
        sent.set()

    thread = apart(send)
    intake.until(lambda: intake.batcher.blocked is not None)
    for _ in range(20):
        intake.loop.turn(0.01)
    assert not sent.is_set()
    assert intake.batcher.waiting < 2_000
    intake.journal.error = None
    found = intake.wait_for(10_000)
    thread.join()
    assert [each["message"].rstrip("x") for each in found] == [f"number {number}" for number in range(10_000)]


class Patient(logging.handlers.SocketHandler):
    """As the documentation has it: it waits as long as it takes."""

    def makeSocket(self, timeout: float = 1) -> socket.socket:  # noqa: N802 -- the name it has there
        """The socket, without the time limit."""
        sock = super().makeSocket(timeout)
        sock.settimeout(None)
        return sock


def test_a_handler_without_a_time_limit_loses_nothing_to_a_blocked_journal(intake: Rig) -> None:
    """It waits in the middle of a record until the journal takes it; nothing is thrown away or read out of order."""
    intake.journal.error = OSError("no room")
    handler = Patient("127.0.0.1", intake.port)
    log = logging.Logger("x", 1)  # noqa: LOG001 -- of no use to anybody else
    log.addHandler(handler)
    said: list[int] = []

    def send() -> None:
        for number in range(5_000):
            log.info("number %d %s", number, "x" * 6_000)
            said.append(number)
        handler.close()

    thread = apart(send)
    intake.until(lambda: intake.batcher.blocked is not None)
    at, since = -1, 0.0
    while at != len(said) or time.monotonic() - since < 1.2:  # longer than the second of the usual handler
        if at != len(said):
            at, since = len(said), time.monotonic()
        intake.loop.turn(0.05)
    assert at < 5_000
    intake.journal.error = None
    found = intake.wait_for(5_000)
    thread.join()
    assert [int(each["message"].split()[1]) for each in found] == list(range(5_000))
    assert intake.counted("connections") == 1


def test_a_clean_stop_takes_what_was_sent(tmp_path: Path) -> None:
    """Also from a client that was not accepted yet, and without a turn of the loop in between."""
    with rig(tmp_path) as intake, client(intake) as sock:
        sock.sendall(framed(*(record(number) for number in range(500))))
    assert [each["message"] for each in intake.records()] == [f"number {number}" for number in range(500)]


def test_a_clean_stop_takes_in_everybody_who_waits(tmp_path: Path) -> None:
    """Also more connections than are accepted at a turn."""
    with contextlib.ExitStack() as stack, rig(tmp_path) as intake:
        for number in range(150):
            stack.enter_context(client(intake)).sendall(framed(record(number)))
    found = intake.records()
    assert sorted(each["message"] for each in found) == sorted(f"number {number}" for number in range(150))


def test_a_sender_that_looks_loses_nothing_by_a_clean_stop(tmp_path: Path) -> None:
    """It sends without a pause until it sees that the other side ended: all of it is stored."""
    sent = 0

    def send() -> None:
        nonlocal sent
        while not select.select([sock], [], [], 0)[0]:
            sock.sendall(framed(*(record(sent + number) for number in range(10))))
            sent += 10
        sock.close()

    with rig(tmp_path) as intake, client(intake) as sock:
        thread = apart(send)
        intake.wait_for(1_000)
        intake.intake.close()
        thread.join()
    assert [each["message"] for each in intake.records()] == [f"number {number}" for number in range(sent)]


def test_a_client_silent_in_the_middle_of_a_record_is_let_go(
    intake: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a minute, and only when it left something unfinished."""
    with client(intake) as idle, client(intake) as stalled:
        idle.sendall(framed(record(1)))
        stalled.sendall(framed(record(2))[:-1])
        intake.wait_for(1)
        intake.until(lambda: any(each.reader.held for each in intake.intake._clients))  # type: ignore[attr-defined]
        now = intake.loop.now()
        monkeypatch.setattr(intake.loop, "now", lambda: now + STALLED_SECONDS + 1)
        intake.until(lambda: intake.counted("stalled") == 1)
        assert hung_up(stalled)
        assert not hung_up(idle)


def test_unfinished_records_of_all_clients_are_bounded(intake: Rig) -> None:
    """Clients that all stop before the end of a large record are let go, oldest first."""
    with contextlib.ExitStack() as stack:
        part = (MOST_BYTES).to_bytes(4, "big") + bytes(MOST_BYTES - 1)
        clients = [stack.enter_context(client(intake)) for _ in range(6)]

        def send() -> None:
            for sock in clients:
                with contextlib.suppress(OSError):
                    sock.sendall(part)

        thread = apart(send)
        intake.until(lambda: intake.counted("stalled") >= 2 and not thread.is_alive())
        thread.join()
        assert sum(each.reader.held for each in intake.intake._clients) <= MOST_HELD  # type: ignore[attr-defined]


def test_more_clients_than_allowed_are_turned_away(tmp_path: Path) -> None:
    """Those that are connected go on; a fault says that others are not taken."""
    with rig(tmp_path, max_clients=2) as intake, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(client(intake)) for _ in range(4)]
        intake.until(lambda: intake.counted("turned away") == 2)
        clients[0].sendall(framed(record(1)))
        intake.wait_for(1)
        assert "agent.max_clients" in intake.intake.report().faults[0]


def test_many_clients_are_each_heard_in_order(intake: Rig) -> None:
    """Fifty at a time, of whom each sends two hundred records."""

    def speak(name: int) -> None:
        with client(intake) as sock:
            for number in range(200):
                sock.sendall(framed(record_pickle(attributes(name=f"client {name}", msg=str(number)))))

    threads = [apart(lambda name=name: speak(name)) for name in range(50)]  # type: ignore[misc]
    found = intake.wait_for(10_000)
    for thread in threads:
        thread.join()
    for name in range(50):
        own = [each["message"] for each in found if each["logger"] == f"client {name}"]
        assert own == [str(number) for number in range(200)]


def test_the_node_s_defaults_fill_what_records_leave_empty(tmp_path: Path) -> None:
    """Product and system of the settings, unless the application said its own."""
    with rig(tmp_path, Defaults(product="shop", system="web")) as intake, client(intake) as sock:
        sock.sendall(framed(record(1), record_pickle(attributes(PRODUKT_ID="bank"))))
        one, two = intake.wait_for(2)
    assert (one["product"], one["system"]) == ("shop", "web")
    assert (two["product"], two["system"]) == ("bank", "web")


def test_its_status_names_address_clients_and_counts(intake: Rig) -> None:
    """What `tabard status` shows."""
    with client(intake) as sock:
        sock.sendall(framed(record(1), record(2)))
        intake.wait_for(2)
        report = intake.intake.report()
    assert report.address == f"tcp 127.0.0.1:{intake.port}"
    assert report.records == 2
    (one,) = report.clients
    assert one == {
        "origin": "unauthenticated 127.0.0.1", "source": "", "service": "", "protocol": "pickle", "records": 2,
    }  # fmt: skip


def test_an_address_in_use_is_an_error_that_names_the_setting(intake: Rig, tmp_path: Path) -> None:
    """The agent does not start, and says why."""
    settings = load(Home(tmp_path), env={}, args={"intake.socket_handler": f"127.0.0.1:{intake.port}"})
    second = Rig(lambda around: made(settings, around))
    with pytest.raises(IntakeError, match=r"intake\.socket_handler"):
        second.intake.open()
    second.loop.close()
