"""The four syslog intakes over real sockets, with Python's own handler and senders of every habit."""

from __future__ import annotations

import json
import logging
import logging.handlers
import os
import socket
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import pytest

from tabard.agents.intake.bridge import datagrams, streams
from tabard.agents.intake.bridge.syslogs import made
from tabard.errors import IntakeError
from tabard.home import Home
from tabard.settings import load
from tests.unit.bridge.rig import Rig


def rig(directory: Path, **given: str) -> Rig:
    """The intake that one setting asks for."""
    settings = load(Home(directory), env={}, args={f"intake.{name}": value for name, value in given.items()})
    return Rig(lambda around: made(settings, around))


def free(kind: int) -> str:
    """An address that nobody listens at."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def tcp(directory: Path) -> Rig:
    return rig(directory, syslog_tcp=free(socket.SOCK_STREAM))


def udp(directory: Path, **given: str) -> Rig:
    return rig(directory, syslog_udp=free(socket.SOCK_DGRAM), **given)


def apart(what: Callable[[], object]) -> threading.Thread:
    """Run something while the intake turns."""
    thread = threading.Thread(target=what)
    thread.start()
    return thread


def say(intake: Rig, data: bytes) -> None:
    """One connection that says this and ends."""
    with socket.create_connection(("127.0.0.1", intake.port)) as sock:
        sock.sendall(data)


def messages(found: list[dict[str, Any]]) -> list[str]:
    return [each["message"] for each in found]


def python_handler(address: Any, kind: socket.SocketKind, texts: list[str]) -> None:
    """The standard library's handler says these."""
    handler = logging.handlers.SysLogHandler(address, socktype=kind)
    log = logging.Logger("x", 1)  # noqa: LOG001 -- of no use to anybody else
    log.addHandler(handler)
    for each in texts:
        log.error(each)
    handler.close()


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\0"])
def test_lines_over_tcp_are_stored_in_order(tmp_path: Path, end: bytes) -> None:
    """Five thousand of them in one burst, whatever ends them."""
    with tcp(tmp_path) as intake:
        apart(lambda: say(intake, b"".join(b"<14>app: n %d%b" % (n, end) for n in range(5_000))))
        assert messages(intake.wait_for(5_000)) == [f"n {number}" for number in range(5_000)]


def test_counted_messages_over_tcp_keep_their_lines(tmp_path: Path) -> None:
    """A trace of several lines is one record."""
    body = b"<11>1 - h app 7 - - Traceback:\n  File x\nValueError: no"
    with tcp(tmp_path) as intake:
        say(intake, b"%d %b" % (len(body), body) * 3)
        found = intake.wait_for(3)
    assert messages(found) == ["Traceback:\n  File x\nValueError: no"] * 3


def test_python_s_handler_is_understood_on_every_kind_of_socket(tmp_path: Path) -> None:
    """TCP, UDP, both unix sockets; messages of several lines stay whole."""
    texts = ["one", "two\nlines", "gr\u00fc\u00dfe"]
    path = str(tmp_path / "log")
    for intake, kind, address in (
        (tcp(tmp_path), socket.SOCK_STREAM, None),
        (udp(tmp_path), socket.SOCK_DGRAM, None),
        (rig(tmp_path, syslog_datagram=path), socket.SOCK_DGRAM, path),
        (rig(tmp_path, syslog_stream=path), socket.SOCK_STREAM, path),
    ):
        with intake:
            where = address or ("127.0.0.1", intake.port)
            apart(lambda where=where, kind=kind: python_handler(where, kind, texts))  # type: ignore[misc]
            found = intake.wait_for(3)
        assert messages(found) == texts
        assert {each["severity"] for each in found} == {17}


def test_a_message_cut_off_is_kept_and_counted(tmp_path: Path) -> None:
    """Half of a counted message is a record that says so; a line whose connection ends is whole."""
    with tcp(tmp_path) as intake:
        say(intake, b"10 <14>app: a" + b"50 <14>app: half of")
        cut = intake.wait_for(2)[1]
        say(intake, b"<14>app: no line feed")
        whole = intake.wait_for(3)[2]
        assert intake.counted("cut off") == 1
    assert cut["message"] == "half of"
    assert json.loads(cut["attributes"])["intake"] == "cut off"
    assert json.loads(whole["attributes"]) == {"facility": "user"}


def test_a_long_counted_message_is_cut_off_and_says_so(tmp_path: Path) -> None:
    """Beyond a megabyte its beginning is kept; its neighbours are whole."""
    long = b"<14>app: " + b"long " * 400_000
    with tcp(tmp_path) as intake:
        apart(lambda: say(intake, b"10 <14>app: a" + b"%d %b" % (len(long), long) + b"10 <14>app: b"))
        one, cut, two = intake.wait_for(3)
        assert intake.counted("cut off") == 1
    assert (one["message"], two["message"]) == ("a", "b")
    assert cut["message"].startswith("long long ")
    assert json.loads(cut["attributes"])["intake"] == "cut off"


