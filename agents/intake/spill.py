"""What processes left in a spool because no agent took it: read when they are gone, accepted, removed.

Such a file holds what its writer would have sent over the socket, under the same source and numbers, and its
owner is what the peer's user would have been. So a frame that came over the socket as well is known, and so is one
that was journaled before this agent died in the middle of a file. A writer that lives keeps its file locked, and
sends it itself.
"""

from __future__ import annotations

import fcntl
import logging
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from tabard.agents.intake.batcher import Batcher
from tabard.agents.intake.defaults import NO_DEFAULTS, Defaults
from tabard.agents.intake.ports import Handle, Loop
from tabard.agents.intake.protocol import Event, Hello, Parser, Records, Refusal, Violation
from tabard.agents.intake.sources import Source, Sources
from tabard.agents.samplers.users import Users
from tabard.intake_frames import DAMAGED, SPILL, UNMADE

SCAN_SECONDS: Final = 2.0
"""Time between two looks into the directories."""
READ_BYTES: Final = 262_144
"""Bytes read at a turn."""
MOST_NAMES: Final = 10_000
"""Entries of a directory that are looked at."""
_UNMADE_SECONDS: Final = 3_600.0
"""Age of a file that was never begun, after which it is removed."""
_SETTLE_SECONDS: Final = 0.05
"""Time until a file is looked at again of which something was not journaled yet."""
_SHOWN: Final = 16

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class SpillStats:
    """What was counted since the start."""

    files: int = 0
    records: int = 0
    resent: int = 0
    """Frames that had been accepted before."""
    repaired: int = 0
    """Records that did not fit and were normalised or cut."""
    torn: int = 0
    """Files that ended in the middle of a frame: their writer was killed while it wrote."""
    damaged: int = 0
    """Files put aside because they could not be read to their end."""


@dataclass(slots=True)
class _File:
    """The file that is being taken in."""

    path: str
    descriptor: int
    owner: int
    parser: Parser
    size: int
    read: int = 0
    source: Source | None = None
    open_groups: int = 0
    """Groups handed to the batcher and not yet journaled."""
    broken: bool = False
    """Whether what follows cannot be understood."""
    ended: bool = False
    faults: list[str] = field(default_factory=list)


