"""What has to be answered for: who did what, on whom, and how it ended.

An *entry* is a small file in the home's ``audit/`` from before the act begins until the agent of the home has put it into its
control stream, which is signed, chained, and never dropped from. So an act is accounted for whether or not an agent runs, and
one whose process died in the middle of it is too: its outcome is then unknown, and said to be.

=====================  ==========================================================================
``TIME-UID.open``      the act is under way; its process holds a lock (``flock``) on the file
``TIME-UID.json``      it has ended
=====================  ==========================================================================

Nobody but the user of the home can leave an entry: the folder is private to that user, as the keys are.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pwd
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from tabard import exits, files
from tabard.errors import HomeError, TabardError
from tabard.home import Home

FOLDER: Final = "audit"
PREFIX: Final = "audit."
"""How the kind of every record of an entry begins."""
UNDER_WAY: Final = ".open"
ENDED: Final = ".json"

DONE: Final = "done"
PARTLY: Final = "partly"
FAILED: Final = "failed"
REFUSED: Final = "refused"
UNKNOWN: Final = "unknown"
"""Its process died, or the machine did: it may have been done, or not, or in part."""
OUTCOMES: Final = (DONE, PARTLY, FAILED, REFUSED, UNKNOWN)
_BY_CODE: Final = {exits.DONE: DONE, exits.PARTLY: PARTLY, exits.REFUSED: REFUSED}

MOST: Final = 16_384
"""Bytes of an entry's file."""
MAX_TEXT: Final = 1_024
"""Characters of each text of an entry."""
MAX_WHAT: Final = 32
_KIND: Final = re.compile(r"[a-z]+(?:[._-][a-z]+)*")
_NAME: Final = re.compile(r"(\d{20})-([0-9a-f]{16})\.(?:open|json)")


class Entry(NamedTuple):
    """An act that is accounted for."""

    uid: str
    """16 hexadecimal digits that name it: the same entry twice is one act."""
    time: int
    """When it began, nanoseconds since 1970 UTC."""
    kind: str
    """What was done, as ``keys.revoke``."""
    who: str
    what: Mapping[str, Any]
    """On whom, and how: texts, numbers, and lists of these."""
    outcome: str
    detail: str = ""
    """Why it failed or was refused."""

    @property
    def data(self) -> dict[str, Any]:
        """What its record in the control stream says."""
        said = {"uid": self.uid, "who": self.who, "what": dict(self.what), "outcome": self.outcome}
        return {**said, "detail": self.detail} if self.detail else said


class Account:
    """An act under way."""

    def __init__(self) -> None:
        self.outcome = UNKNOWN
        self.detail = ""
        self.void = False
        """Nothing was begun, so there is nothing to answer for."""

    def end(self, outcome: str, detail: str = "") -> None:
        """How it ended."""
        self.outcome, self.detail = outcome, detail

    def ended_with(self, code: int | None) -> None:
        """By the exit code of a command."""
        self.void = code == exits.WRONG_USE
        self.end(_BY_CODE.get(code or exits.DONE, FAILED))


def somebody() -> str:
    """The user of this process, and who became it by sudo, on which host."""
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        user = f"uid {os.getuid()}"
    behind = os.environ.get("SUDO_USER", "")
    by = f" (sudo by {behind})" if behind and behind.isprintable() and behind != user else ""
    return f"{user}@{os.uname().nodename}{by}"


@contextlib.contextmanager
def accounted(home: Home, kind: str, what: Mapping[str, Any], who: str = "") -> Iterator[Account]:
    """Account for what is done in the body: before it begins that it is tried, after it how it ended.

    ``who`` is the user of this process unless it is given. An error that ends the body is its outcome, and goes on.
    Raises HomeError when the act cannot be written down: then it must not be done. What ends wrongly as a wrong use of a
    command (`exits.WRONG_USE`) changed nothing and leaves nothing.
    """
    uid, since = os.urandom(8).hex(), time.time_ns()
    entry = _fitting(Entry(uid, since, _checked(kind), _text(who or somebody()), _plain(what), UNKNOWN))
    folder = home.path / FOLDER
    base = folder / f"{since:020d}-{uid}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = _begun(base.with_suffix(UNDER_WAY), entry)
        files.sync(folder)
    except OSError as error:
        raise _unwritable(folder, error) from error
    account = Account()
    try:
        yield account
    except TabardError as error:
        account.void = error.exit_code == exits.WRONG_USE
        account.end(REFUSED if error.exit_code == exits.REFUSED else FAILED, str(error))
        raise
    except BaseException as error:
        account.end(FAILED, f"{type(error).__name__}: {error}".rstrip(": "))
        raise
    finally:
        try:
            if not account.void:
                ended = _fitting(entry._replace(outcome=account.outcome, detail=_text(account.detail)))
                files.write_json(base.with_suffix(ENDED), ended._asdict())
            files.remove(base.with_suffix(UNDER_WAY))
            files.sync(folder)
        except OSError as error:
            raise _unwritable(folder, error) from error
        finally:
            os.close(lock)