def test_a_broken_count_ends_the_connection_and_loses_nothing(tmp_path: Path) -> None:
    """What stands where a count should be is kept as text; a fault shows it."""
    with tcp(tmp_path) as intake:
        say(intake, b"6 <14>aaSOMETHING ELSE")
        found = intake.wait_for(2)
        assert messages(found) == ["aa", "SOMETHING ELSE"]
        assert intake.counted("violations") == 1
        assert "no length of a syslog message" in intake.intake.report().faults[0]


def test_bytes_that_are_no_text_are_shown(tmp_path: Path) -> None:
    """Broken UTF-8 and control characters become something that can be stored."""
    with tcp(tmp_path) as intake:
        say(intake, b"<14>app: gr\xfc\xdfe\n<13>c\0d\n")
        say(intake, b"7 <13>a\0b")
        found = intake.wait_for(3)
    assert "c\u2400d" in messages(found)
    assert "gr\\xfc\\xdfe" in messages(found)
    assert "a\u2400b" in messages(found)


def test_a_long_line_comes_in_pieces(tmp_path: Path) -> None:
    """Each a record; together they are the line."""
    with tcp(tmp_path) as intake:
        apart(lambda: say(intake, b"<14>" + b"x" * 600_000 + b"\n<14>next\n"))
        intake.until(lambda: "next" in messages(intake.records()))
        assert sum(text.count("x") for text in messages(intake.records())) == 600_000 + 1
        assert intake.counted("pieces") == 9


def test_udp_datagrams_are_a_message_each(tmp_path: Path) -> None:
    """Of several lines, of 60 kB, with and without an end; the sender's address is shown, and is unproven."""
    with udp(tmp_path) as intake, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for data in (b"<14>a\nb\n", b"<14>app: c\0", b"", b"\n", b"<14>" + b"x" * 60_000, b"plain"):
            sock.sendto(data, ("127.0.0.1", intake.port))
        found = intake.wait_for(4)
        assert intake.journal.groups()[0][2] == "unauthenticated 127.0.0.1"
    assert messages(found) == ["a\nb", "c", "x" * 60_000, "plain"]


@pytest.mark.parametrize("name", ["syslog_tcp", "syslog_udp"])
def test_addresses_of_ipv6_take_both_kinds_of_senders(tmp_path: Path, name: str) -> None:
    """Each sender is shown by its own address, the intake's as a setting would say it."""
    kind = socket.SOCK_STREAM if name == "syslog_tcp" else socket.SOCK_DGRAM
    with rig(tmp_path, **{name: f"[::]:{free(kind).rpartition(':')[2]}"}) as intake:
        for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            with socket.socket(family, kind) as sock:
                sock.connect((host, intake.port))
                sock.send(b"<14>app: hello\n")
        intake.wait_for(2)
        assert origins(intake) == {"unauthenticated 127.0.0.1", "unauthenticated ::1"}
        assert "[::]:" in intake.intake.report().address


def origins(intake: Rig) -> set[str]:
    """Whose records were journaled."""
    return {origin for body, *_ in intake.journal.batches for _, _, origin, _ in msgpack.unpackb(body)}


def test_what_the_kernel_drops_is_counted_and_recorded(tmp_path: Path) -> None:
    """More than the buffer holds while nothing is read: stored and counted as dropped are all that were sent."""
    sent = 3_000
    with udp(tmp_path, syslog_buffer="64KiB") as intake:
        intake.journal.error = OSError("no room")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"<14>first", ("127.0.0.1", intake.port))
            intake.until(lambda: intake.batcher.blocked is not None)
            for number in range(sent):
                sock.sendto(b"<14>n %d" % number, ("127.0.0.1", intake.port))
        intake.journal.error = None
        intake.until(lambda: any("were dropped" in text for text in messages(intake.records())))
        told = [each for each in intake.records() if "were dropped" in each["message"]]
        stored = [each for each in intake.records() if each["message"].startswith("n ")]
        dropped = sum(json.loads(each["attributes"])["dropped_at_least"] for each in told)
        assert dropped > 0
        assert dropped + len(stored) == sent
        assert intake.counted("dropped") == dropped
        assert "intake.syslog_buffer" in intake.intake.report().faults[0]
    assert told[0]["severity"] == 13


