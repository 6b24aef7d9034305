"""Where a lab lies below its home, and the one file that says what is meant to be wrong with it."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from tabard import files, locks
from tabard.errors import RefusedError, TabardError
from tabard.home import Home
from tabard.ops.lab.lines import Slow, Wear
from tabard.ops.lab.plan import Lab, Loop, planned, planned_bare

VERSION: Final = 1
_BUSY: Final = "Wait until that command has ended; 'tabard lab down' takes the lab away when it was killed"


class Place:
    """The directory of a home's lab. Nothing of a lab is anywhere else on the machine."""

    def __init__(self, home: Home) -> None:
        self.home: Final = home
        self.path: Final = home.path / "lab"

    @property
    def mark(self) -> str:
        """What its processes carry."""
        return str(self.path)

    @property
    def state(self) -> Path:
        """The one file of its state."""
        return self.path / "lab.json"

    @property
    def lock(self) -> Path:
        """Held by the command that works on the lab."""
        return self.path / "lab.lock"

    def disk(self, host: str) -> Path:
        """Where the disk of a host is mounted, seen by the lab's own processes only."""
        return self.path / "disks" / host

    def specification(self, name: str) -> Path:
        """What the first process of a host reads."""
        return self.path / "hosts" / f"{name}.json"

    def log(self, name: str) -> Path:
        """What the first process of a host, or another one of the lab's, printed."""
        return self.path / "log" / f"{name}.log"

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """While this command works on the lab, no other one does. Raises AlreadyRunning, TabardError when there is no lab at all."""
        if not self.path.is_dir():
            raise self.none()
        with locks.hold(self.lock, who="a command of this lab", hint=_BUSY):
            yield

    def none(self) -> TabardError:
        """What is wrong where no lab is up."""
        return TabardError("no lab is up there", where=str(self.path), hint="Build one with 'tabard lab up'")

    def make(self) -> bool:
        """Make the directory, private to this user; returns whether its home had to be made for it, which is as private.

        Raises RefusedError when something else is there, TabardError when it cannot be made.
        """
        if self.path.exists() and not self._is_ours():
            raise RefusedError(
                "not the directory of a lab",
                expected=f"nothing there, or a directory with {self.state.name}",
                found="a directory with other files",
                where=str(self.path),
                hint="Move it away, or choose another --home",
            )
        homeless = not self.home.path.exists()
        try:
            self.home.path.mkdir(mode=0o700, parents=True, exist_ok=True)  # parents get no mode of ours
            self.path.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise TabardError(
                "cannot make the directory of the lab",
                expected="a directory that can be written to",
                found=error.strerror or str(error),
                where=str(self.path),
                hint="Choose another --home",
            ) from error
        left = read(self)  # of a lab that was killed, and whose home is no more the user's than before
        return homeless or (left is not None and left.homeless)

    def clear(self) -> None:
        """Remove what a lab that is no more has left, all but the lock. Raises OSError."""
        for host in self.path.glob("disks/*/home"):
            if (sockets := Home(host).sockets) != Home(host).run:  # the path was too long for one
                shutil.rmtree(sockets, ignore_errors=True)
        for entry in list(self.path.iterdir()):
            if entry not in {self.state, self.lock}:
                shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
        # The state goes last: what is left after a failure is still known as a lab's.
        files.remove(self.state)

    def remove(self) -> None:
        """Remove all files of the lab, and nothing that is not a lab's. Raises OSError."""
        if self.path.exists() and self._is_ours():
            note = read(self)
            self.clear()
            shutil.rmtree(self.path)
            if note is not None and note.homeless:
                with contextlib.suppress(OSError):  # something else is in it by now
                    self.home.path.rmdir()

    def _is_ours(self) -> bool:
        """Whether the directory is a lab's, or has nothing in it yet."""
        return self.state.exists() or {entry.name for entry in self.path.iterdir()} <= {self.lock.name}


class State(NamedTuple):
    """What was wanted of a lab."""

    complete: bool
    """Whether it was built to its end."""
    page: str
    """Where a browser on this machine finds the page."""
    wear: Mapping[str, Wear]
    """By port, of the cables that are not sound."""
    kind: str = "openssh"
    """What its tunnels are, of ``plan.KINDS``."""
    loop: Loop | None = None
    """Set for a lab without namespaces."""
    homeless: bool = False
    """Whether its home was made for it, and so ends with it unless something else is in it then."""
    bare: int = 0
    """How many bare hosts it has beside one that has all; 0: it is the lab of three zones."""

    @property
    def lab(self) -> Lab:
        """The lab that this is the state of."""
        return planned_bare(self.bare) if self.bare else planned(self.kind, self.loop)


def read(place: Place) -> State | None:
    """The state of the lab; None when there is none, or its file is damaged."""
    content = files.read_json(place.state)
    if content is None or content.get("version") != VERSION:
        return None
    try:
        return State(
            bool(content.get("complete")),
            str(content.get("page", "")),
            {port: _wear(each) for port, each in content.get("wear", {}).items()},
            str(content.get("kind", "openssh")),
            Loop(**content["loop"]) if content.get("loop") else None,
            bool(content.get("homeless")),
            int(content.get("bare", 0)),
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def write(place: Place, state: State) -> None:
    """Note it, whole or not at all. Raises OSError."""
    wear = {port: _plain(each) for port, each in state.wear.items() if each != Wear()}
    content = {
        "version": VERSION,
        "complete": state.complete,
        "page": state.page,
        "wear": wear,
        "kind": state.kind,
        "loop": state.loop._asdict() if state.loop else None,
        "homeless": state.homeless,
        "bare": state.bare,
    }
    files.write_json(place.state, content)


def _wear(content: Mapping[str, Any]) -> Wear:
    slow = content.get("slow")
    return Wear(bool(content.get("cut")), Slow(float(slow["delay"]), float(slow["rate"])) if slow else None)


def _plain(wear: Wear) -> dict[str, Any]:
    return {"cut": wear.cut, "slow": wear.slow._asdict() if wear.slow else None}
