"""The files of one path that are not at it any more: moved away, copied, or rotated before they were seen.

Each has a turn, which its mark tells: after a restart, too, they are read one after the other, and the file at the path after
them. So a file that has another name by the time it is to be opened is looked for again before any that came after it is taken.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Final

from tabard.agents.intake.tail.beside import Beside, Parked
from tabard.agents.intake.tail.file import TailedFile, Truncated, unreadable_kind
from tabard.agents.intake.tail.marks import Mark, digest_of, read_head
from tabard.agents.intake.tail.siblings import (
    Sibling,
    find_copy,
    find_moved,
    open_regular,
    settled,
    siblings,
)
from tabard.agents.intake.tail.trail import Trail
from tabard.agents.intake.tail.unseen import Met, unseen_since

PARTING_SECONDS: Final = 60.0
"""How long a file that was moved away or deleted has to be quiet before it is let go of."""
_MOST: Final = 16
_TRIES: Final = 3
_MOST_UNSETTLED: Final = 20
"""Searches in turn that may find names changing before the file at the path is read all the same."""
_GONE_AWAY: Final = "a rotated file that was read up to byte"
_UNKNOWN: Final = "what was written to it later is not known"


class Away:
    """Reads each on through its descriptor until it was quiet for a minute."""

    def __init__(self, trail: Trail) -> None:
        self._trail = trail
        self.files: Final[list[TailedFile]] = []
        self._parked: list[Parked] = []
        self._turn = 0
        """The last that was given."""
        self._last: tuple[int, int] | None = None
        """The file that was at the path last, or the copy that is read in its stead."""
        self._beside = Beside(trail, self.files, self._parked)
        self._gone: dict[Mark, str] = {}
        """Files that are not beside the path, and what is said when no other path turns out to have them."""
        self._empty: dict[int, float] = {}
        """When files with nothing in them were found first: a daemon may still write to them."""
        self.again = False
        """Whether to look again: a name changed meanwhile, or a file is empty that may still be written to."""
        self._unsettled = 0
        """Searches in turn in which names changed all the time."""

    @property
    def idle(self) -> bool:
        """Whether none is open or waits to be opened."""
        return not self.files and not self._parked

    @property
    def unsettled(self) -> bool:
        """Whether a file may be missing that is to be read before the one at the path: names change just now."""
        return 0 < self._unsettled <= _MOST_UNSETTLED

    @property
    def lag(self) -> int:
        """Bytes of which no record was handed out yet."""
        parked = sum(max(parked.size - parked.mark.offset, 0) for parked in self._parked)
        return parked + sum(file.lag for file in self.files)

    # --- files come ---

    def take(self, file: TailedFile, now: float) -> None:
        """The file that was at the path is not there any more."""
        file.touched = now
        self._displace(file.identity[1])
        self._last = file.identity
        self._give_turn(file)
        self.files.append(file)
        # Before its path gets the mark of another file, this one's is journaled under its own key.
        self._trail.around.keep(self._trail.away_key(file), file.mark())
        try:
            file.check()
        except Truncated:
            self._anew(file, now)
        except OSError:
            return  # said when it is read

    def _give_turn(self, file: TailedFile) -> None:
        """It is read after all that are here."""
        self._turn = file.turn = self._turn + 1

    def save_rest(self, file: TailedFile, key: str, now: float) -> None:
        """What was not read of a file before it was emptied is in a copy beside it, if one was made."""
        mark = file.mark()
        if mark.offset == 0 and not mark.length:
            return
        for _ in range(_TRIES):
            copy = find_copy(settled(self._trail.path)[0], mark, self._beside.taken)
            if copy is None:
                break
            if self._read_on(copy, mark.offset, now):
                if key == self._trail.key or file.identity == self._last:
                    self._last = copy.identity
                return
        self._trail.finish(file, key, now)
        if not mark.offset and find_copy(siblings(self._trail.path), mark, lambda _copy: False) is not None:
            return  # it is read whole already, under its own path
        self._trail.warn(
            f"it was emptied or written anew after byte {file.recorded} had been read, and no copy of it was found;"
            " what was written to it in between is not known",
            mark,
        )

    def resume(self, mark: Mark, now: float) -> None:
        """After a restart: a file that had been moved away is read on, wherever rotation has put it since."""
        self._turn = max(self._turn, mark.turn)
        if mark.over:
            return
        for found in self._sought(mark):
            if found.size <= mark.offset and not self._trail.around.room():
                self._parked.append(Parked(mark, now + PARTING_SECONDS, found.size))
                return
            # Also with nothing new: a daemon may still write to it.
            if self._read_on(found, mark.offset, now):
                return
        if mark.before:  # else it was journaled when nobody noted which files were over
            self._gone[mark] = f"{_GONE_AWAY} {mark.offset} is gone; {_UNKNOWN}"

    def _sought(self, mark: Mark) -> Iterator[Sibling]:
        """The marked file or its copy, looked for anew for as long as it has another name by the time it is opened."""
        for _ in range(_TRIES):
            beside, _ = settled(self._trail.path)
            found = find_moved(beside, mark) or find_copy(beside, mark, self._beside.taken)
            if found is not None:
                yield found

    def find_rest(self, mark: Mark, now: float) -> None:
        """After a restart: read on the file that was at the path, or a copy of it if it was emptied."""
        if not mark.length and not mark.offset:
            return  # it was empty: whatever it became is found among the unseen
        for rest in self._sought(mark):
            if self._read_on(rest, mark.offset, now):
                self._last = rest.identity
                return
        self._gone[mark] = f"the file that was read up to byte {mark.offset} is gone; {_UNKNOWN}"

    def settle(self) -> None:
        """What lies beside the path now and was not taken is older than what is followed."""
        self._beside.settle()

    def find_unseen(self, last: Mark, current: TailedFile | None, now: float) -> None:
        """Read files that were at the path between two looks, after the one that was seen there last."""
        seen = any(self._find_unseen(last, current, now) for _ in range(_TRIES))
        self._unsettled = 0 if seen else self._unsettled + 1
        self.again = not seen or any(now - since < PARTING_SECONDS for since in self._empty.values())

    def _find_unseen(self, last: Mark, current: TailedFile | None, now: float) -> bool:
        """Look once; False when a name changed meanwhile: what was taken is in order, and there may be more."""
        self._beside.again = False
        beside, alike = settled(self._trail.path)
        found = [(sibling, self._beside.met(sibling, last, current, self._last)) for sibling in beside]
        if self._beside.again or not alike:
            return False
        self._beside.forget_all_but({sibling.inode for sibling in beside})
        filled = self._fill(found, last, now)
        unseen = unseen_since(last, found)
        if not all(self._read_on(each, 0, now) for each in dict.fromkeys([*filled, *unseen.newer])):
            return False
        for sibling in [sibling for sibling in unseen.doubtful if sibling not in filled]:
            name = os.path.basename(os.fsencode(sibling.path)).decode("utf-8", "backslashreplace")
            self._trail.warn(
                f"{name} was never read and perhaps rotated lately, though its time says it is older; it is left out",
                sibling.identity,
            )
        if unseen.newer and any(_deleted(file) for file in self.files if file.identity == last[:2]):
            self._trail.warn(
                f"rotation has deleted the file that was read up to byte {last.offset},"
                " and perhaps others after it that were never seen",
                last,
            )
        return True

    def _fill(self, found: Sequence[tuple[Sibling, Met]], last: Mark, now: float) -> list[Sibling]:
        """Those of the files ``found`` that were empty, and are not any more: a daemon still wrote to them."""
        empty = {
            sibling.inode: sibling
            for sibling, _ in found
            if sibling.number
            and not sibling.size
            and (max(sibling.modified, sibling.changed) >= last.modified or sibling.inode in self._empty)
            and self._trail.around.followed(sibling.identity) is None
        }
        filled = [sibling for sibling, met in found if met is Met.NEW and sibling.inode in self._empty]
        for inode in empty.keys() - self._empty.keys():
            # So that it is known to be newer after a restart, too.
            mark = Mark(*empty[inode].identity, 0, 0, digest_of(b""), empty[inode].modified)
            self._trail.around.keep(self._trail.away_key(mark), mark)
        self._empty = {inode: self._empty.get(inode, now) for inode in empty}
        return filled

    def _read_on(self, sibling: Sibling, offset: int, now: float) -> bool:
        """Read a file beside the path from ``offset``, or from further on where that is known.

        False when another file has its name by now.
        """
        trail, around = self._trail, self._trail.around
        try:
            fd = open_regular(sibling.path)
        except FileNotFoundError:
            return False
        except OSError as error:
            self._unreadable(sibling, offset, error.strerror or str(error))
            return True
        keep = False
        try:
            state = os.fstat(fd)
            if (state.st_dev, state.st_ino) != sibling.identity:
                return False
            mark = around.known.of_file(fd)
            start = max(offset, mark.offset if mark else 0)
            if around.followed(sibling.identity) is not None:
                return True
            kind = "" if start or trail.binary else unreadable_kind(sibling.path, read_head(fd))
            if kind:
                self._unreadable(sibling, start, kind)
                return True
            file = TailedFile(fd, start, trail.style, now)
            around.known.forget(file.identity[1])
            self._displace(file.identity[1])
            self._give_turn(file)
            around.keep(trail.away_key(file), file.mark())
            keep = around.room(urgent=True)
            if keep:
                self.files.append(file)
            else:
                self._parked.append(Parked(file.mark(), now, state.st_size))
        except OSError as error:
            self._unreadable(sibling, offset, error.strerror or str(error))
        finally:
            if not keep:
                os.close(fd)
        return True

    def _unreadable(self, sibling: Sibling, offset: int, why: str) -> None:
        name = os.path.basename(os.fsencode(sibling.path)).decode("utf-8", "backslashreplace")
        self._trail.warn(f"{name} cannot be read from byte {offset}: {why}", sibling.identity)

    # --- files are read, and go ---

    def read(self, now: float) -> bool:
        """Read a chunk of the first that has more; True when one has."""
        self._unpark(now)
        if self._gone and not self._trail.around.starting:
            self._say_gone()
        # Reading one may let go of another.
        return any(self._read(file, now) for file in list(self.files) if file in self.files)

    def _read(self, file: TailedFile, now: float) -> bool:
        trail, key = self._trail, self._trail.away_key(file)
        try:
            if trail.read(file, key, now):
                return True
        except Truncated:
            self._anew(file, now)
            return True
        except OSError as error:
            trail.warn(f"a rotated file cannot be read on from byte {file.offset}: {error.strerror}", key)
            self._let_go(file, now)
            return False
        if now - file.touched >= PARTING_SECONDS:
            self._let_go(file, now)
            self._over(file.mark())
        elif len(self.files) > _MOST:
            self.park(file, now)
        return False

    def _anew(self, file: TailedFile, now: float) -> None:
        key = self._trail.away_key(file)
        new = self.files[self.files.index(file)] = file.anew(now)
        self.save_rest(file, key, now)
        self._trail.around.keep(key, new.mark())

    def _let_go(self, file: TailedFile, now: float) -> None:
        self._trail.finish(file, self._trail.away_key(file), now)
        self.files.remove(file)
        self._trail.close(file)

    def park(self, file: TailedFile, now: float) -> None:
        """Close a file that was read to its end, for want of descriptors; it is looked at once more."""
        deleted = _deleted(file)
        self._let_go(file, now)
        if not deleted:
            self._parked.append(Parked(file.mark(), file.touched + PARTING_SECONDS, file.size))

    def _say_gone(self) -> None:
        for mark, notice in self._gone.items():
            if not self._trail.around.reads(mark):
                self._trail.warn(notice, mark)
            self._over(mark)
        self._gone.clear()

    def _over(self, mark: Mark) -> None:
        if any(file.identity[1] == mark.inode for file in self.files):
            return  # the inode is another file's by now, and so is the mark
        self._trail.around.keep(self._trail.away_key(mark), mark._replace(over=True))

    def _unpark(self, now: float) -> None:
        for parked in [parked for parked in self._parked if parked.due <= now]:
            if not self._trail.around.room():
                return
            self._parked.remove(parked)
            found = find_moved(siblings(self._trail.path), parked.mark)
            if found is not None and found.size > parked.mark.offset:
                self._read_on(found, parked.mark.offset, now)
            elif found is None and parked.size > parked.mark.offset:
                self._say_lost(parked)
            else:
                self._over(parked.mark)

    def _displace(self, inode: int) -> None:
        """Another file has this inode, under which the journal has its mark: one that waited to be opened is gone."""
        for parked in [parked for parked in self._parked if parked.mark.inode == inode]:
            self._parked.remove(parked)
            if parked.size > parked.mark.offset:
                self._say_lost(parked)

    def _say_lost(self, parked: Parked) -> None:
        self._trail.warn(
            f"{_GONE_AWAY} {parked.mark.offset} is gone, too many files were open to hold it; {_UNKNOWN}",
            parked.mark,
        )

    def restyle(self) -> None:
        """Read what follows as the trail's style says by now."""
        for file in self.files:
            self._trail.restyle(file, self._trail.away_key(file))

    def leave(self) -> None:
        """Nothing is followed here any more: hand on what is held back, close all, note how far they were read."""
        self.restyle()
        marks = [file.mark() for file in self.files] + [parked.mark for parked in self._parked]
        for mark in marks:
            self._trail.around.known.leave(self._trail.away_name(mark), mark)
            self._trail.around.known.remember(mark)
        self.close()

    def close(self) -> None:
        """Let go of every file. Lines that are held back are read again after a restart."""
        for file in self.files:
            file.close()
        self.files.clear()
        self._parked.clear()


def _deleted(file: TailedFile) -> bool:
    try:
        return os.fstat(file.fd).st_nlink == 0
    except OSError:
        return False
