"""``shell``: the one call, and the checks on what it is given."""

from __future__ import annotations

import codecs
import logging
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from tabard.errors import UsageError
from tabard.masking import command_line
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
SHELL: Final = "/bin/sh"
_NAMED: Final = 200

Word = str | os.PathLike[str]


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
    words = _words(argv, script=script)
    _check(words, timeout, grace, encoding)
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
            stdin=stdin.encode(encoding) if isinstance(stdin, str) else stdin,
            env=_environment(env),
            cwd=None if cwd is None else os.fspath(cwd),
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
        raise CommandError(_named(words, name, speaker), result)
    return result


def _words(argv: Sequence[Word] | str, *, script: bool) -> list[str]:
    if script:
        if not isinstance(argv, str):
            raise UsageError(
                "not a script", expected="one string with script=True", found=type(argv).__name__
            )
        return [SHELL, "-c", argv]
    if isinstance(argv, str):
        raise UsageError(
            "a string is not split into words",
            expected='a list such as ["ls", "-l", folder]',
            found=repr(argv[:_NAMED]),
            hint="Give the words one by one; script=True hands a string to /bin/sh",
        )
    return [os.fspath(word) for word in argv]


def _check(words: list[str], timeout: float | None, grace: float, encoding: str) -> None:
    if not words or not words[0]:
        raise UsageError("no command", expected="at least its name", found=repr(words))
    for number, word in enumerate(words):
        if not isinstance(word, str) or "\0" in word:
            raise UsageError(
                "not an argument", expected="text without NUL", found=repr(word)[:_NAMED], where=f"argv[{number}]"
            )  # fmt: skip
    if (timeout is not None and timeout <= 0) or grace < 0:
        raise UsageError("not a time-out", expected="more than 0 seconds, or None", found=repr(timeout))
    try:
        codecs.lookup(encoding)
    except LookupError as error:
        raise UsageError("not an encoding", expected="one that Python knows", found=repr(encoding)) from error


def _environment(changes: Mapping[str, str | None] | None) -> dict[str, str] | None:
    if changes is None:
        return None
    environment = dict(os.environ)
    for name, value in changes.items():
        if value is None:
            environment.pop(name, None)
        else:
            environment[name] = value
    return environment


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
