"""The crontab of this user, read and written through the ``crontab`` command alone."""

from __future__ import annotations

import logging
import os
import pwd
import re
import shlex
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from tabard import locks
from tabard.errors import AlreadyRunning, TabardError
from tabard.shell import Result, shell

_MOST: Final = 16_777_216
"""Bytes of a crontab."""
_PATIENCE: Final = 60.0
_NONE: Final = re.compile(rb"no crontab for|can't open '[^']*': No such file", re.IGNORECASE)
"""What crontab says when the user has none: that of Debian, of cronie and the BSDs; of busybox."""
_ESCAPED: Final = re.compile(rb"\\[br]")
"""How Debian's `crontab -l` shows two control characters, and how nobody can tell them from what they look like."""
_quiet: Final = logging.getLogger("tabard.crontab")
_quiet.addHandler(logging.NullHandler())
_quiet.propagate = False  # what went wrong is an error, which says it


class CrontabError(TabardError):
    """Raised when the crontab cannot be read or written; it is as it was, unless the error says otherwise."""


def read() -> bytes:
    """The crontab; empty when there is none. Raises CrontabError."""
    result = _crontab("-l")
    if result.code == 0 and not result.out_dropped:
        return _unescaped() if _ESCAPED.search(result.raw_out) else result.raw_out
    if result.started and not result.timed_out and _NONE.search(result.raw_err):
        return b""
    raise _failed("the crontab cannot be read", result)


def write(text: bytes) -> None:
    """Replace the crontab, and look whether it was. Raises CrontabError."""
    result = _crontab("-", stdin=text)
    if not result.ok:
        raise _failed("the crontab could not be written, and is as it was", result)
    if read() != text:
        raise CrontabError(
            "the crontab is not what was written",
            expected="the lines that were handed to `crontab -`",
            found="others in `crontab -l`",
            hint="Somebody else may have changed it just now: look at it, and try again",
        )


def change(how: Callable[[bytes], bytes]) -> tuple[bytes, bytes]:
    """Read, change, and write when that made a difference; what it was, and what it is now.

    Only one Tabard of this user does so at a time. Raises CrontabError, and what ``how`` raises.
    """
    with _alone():
        old = read()
        new = how(old)
        if new != old:
            write(new)
    return old, new


def user() -> str:
    """Who this process is, by the password database."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return os.environ.get("LOGNAME", str(os.geteuid()))


@contextmanager
def _alone() -> Iterator[None]:
    """A lock on the user's own directory: two homes side by side, each with a Tabard that installs, share a crontab."""
    folder = os.path.expanduser("~")
    if not os.path.isdir(folder):
        yield
        return
    try:
        with locks.hold_directory(folder, "the crontab"):
            yield
    except AlreadyRunning as error:
        raise CrontabError(
            "another Tabard changes this crontab right now", where=folder, hint="Try again"
        ) from error


def _unescaped() -> bytes:
    """The crontab as it is: an editor gets to see it, which copies it and changes nothing. Raises CrontabError."""
    with tempfile.TemporaryDirectory(prefix="tabard-crontab-") as folder:
        script, copy = os.path.join(folder, "editor"), os.path.join(folder, "copy")
        with open(script, "w", encoding="utf-8") as file:
            file.write(f'cat "$1" >{shlex.quote(copy)}\n')
        editor = f"sh {shlex.quote(script)}"  # called by a shell, with the path of the crontab behind it
        result = _crontab("-e", EDITOR=editor, VISUAL=editor)
        if result.ok and os.path.exists(copy):
            with open(copy, "rb") as found:
                return found.read()
    raise _failed("the crontab has control characters and cannot be read as it is", result)


def _crontab(*arguments: str, stdin: bytes | None = None, **env: str) -> Result:
    return shell(
        ["crontab", *arguments],
        stdin=stdin,
        timeout=_PATIENCE,
        env={"LC_ALL": "C", **env},
        keep=2 * _MOST,
        lines=0,
        log=_quiet,
    )


def _failed(what: str, result: Result) -> CrontabError:
    said = (result.err.strip() or result.out.strip())[:500]
    found = said or ("no answer in time" if result.timed_out else f"exit code {result.code}")
    hint = "Install cron, or let another supervisor run the roles" if not result.started else None
    return CrontabError(what, expected="`crontab` to do as asked", found=found, hint=hint)
