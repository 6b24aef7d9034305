"""``shell``: the one call, and the checks on what it is given."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from tabard.masking import command_line
from tabard.shell.checks import Word, check_bounds, check_call, environment_of, input_of, text_of, words_of
from tabard.shell.process import Ending, run
from tabard.shell.records import Lines, Speaker
from tabard.shell.result import NOT_ALLOWED, NOT_FOUND, CommandError, Kept, Result, ending

TIMEOUT: Final = 3600.0
"""Seconds a command may take unless the call says otherwise."""
GRACE: Final = 5.0
"""Seconds between asking a command to end and ending it."""
KEEP: Final = 1_048_576
"""Bytes kept of each output."""
LINES: Final = 1_000
"""Lines recorded of both outputs together."""
_NAMED: Final = 200


def shell(
    argv: Sequence[Word] | str,
    *,
    script: bool = False,
    timeout: float | None = TIMEOUT,
    grace: float = GRACE,
    stdin: str | bytes | None = None,
    env: Mapping[str, str | None] | None = None,
    cwd: Word | None = None,
    encoding: str = "utf-8",
    keep: int = KEEP,
    lines: int = LINES,
    hide: Sequence[str] = (),
    name: str | None = None,
    log: logging.Logger | None = None,
    check: bool = False,
) -> Result:
    """Run a command to its end and return what came of it.

    ``argv`` is the command and its arguments, none of which any shell reads; with ``script=True`` it is one
    string for ``/bin/sh -c``. After ``timeout`` seconds (None: never) the command and all it started is ended,
    by SIGTERM and ``grace`` seconds later by SIGKILL.

    ``stdin`` is what it reads, nothing when left out. ``env`` is laid over the environment; None takes a variable
    away. Of each output ``keep`` bytes are kept, and ``lines`` lines are recorded by ``log`` (the logger
    ``tabard.shell``) with the ``name`` of the command, in which the words of ``hide`` are masked, and in the command line what looks like a password.

    A command that fails, or cannot be started, gives a Result that says so, or with ``check=True`` a CommandError.
    Raises UsageError for a call that makes no sense.
    """
    words = words_of(argv, script=script)
    check_call(words, timeout, grace, encoding)
    check_bounds(keep, lines, hide)
    environment = environment_of(env)
    given = input_of(stdin, encoding)
    folder = None if cwd is None else text_of(cwd, "cwd")
    speaker = _speaker(words, name, log, lines, hide)
    out, err = Kept(keep), Kept(keep)
    said = {stream: Lines(speaker, stream, encoding) for stream in ("stdout", "stderr")}

    def take_out(chunk: bytes) -> None:
        out.add(chunk)
        said["stdout"].add(chunk)

    def take_err(chunk: bytes) -> None:
        err.add(chunk)
        said["stderr"].add(chunk)

    speaker.start()
    begun = time.monotonic()
    started = True
    try:
        end = run(
            words,
            stdin=given,
            env=environment,
            cwd=folder,
            timeout=timeout,
            grace=grace,
            take_out=take_out,
            take_err=take_err,
        )
    except OSError as error:
        started = False
        code = NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_ALLOWED
        end = Ending(code, timed_out=False, held=False)
        err.add(f"{_where(error, words, cwd)}: {error.strerror or error}".encode(encoding, "replace"))
    finally:
        for stream in said.values():
            stream.close()
    result = Result(
        argv=tuple(words),
        code=end.code,
        duration=time.monotonic() - begun,
        raw_out=out.value(),
        raw_err=err.value(),
        out_dropped=out.dropped,
        err_dropped=err.dropped,
        timed_out=end.timed_out,
        started=started,
        held=end.held,
        encoding=encoding,
    )
    _say_end(speaker, result)
    if check and not result.ok:
        last = speaker.mask(result.err.strip().rpartition("\n")[2])
        raise CommandError(_named(words, name, speaker), result, last)
    return result


def _where(error: OSError, words: list[str], cwd: Word | None) -> str:
    """What could not be used: the folder, when that is at fault, else the command."""
    if cwd is not None and error.filename == os.fspath(cwd):
        return os.fspath(cwd)
    return words[0]


def _speaker(
    words: list[str], name: str | None, log: logging.Logger | None, lines: int, hide: Sequence[str]
) -> Speaker:
    extra = {"command": name or os.path.basename(words[0]), "command_run": os.urandom(4).hex()}
    speaker = Speaker(log or logging.getLogger("tabard.shell"), "", extra, lines, hide)
    speaker.command = _named(words, name, speaker)
    return speaker


def _named(words: list[str], name: str | None, speaker: Speaker) -> str:
    """The command as people are told of it."""
    line = name or speaker.mask(command_line(words))
    return line if len(line) <= _NAMED else f"{line[: _NAMED - 3]}..."


def _say_end(speaker: Speaker, result: Result) -> None:
    level = logging.INFO if result.ok else logging.WARNING
    if result.timed_out or not result.started:
        level = logging.ERROR
    facts: dict[str, Any] = {
        "code": result.code,
        "duration": round(result.duration, 6),
        "timed_out": result.timed_out,
        "output_bytes": len(result.raw_out) + result.out_dropped,
        "error_bytes": len(result.raw_err) + result.err_dropped,
    }
    how = ending(result)
    if not result.started:
        how += f": {speaker.mask(result.err)}"
    if result.held:
        how += ", with something left running that holds its output"
    speaker.end(level, how, facts)
