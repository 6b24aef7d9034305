"""The queue on disk: two files a mail, which any process of the host may work off.

``mail/queue/ID.eml`` is the mail as it was composed, never changed; ``ID.json`` is who is still to get it and what
was tried. A mail is in the queue from the moment its ``.eml`` is there. Whoever hands it over holds a lock on that
file, which ends with the process. ``mail/failed`` holds in the same form what was given up.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from tabard import files
from tabard.mail.compose import Composed
from tabard.mail.errors import MailError, QueueFull

_ID: Final = re.compile(r"[0-9]{20}-[0-9a-f]{12}", re.ASCII)
_REASON: Final = 500
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
ORPHAN: Final = 3_600.0
"""Seconds after which a file is removed that a crash left without its other half."""


class Limits(NamedTuple):
    """Most mails and bytes in the queue, and again among those given up."""

    mails: int = 10_000
    bytes: int = 134_217_728


class Entry(NamedTuple):
    """One mail in the queue, or given up."""

    id: str
    message_id: str
    sender: str
    recipients: tuple[str, ...]
    """Those who do not have it yet."""
    subject: str
    utf8: bool
    queued: int
    """Nanoseconds since 1970 UTC."""
    tries: int = 0
    next_try: int = 0
    reason: str = ""
    """Why it is still here."""
    last_try: int = 0
    """When it was tried last, without success; 0 when it was not."""


class Queue:
    """The mails below one folder. Several processes and threads may use it at once."""

    def __init__(self, folder: str | os.PathLike[str], limits: Limits | None = None) -> None:
        self.folder: Final = Path(folder)
        self.limits: Final = limits or Limits()
        self._waiting: Final = self.folder / "queue"
        self._failed: Final = self.folder / "failed"

    def put(self, mail: Composed, now: int) -> Entry:
        """Take a mail in; when this returns, it survives a power cut. Raises QueueFull, or MailError for the disk."""
        entry = Entry(mail.id, mail.message_id, mail.sender, mail.recipients, mail.subject, mail.utf8, now)
        try:
            self._ensure()
            self._check_room(len(mail.raw))
            files.write_json(self._waiting / f"{mail.id}.json", _state(entry))
            files.write(self._waiting / f"{mail.id}.eml", mail.raw)
            files.sync(self._waiting)
        except OSError as error:
            with contextlib.suppress(OSError):
                files.remove(self._waiting / f"{mail.id}.eml")
                files.remove(self._waiting / f"{mail.id}.json")
            raise MailError(
                "the mail cannot be queued",
                expected="a disk that takes it",
                found=error.strerror or str(error),
                where=str(self._waiting),
            ) from error
        return entry

    def entries(self, *, failed: bool = False) -> list[Entry]:
        """What waits, or what was given up, oldest first."""
        folder = self._failed if failed else self._waiting
        found = (_entry(files.read_json(folder / f"{name}.json"), name) for name in _ids(folder))
        return [entry for entry in found if entry is not None]

    def count(self) -> int:
        """How many wait. Reads none of them."""
        return len(_ids(self._waiting))

    def damaged(self) -> list[str]:
        """Ids of mails whose state cannot be read: nobody can say whom they are for."""
        return [
            name
            for name in _ids(self._waiting)
            if _entry(files.read_json(self._waiting / f"{name}.json"), name) is None
            and (self._waiting / f"{name}.eml").exists()  # its state goes last when it is finished
        ]

    @contextlib.contextmanager
    def claim(self, name: str) -> Iterator[tuple[Entry, bytes] | None]:
        """A mail to hand over, and nobody else does meanwhile; None when somebody does, or has done it."""
        try:
            descriptor = os.open(self._waiting / f"{name}.eml", os.O_RDONLY)
        except FileNotFoundError:
            yield None
            return
        with open(descriptor, "rb") as file:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield None
                return
            try:
                entry = _entry(files.read_json(self._waiting / f"{name}.json"), name)
                gone = os.fstat(descriptor).st_nlink == 0 or not (self._waiting / f"{name}.eml").exists()
                yield None if gone or entry is None else (entry, file.read())
            finally:
                # Said, since closing is not enough: a child forked meanwhile would hold it as long as it lives.
                fcntl.flock(descriptor, fcntl.LOCK_UN)

    def check_writable(self) -> None:
        """Raise OSError where what becomes of a mail could not be kept: one handed over there is so again and again."""
        if not os.access(self._waiting, os.W_OK | os.X_OK):
            raise OSError(errno.EROFS, "cannot be written", str(self._waiting))

    def later(self, entry: Entry) -> bool:
        """Keep what was tried. Only for a mail that is claimed.

        False when the disk is full and it was, at least, kept who is still to get it. Raises OSError when not even that
        can be.
        """
        path = self._waiting / f"{entry.id}.json"
        try:
            files.write_json(path, _state(entry))
        except OSError as error:
            if error.errno not in _FULL:
                raise
            _overwrite(path, entry)
            return False
        files.sync(self._waiting)
        return True

    def done(self, name: str) -> None:
        """Forget a mail that everybody has. Only for a mail that is claimed."""
        files.remove(self._waiting / f"{name}.eml")
        files.remove(self._waiting / f"{name}.json")
        files.sync(self._waiting)

    def give_up(self, entry: Entry, reasons: Mapping[str, str]) -> list[str]:
        """List a mail as given up for these recipients, with the reason for each; ids that had to make room.

        Only for a mail that is claimed. It stays in the queue; ``later`` or ``done`` follows.
        """
        before = _entry(files.read_json(self._failed / f"{entry.id}.json"), entry.id)
        recipients = dict.fromkeys((*(before.recipients if before else ()), *reasons))
        reason = "; ".join(f"{name}: {why}" for name, why in reasons.items())
        if before and before.reason:
            reason = f"{before.reason}; {reason}"
        dropped = self._make_room()
        with contextlib.suppress(FileExistsError):
            os.link(self._waiting / f"{entry.id}.eml", self._failed / f"{entry.id}.eml")
        kept = entry._replace(recipients=tuple(recipients), reason=reason[:_REASON])
        files.write_json(self._failed / f"{entry.id}.json", _state(kept))
        files.sync(self._failed)
        return dropped

    def retry(self, name: str, now: int) -> bool:
        """Put a mail that was given up back into the queue, for those who did not get it.

        False when it is not there, or is just being handed over to others.
        """
        entry = _entry(files.read_json(self._failed / f"{name}.json"), name)
        if _ID.fullmatch(name) is None or entry is None or not (self._failed / f"{name}.eml").exists():
            return False
        with self.claim(name) as claimed:
            if claimed is None and (self._waiting / f"{name}.eml").exists():
                return False
            # A mail may be in both: given up for some, waiting for others.
            waiting = claimed[0].recipients if claimed else ()
            fresh = entry._replace(
                recipients=tuple(dict.fromkeys((*waiting, *entry.recipients))),
                queued=now,
                tries=0,
                next_try=0,
                reason="",
                last_try=0,
            )
            files.write_json(self._waiting / f"{name}.json", _state(fresh))
            with contextlib.suppress(FileExistsError):
                os.link(self._failed / f"{name}.eml", self._waiting / f"{name}.eml")
            files.sync(self._waiting)
        return self.drop(name, failed=True)

    def drop(self, name: str, *, failed: bool = False) -> bool:
        """Remove a mail for good; False when it is not there, or is being handed over."""
        folder = self._failed if failed else self._waiting
        if _ID.fullmatch(name) is None or not (folder / f"{name}.eml").exists():
            return False
        if not failed:
            with self.claim(name) as claimed:
                if claimed is None and name not in self.damaged():
                    return False
                self.done(name)
                return True
        files.remove(folder / f"{name}.eml")
        files.remove(folder / f"{name}.json")
        files.sync(folder)
        return True

    def away(self) -> dict[str, Any]:
        """That the server is away: ``tries``, ``next_try``, ``last_try`` (nanoseconds), ``reason``; empty when it is not."""
        found = {"last_try": 0, "reason": "", **(files.read_json(self.folder / "away.json") or {})}
        return found if all(isinstance(found.get(key), kind) for key, kind in _AWAY.items()) else {}

    def set_away(self, tries: int, next_try: int, reason: str, last_try: int = 0) -> None:
        """Note that the server was not reached; with 0 tries, that it was."""
        if tries:
            content = {
                "tries": tries,
                "next_try": next_try,
                "reason": reason[:_REASON],
                "last_try": last_try,
            }
            files.write_json(self.folder / "away.json", content)
        else:
            files.remove(self.folder / "away.json")

    def tidy(self, now: float) -> None:
        """Remove halves of mails that a crash left behind, some time ago (``now`` in seconds since 1970)."""
        for folder in (self._waiting, self._failed):
            whole = set(_ids(folder))
            for entry in _scan(folder):
                stem = entry.name.partition(".")[0]
                if not entry.name.endswith(".eml") and stem not in whole and _age(entry, now) > ORPHAN:
                    files.remove(Path(entry.path))

    def _ensure(self) -> None:
        for folder in (self.folder, self._waiting, self._failed):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _check_room(self, size: int) -> None:
        mails, used = _use(self._waiting)
        if mails >= self.limits.mails or used + size > self.limits.bytes:
            raise QueueFull(
                "the queue of mails is full",
                expected=f"at most {self.limits.mails} mails and {self.limits.bytes} bytes",
                found=f"{mails} mails and {used} bytes, and another of {size}",
                where=str(self._waiting),
                hint="`tabard mail queue` says why they wait",
            )

    def _make_room(self) -> list[str]:
        """Remove the oldest of those given up until one more fits."""
        dropped = []
        mails, used = _use(self._failed)
        for name in _ids(self._failed):
            if mails < self.limits.mails and used < self.limits.bytes:
                break
            used -= (self._failed / f"{name}.eml").stat().st_size
            mails -= 1
            self.drop(name, failed=True)
            dropped.append(name)
        return dropped


def with_last_failure(entry: Entry, away: Mapping[str, Any]) -> Entry:
    """A mail that waits, with the failure that came last: its own, or that of a server that is ``away`` for all.

    What kept all of them back is noted once, beside the queue, and not in each of them.
    """
    if not away or (entry.reason and entry.last_try > away["last_try"]):
        return entry
    tries = "1 try" if away["tries"] == 1 else f"{away['tries']} tries"
    return entry._replace(
        next_try=max(entry.next_try, away["next_try"]),
        reason=f"the mail server cannot be used, {tries}: {away['reason']}",
        last_try=max(entry.last_try, away["last_try"] if away["last_try"] >= entry.queued else 0),
    )


_AWAY: Final = {"tries": int, "next_try": int, "last_try": int, "reason": str}
_KINDS: Final = {
    "message_id": str,
    "sender": str,
    "recipients": list,
    "subject": str,
    "utf8": bool,
    "queued": int,
    "tries": int,
    "next_try": int,
    "reason": str,
}


def _entry(content: dict[str, Any] | None, name: str) -> Entry | None:
    """The entry of a file, None when it is not what was written there."""
    if content is None or not all(isinstance(content.get(key), kind) for key, kind in _KINDS.items()):
        return None
    recipients = content["recipients"]
    if not recipients or not all(isinstance(one, str) for one in recipients):
        return None
    facts = {key: content[key] for key in _KINDS}
    last_try = content.get("last_try")
    facts["last_try"] = last_try if isinstance(last_try, int) else 0
    return Entry(id=name, **{**facts, "recipients": tuple(recipients)})


def _state(entry: Entry) -> dict[str, Any]:
    """What is written of a mail: of one that was not tried no time, so that there is no more of it than at first."""
    content = entry._asdict()
    if not entry.last_try:
        del content["last_try"]
    return content


def _overwrite(path: Path, entry: Entry) -> None:
    """Put ``entry`` where its state is, into the room that this has: less of it, where it has become longer."""
    size = path.stat().st_size
    bare = entry._replace(reason="", last_try=0)
    for kept in (entry, entry._replace(reason=""), bare, bare._replace(next_try=0, tries=0)):
        data = json.dumps(_state(kept), ensure_ascii=False).encode()
        if len(data) <= size:
            with open(path, "r+b") as file:
                file.write(data.ljust(size))
                file.flush()
                os.fsync(file.fileno())
            return
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def _ids(folder: Path) -> list[str]:
    """Ids of the mails in a folder, oldest first."""
    return sorted(
        name.removesuffix(".eml")
        for name in (entry.name for entry in _scan(folder))
        if name.endswith(".eml") and _ID.fullmatch(name.removesuffix(".eml"))
    )


def _scan(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except FileNotFoundError:
        return []


def _use(folder: Path) -> tuple[int, int]:
    sizes = []
    for entry in _scan(folder):
        with contextlib.suppress(FileNotFoundError):
            if entry.name.endswith(".eml"):
                sizes.append(entry.stat().st_size)
    return len(sizes), sum(sizes)


def _age(entry: os.DirEntry[str], now: float) -> float:
    try:
        return now - entry.stat().st_mtime
    except FileNotFoundError:
        return 0.0
