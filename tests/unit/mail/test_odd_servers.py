"""Servers that do not keep to the protocol: nothing is taken for handed over that was not, and nothing leaks."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import pytest

from tabard.mail import Mailer, Server

HANG_UP: Final = b""
USUAL: Final = {"": b"220 hello", "EHLO": b"250 SIZE 1000000", "DATA": b"354 go on", ".": b"250 taken"}
"""What is said to a connection, to a command, and to a mail; 250 to what is not in here."""


@contextmanager
def _server(answers: Mapping[str, bytes]) -> Iterator[tuple[int, list[bytes]]]:
    """A server that says these instead of the usual; its port, and every line it gets."""
    got: list[bytes] = []
    said = {**USUAL, **answers}

    def talk(connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as lines:
            connection.sendall(said[""] + b"\r\n")
            mail = False
            for line in lines:
                got.append(line)
                if mail and line != b".\r\n":
                    continue
                word = line.rstrip().partition(b" ")[0].decode("latin-1").upper()
                answer = said.get(word, b"250 fine")
                if answer == HANG_UP:
                    connection.shutdown(socket.SHUT_RDWR)
                    return
                connection.sendall(answer + b"\r\n")
                mail = word == "DATA" and answer.startswith(b"354")

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listening.accept()
                with suppress(OSError):
                    talk(connection)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listening.getsockname()[1], got
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def _mailer(folder: Path, port: int, tls: str = "none") -> Mailer:
    server = Server("127.0.0.1", port, tls, timeout=5.0)
    return Mailer(folder, server, sender="s@example.org", to=["a@example.org"], background=False)


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        ({"DATA": b"250 never mind"}, "250 never mind, where 354 was expected"),
        ({"DATA": b"220 what"}, "where 354 was expected"),
        ({"DATA": HANG_UP}, "went away in the middle"),
        ({".": b"354 go on"}, "354 go on"),
        ({".": HANG_UP}, "went away in the middle"),
        ({".": b"hello"}, "went away in the middle"),
        ({"MAIL": b"250 " + b"x" * 100_000}, "went away in the middle"),
        ({"MAIL": b"354 go on"}, "354 go on"),
        ({"RCPT": b"354 go on"}, "354 go on"),
        ({"RCPT": b"421 bye"}, "421 bye"),
    ],
)
def test_only_a_yes_is_a_yes(tmp_path: Path, answers: dict[str, bytes], says: str) -> None:
    """Whatever else is said instead, the mail waits."""
    with _server(answers) as (port, _):
        mailer = _mailer(tmp_path, port)
        mailer.send(subject="s", text="t")
        report = mailer.flush()
    assert (report.sent, report.given_up, report.waiting) == (0, 0, 1)
    (entry,) = mailer.queue.entries()
    assert says in entry.reason
    assert entry.tries == 1


def test_what_a_server_says_steers_no_terminal(tmp_path: Path) -> None:
    """Its words are shown by `tabard mail queue`, and in records."""
    with _server({"RCPT": b"550 \x1b[31mred\x07 \xff"}) as (port, _):
        mailer = _mailer(tmp_path, port)
        mailer.send(subject="s", text="t")
        assert mailer.flush().given_up == 1
    (entry,) = mailer.queue.entries(failed=True)
    assert entry.reason == r"a@example.org: 550 \x1b[31mred\x07 \xff"


@pytest.mark.threat("mail-to-others")
@pytest.mark.parametrize(
    "answers",
    [
        {},
        {"EHLO": b"250 STARTTLS", "STARTTLS": b"454 not now"},
        {"EHLO": b"250 STARTTLS", "STARTTLS": b"220 ready\r\n250 no need to\r\n250 really"},
        {"EHLO": b"250 STARTTLS", "STARTTLS": HANG_UP},
        {"EHLO": b"502 what", "HELO": b"250 hello"},
        {"": b"554 no"},
        {"": b"SSH-2.0-x"},
    ],
)
def test_without_encryption_nothing_is_said_of_the_mail(tmp_path: Path, answers: dict[str, bytes]) -> None:
    """Who stands between and takes STARTTLS away, or answers in its place, learns neither addresses nor text."""
    with _server(answers) as (port, got):
        mailer = _mailer(tmp_path, port, "starttls")
        mailer.send(subject="s", text="t")
        report = mailer.flush()
        assert (report.sent, report.waiting, bool(report.away)) == (0, 1, True)
        assert not any(word in line for line in got for word in (b"MAIL", b"RCPT", b"example.org"))