def note(
    home: Home, kind: str, what: Mapping[str, Any], *, who: str = "", outcome: str = DONE, detail: str = ""
) -> None:
    """Account for what has happened already. Raises HomeError when it cannot be written down."""
    with accounted(home, kind, what, who) as account:
        account.end(outcome, detail)


def waiting(home: Home) -> list[Entry]:
    """The entries that no agent has taken yet, oldest first; acts that are under way are among them, as unknown."""
    return [entry for entry, _paths in entries(home, under_way=True) if entry is not None]


def entries(home: Home, *, under_way: bool = False) -> Iterator[tuple[Entry | None, list[Path]]]:
    """Each act that has ended, or whose process has, with its files; None for files that are no entry."""
    folder = home.path / FOLDER
    try:
        names = sorted(found.name for found in os.scandir(folder) if not found.name.startswith("."))
    except OSError:
        return
    both: dict[str, list[Path]] = {}
    for name in names:
        both.setdefault(name.rpartition(".")[0], []).append(folder / name)
    for paths in both.values():  # of one act, what it was when it had ended stands before what it was to be
        ended = [path for path in paths if path.suffix == ENDED]
        if not ended and not under_way and _is_held(paths[0]):
            continue
        yield _read((ended or paths)[0]), paths


def _begun(path: Path, entry: Entry) -> int:
    """Write an entry whose file is locked from before it has its name. Raises OSError."""
    temporary = path.with_name(f".{path.name}")
    descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.write(descriptor, json.dumps(entry._asdict()).encode())
        os.fsync(descriptor)
        os.rename(temporary, path)
    except BaseException:
        os.close(descriptor)
        files.remove(temporary)
        raise
    return descriptor


def _is_held(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return True  # it ended just now: the next look finds how
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return not path.exists()


def _read(path: Path) -> Entry | None:
    named = _NAME.fullmatch(path.name)
    content = None
    with contextlib.suppress(OSError):
        content = files.read_json(path) if path.stat().st_size <= MOST else None
    if named is None or content is None:
        return None
    try:
        entry = Entry(**content)
        whole = (entry.uid, entry.time) == (named[2], int(named[1])) and entry.outcome in OUTCOMES
        texts = all(isinstance(text, str) for text in (entry.kind, entry.who, entry.detail))
        return (
            entry
            if whole and texts and _KIND.fullmatch(entry.kind) and isinstance(entry.what, dict)
            else None
        )
    except TypeError:
        return None


def _checked(kind: str) -> str:
    if not _KIND.fullmatch(kind):
        raise ValueError(f"a kind is words joined by dots, found {kind!r}")
    return kind


def _plain(what: Mapping[str, Any]) -> dict[str, Any]:
    if len(what) > MAX_WHAT:
        raise ValueError(f"at most {MAX_WHAT} words, found {len(what)}")
    return {str(name): _value(value) for name, value in what.items()}


def _value(value: Any) -> Any:
    if value is None or isinstance(value, (bool, float)):
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else str(value)
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_text(str(each)) for each in list(value)[:MAX_WHAT]]
    return _text(str(value))


def _text(text: str, most: int = MAX_TEXT) -> str:
    return text.encode("utf-8", "replace").decode().replace("\0", "\\0")[:most]


def _fitting(entry: Entry) -> Entry:
    """With texts as short as it takes for its file."""
    most = MAX_TEXT
    while len(json.dumps(entry._asdict())) > MOST:
        most //= 2
        what = {_text(name, most): _cut(value, most) for name, value in entry.what.items()}
        entry = entry._replace(who=_text(entry.who, most), what=what, detail=_text(entry.detail, most))
    return entry


def _cut(value: Any, most: int) -> Any:
    if isinstance(value, list):
        return [_text(each, most) for each in value]
    return _text(value, most) if isinstance(value, str) else value


def _unwritable(folder: Path, error: OSError) -> HomeError:
    return HomeError(
        "what is done here cannot be accounted for",
        expected="a folder that this user may write to, on a disk with room",
        found=error.strerror or str(error),
        where=str(folder),
        hint="Nothing that has to be answered for is done without an entry",
    )