def test_a_unix_socket_is_open_to_everybody_and_knows_who_sends(tmp_path: Path) -> None:
    """Like /dev/log; the kernel's word on the sender is the origin."""
    path = tmp_path / "log"
    with rig(tmp_path, syslog_datagram=str(path)) as intake:
        assert stat.S_IMODE(path.stat().st_mode) == 0o666
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"<14>x", str(path))
            intake.wait_for(1)
        assert intake.journal.groups()[0][2].startswith(f"uid {os.getuid()}")
    assert not path.exists()


def test_a_sender_to_a_unix_socket_waits_while_nothing_can_be_kept(tmp_path: Path) -> None:
    """Nothing is dropped there: all arrives once the journal takes it."""
    path = str(tmp_path / "log")
    with rig(tmp_path, syslog_datagram=path) as intake:
        intake.journal.error = OSError("no room")
        done = threading.Event()

        def send() -> None:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                for number in range(5_000):
                    sock.sendto(b"<14>n %d" % number, path)
            done.set()

        thread = apart(send)
        intake.until(lambda: intake.batcher.blocked is not None)
        for _ in range(20):
            intake.loop.turn(0.01)
        assert not done.is_set()
        intake.journal.error = None
        assert messages(intake.wait_for(5_000)) == [f"n {number}" for number in range(5_000)]
        thread.join()


@pytest.mark.parametrize("setting", ["syslog_datagram", "syslog_stream"])
def test_only_the_socket_of_a_dead_process_is_replaced(tmp_path: Path, setting: str) -> None:
    """A file, or a socket somebody listens at, is left alone, and the error names the setting."""
    path = tmp_path / "log"
    kind = socket.SOCK_DGRAM if setting == "syslog_datagram" else socket.SOCK_STREAM
    with socket.socket(socket.AF_UNIX, kind) as dead:
        dead.bind(str(path))
    with rig(tmp_path, **{setting: str(path)}) as intake:
        assert stat.S_ISSOCK(path.stat().st_mode)
        second = rig(tmp_path, **{setting: str(path)})
        with pytest.raises(IntakeError, match=f"intake.{setting}"):
            second.intake.open()
        second.loop.close()
        assert path.exists()
        assert not intake.intake.report().faults
    path.write_text("mine")
    third = rig(tmp_path, **{setting: str(path)})
    with pytest.raises(IntakeError, match="in the way"):
        third.intake.open()
    third.loop.close()
    assert path.read_text() == "mine"


@pytest.mark.parametrize("setting", ["syslog_datagram", "syslog_stream"])
def test_a_socket_that_was_removed_comes_back(
    tmp_path: Path, setting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a look round at the latest, and one that is another's by then is left alone at the end."""
    monkeypatch.setattr(streams, "_SWEEP_SECONDS", 0.02)
    monkeypatch.setattr(datagrams, "LOOK_SECONDS", 0.02)
    path = tmp_path / "log"
    with rig(tmp_path, **{setting: str(path)}) as intake:
        path.unlink()
        intake.until(path.exists)
        kind = socket.SOCK_DGRAM if setting == "syslog_datagram" else socket.SOCK_STREAM
        with socket.socket(socket.AF_UNIX, kind) as sock:
            sock.connect(str(path))
            sock.sendall(b"<14>app: back\n")
            assert messages(intake.wait_for(1)) == ["back"]
        assert "there again" in intake.intake.report().faults[0]
        path.unlink()
        path.write_text("another's")
    assert path.read_text() == "another's"


def test_a_sender_to_a_unix_socket_is_told_when_nobody_reads_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once a stop has read all there was, the kernel takes no datagram that nobody would read."""
    path = str(tmp_path / "log")
    intake = rig(tmp_path, syslog_datagram=path)
    with intake, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.connect(path)
        for text in (b"<14>app: n 0", b"", b"<14>app: n 1"):
            sock.send(text)

        def late() -> None:
            with pytest.raises(BrokenPipeError):
                sock.send(b"<14>app: late")

        monkeypatch.setattr(intake.intake, "_tell", late)
        intake.intake.close()
    assert messages(intake.records()) == ["n 0", "n 1"]


@pytest.mark.parametrize("name", ["tcp", "udp"])
def test_a_clean_stop_takes_what_was_sent(tmp_path: Path, name: str) -> None:
    """Without a turn of the loop between the sending and the end."""
    with {"tcp": tcp, "udp": udp}[name](tmp_path) as intake:
        if name == "tcp":
            say(intake, b"".join(b"<14>n %d\n" % number for number in range(1_000)))
        else:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                for number in range(1_000):
                    sock.sendto(b"<14>n %d" % number, ("127.0.0.1", intake.port))
    assert messages(intake.records()) == [f"n {number}" for number in range(1_000)]