class SpillReader:
    """Takes the files of some directories in, one after the other. ``sources`` are those of the intake socket."""

    def __init__(
        self,
        loop: Loop,
        batcher: Batcher,
        sources: Sources,
        wall: Callable[[], int],
        directories: Iterable[Path],
        *,
        users: Users | None = None,
        defaults: Defaults = NO_DEFAULTS,
    ) -> None:
        self._loop = loop
        self._batcher = batcher
        self._sources = sources
        self._wall = wall
        self._directories = [str(directory) for directory in directories]
        self._users = users or Users()
        self._defaults = defaults
        self._file: _File | None = None
        self._timer: Handle | None = None
        self._left: dict[tuple[int, int], tuple[str, str]] = {}
        """Files that stay where they are, by device and inode: path and reason."""
        self._waiting: list[tuple[str, int]] = []
        """Files that nobody has locked, as the last look found them."""
        self.stats: Final = SpillStats()

    def open(self) -> None:
        """Begin to look."""
        self._batcher.on_ready.append(self._read)
        self._scan()

    def close(self) -> None:
        """Look no more. A file in the middle is read again by the next agent, which knows the frames it has."""
        if self._timer is not None:
            self._timer.cancel()
        if self._read in self._batcher.on_ready:
            self._batcher.on_ready.remove(self._read)
        if self._file is not None:
            os.close(self._file.descriptor)
            self._file = None

    @property
    def busy(self) -> bool:
        """Whether there is something to be taken in."""
        return self._file is not None or bool(self._waiting)

    def sources(self) -> list[dict[str, Any]]:
        """The file that is read, those that wait, and those that stay where they are, as rows of the status."""
        rows = []
        if self._file is not None:
            done, size = self._file.read, self._file.size
            rows.append(_row(self._file.path, "reading", "", done, size))
        rows += [
            _row(path, "waiting", "its turn comes, or its writer still has it", 0, size)
            for path, size in self._waiting[:_SHOWN]
        ]
        rows += [
            _row(path, "skipped" if path.endswith(DAMAGED) else "unreadable", why, 0, None)
            for path, why in list(self._left.values())[:_SHOWN]
        ]
        return rows

    def faults(self) -> list[list[Any]]:
        """What is wrong: kind, where, detail, since (0: not known), as the agent's other faults."""
        return [
            ["spool", path, f"is not taken in: {why}", 0] for path, why in list(self._left.values())[:_SHOWN]
        ]

    # --- looking ---------------------------------------------------------------------------

    def _scan(self) -> None:
        self._timer = self._loop.call_at(self._loop.now() + SCAN_SECONDS, self._scan)
        if self._file is None and not self._batcher.blocked:
            self._next()

    def _next(self) -> None:
        """Begin with the oldest file that nobody has locked."""
        seen: set[tuple[int, int]] = set()
        found = sorted(entry for directory in self._directories for entry in self._entries(directory, seen))
        self._left = {key: left for key, left in self._left.items() if key in seen}
        self._waiting = []
        for _, path, size in found:
            if self._file is None:
                self._file = self._opened(path)
                if self._file is not None:
                    self._loop.call_at(self._loop.now(), self._read)
            else:
                self._waiting.append((path, size))

    def _entries(self, directory: str, seen: set[tuple[int, int]]) -> Iterator[tuple[int, str, int]]:
        """Time of the last change, path and size of each file that may have to be taken in; all go to ``seen``."""
        try:
            entries = os.scandir(directory)
        except OSError:
            return
        with entries:
            for _, entry in zip(range(MOST_NAMES), entries, strict=False):
                try:
                    state = entry.stat(follow_symlinks=False)
                except OSError:  # its writer has just removed it
                    continue
                seen.add((state.st_dev, state.st_ino))
                if entry.name.endswith(UNMADE):
                    self._clear(entry.path, state)
                elif entry.name.endswith(DAMAGED):
                    self._left.setdefault((state.st_dev, state.st_ino), (entry.path, "damaged"))
                elif entry.name.endswith(SPILL) and (state.st_dev, state.st_ino) not in self._left:
                    yield state.st_mtime_ns, entry.path, state.st_size

    def _clear(self, path: str, state: os.stat_result) -> None:
        if abs(self._wall() - state.st_mtime_ns) > _UNMADE_SECONDS * 1e9:
            _unlink(path)

    def _opened(self, path: str) -> _File | None:
        """The file, locked; None when its writer has it, it is gone, or it is nothing that can be read."""
        try:
            state = os.lstat(path)
        except OSError:  # gone, or a directory that was closed: seen again or not at the next look
            return None
        if not stat.S_ISREG(state.st_mode):
            self._put_aside(path, state, f"expected a file, found {stat.filemode(state.st_mode)}")
            return None
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:  # its writer has handed it over itself
            return None
        except OSError as error:
            self._leave(path, state, error.strerror or str(error))
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            state = os.fstat(descriptor)
            if not stat.S_ISREG(state.st_mode) or not os.path.samestat(state, os.lstat(path)):
                raise OSError("another file now")  # noqa: TRY301 -- looked at again next time
        except OSError:
            os.close(descriptor)
            return None
        return _File(path, descriptor, state.st_uid, Parser(self._wall, self._defaults), state.st_size)

    # --- reading ---------------------------------------------------------------------------

    def _read(self) -> None:
        file = self._file
        if file is None or self._batcher.blocked:
            return
        if file.ended:
            self._finish(file)
            return
        try:
            data = os.read(file.descriptor, READ_BYTES)
        except OSError as error:
            file.faults.append(error.strerror or str(error))
            file.broken, data = True, b""
        file.read += len(data)
        for event in file.parser.feed(data) if data else ():
            self._on_event(file, event)
        if not data or file.broken:
            file.ended = True
            self._finish(file)
        else:
            self._loop.call_at(self._loop.now(), self._read)

    def _on_event(self, file: _File, event: Event) -> None:
        if isinstance(event, Records) and file.source is not None:
            self._on_records(file, file.source, event)
        elif isinstance(event, Hello) and event.source:
            file.source = self._sources.get(f"socket:{file.owner}:{event.source}")
        elif isinstance(event, Hello):
            file.broken = True
            file.faults.append("it does not name its source, so its frames cannot be told from others")
        elif isinstance(event, Refusal) and file.source is not None:
            file.source.refuse(event.number)
            file.faults.append(f"frame {event.number} of it: {event.reason}")
        elif isinstance(event, (Refusal, Violation)):
            file.broken = True
            file.faults.append(f"at most {file.read} bytes from its beginning: {event.reason}")
        else:
            file.broken = True
            file.faults.append("it holds something else than frames of records")

    def _on_records(self, file: _File, source: Source, event: Records) -> None:
        if event.number <= source.received:
            self.stats.resent += 1
            return
        source.received = event.number
        self.stats.records += event.total
        self.stats.repaired += event.repaired
        file.open_groups += 1
        name = self._users.name(file.owner)
        origin = f"uid {file.owner} ({name})" if name else f"uid {file.owner}"
        done = partial(self._accepted, file, source, event.number)
        mark = source.mark(event.number)
        self._batcher.add(source.key, mark, origin, event.records, event.total, done)

    def _accepted(self, file: _File, source: Source, number: int) -> None:
        source.accepted = max(source.accepted, number)
        file.open_groups -= 1
        if file.ended:
            self._finish(file)

    # --- the end of a file -----------------------------------------------------------------

    def _finish(self, file: _File) -> None:
        """Remove the file or put it aside, once all that was in it is journaled."""
        if file.open_groups or file is not self._file:
            return
        if file.source is not None and not file.source.settled:
            # Some of it came over the socket and is not journaled: this file is all that survives the agent.
            self._batcher.flush()
            self._loop.call_at(self._loop.now() + _SETTLE_SECONDS, self._read)
            return
        self._file = None
        state = os.fstat(file.descriptor)
        if not file.faults and file.source is None:
            file.faults.append("it does not say whose it is")
        if file.faults:
            self._put_aside(file.path, state, file.faults[0])
        else:
            self.stats.files += 1
            if torn := file.parser.buffered:
                self.stats.torn += 1
                _log.warning("%s ended within a frame: its last %d bytes are lost", file.path, torn)
            _log.info("took in %s, %d bytes", file.path, file.read)
            if not _unlink(file.path):
                self._leave(file.path, state, "taken in, and cannot be removed")
        os.close(file.descriptor)
        if not self._batcher.blocked:
            self._next()

    def _put_aside(self, path: str, state: os.stat_result, why: str) -> None:
        """Keep a file that cannot be read to its end, under a name that says so."""
        self.stats.damaged += 1
        aside = path.removesuffix(SPILL) + DAMAGED
        try:
            os.rename(path, aside)
        except OSError:
            aside = path
        self._leave(aside, state, why)

    def _leave(self, path: str, state: os.stat_result, why: str) -> None:
        self._left[state.st_dev, state.st_ino] = (path, why)
        _log.error("%s stays where it is: %s", path, why)


def _unlink(path: str) -> bool:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _row(path: str, state: str, why: str, offset: int, size: int | None) -> dict[str, Any]:
    """In the form of a tailed file's."""
    lag = 0 if size is None else size - offset
    return {"path": path, "state": state, "why": why, "offset": offset, "size": size, "lag": lag}
