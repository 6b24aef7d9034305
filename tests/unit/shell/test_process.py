"""One process: who it is told to, what it inherits, and what it leaves running."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

from tabard.shell.process import Ending, Take, run


def _run(*argv: str, **more: Any) -> tuple[Ending, bytes]:
    said: list[bytes] = []
    common = {"stdin": None, "env": None, "cwd": None, "timeout": 60, "grace": 1}
    return run(argv, take_out=said.append, take_err=said.append, **{**common, **more}), b"".join(said)


def test_who_starts_it_may_signal_all_of_it() -> None:
    """From the moment there is a process, and not any more once it was waited for."""
    sends: list[Callable[[int], None]] = []

    def started(pid: int, send: Callable[[int], None]) -> None:
        assert os.getpgid(pid) == pid
        sends.append(send)
        send(signal.SIGTERM)

    ending, _ = _run("sleep", "600", started=started)
    assert ending.code == -signal.SIGTERM
    sends[0](signal.SIGKILL)


def test_standard_input_may_be_that_of_this_process() -> None:
    """Instead of none."""
    read, write = os.pipe()
    os.write(write, b"from outside")
    os.close(write)
    kept = os.dup(0)
    os.dup2(read, 0)
    try:
        assert _run("cat", inherit=True)[1] == b"from outside"
        assert _run("cat")[1] == b""
    finally:
        os.dup2(kept, 0)
        for descriptor in (kept, read):
            os.close(descriptor)


def test_what_it_left_running_may_be_read_on() -> None:
    """The pipes that are held are handed over before they are closed; those at their end are not."""
    pipes: list[int] = []

    def left(held: list[tuple[int, Take]]) -> None:
        pipes.extend(os.dup(pipe) for pipe, _ in held)

    ending, said = _run("sh", "-c", "(sleep 1; echo late) 2>&- & echo early", left=left)
    assert (ending, said) == (Ending(0, timed_out=False, held=True), b"early\n")
    assert len(pipes) == 1
    os.set_blocking(pipes[0], True)
    assert os.read(pipes[0], 100) == b"late\n"
    assert os.read(pipes[0], 100) == b""
    os.close(pipes[0])
