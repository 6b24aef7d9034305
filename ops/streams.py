"""The three standard streams, made fit for whatever this process was started with.

A closed descriptor is opened on /dev/null before anything else opens a file or a socket, which would otherwise get
its number: what is meant for the terminal would go into a database. Text that the locale cannot say is shown as an
escape, and what a program reads is UTF-8 in every locale.
"""

from __future__ import annotations

import io
import os
import sys
from typing import TextIO


def prepare() -> None:
    """Call it before anything else is opened. Costs some microseconds."""
    _open_closed()
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 -- as long as the process
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        _reconfigure(stream)


def write_utf8() -> None:
    """Let standard output be UTF-8 from now on, whatever the locale; a half of a pair stays a JSON escape."""
    _reconfigure(sys.stdout, "utf-8")


def _open_closed() -> None:
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest free number is taken, which is this one: those below it are open by now.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


def _reconfigure(stream: TextIO, encoding: str | None = None) -> None:
    if isinstance(stream, io.TextIOWrapper):  # a test may have put something else in its place
        stream.reconfigure(encoding=encoding, errors="backslashreplace")
