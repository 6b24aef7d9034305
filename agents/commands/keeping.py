"""The agent's side of its keepers: starts one for a command, finds those of an agent before, and reads what they wrote."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import signal
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tabard import files
from tabard.agents.commands import keeper
from tabard.agents.commands.keeper import BEGUN, FRAME, JOB, OUTPUT, PROGRAM, RESULT, Keeper, began
from tabard.clock import boot_id

if TYPE_CHECKING:
    import subprocess

READ: Final = 262_144
"""Bytes of output that are read at a time."""
PIECE: Final = 65_536
"""Bytes of one answer with output."""
MANY: Final = 200
"""Pieces of one look after which those of the two kinds are not kept in their order any more."""
DESCRIPTORS: Final = (1, 2)
_ENVIRONMENT: Final = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR")
"""What a program gets of the agent's environment. The rest may hold passwords."""
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def surroundings(uid: str) -> dict[str, str]:
    """The environment of the program of a command, whose id it is told."""
    user = pwd.getpwuid(os.geteuid())
    kept = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    named = {"HOME": user.pw_dir, "USER": user.pw_name, "LOGNAME": user.pw_name, "SHELL": user.pw_shell}
    return {"PATH": _PATH, **kept, **named, "TABARD_COMMAND": uid}


def place() -> str:
    """The directory in which programs are started: that of the user, or the root."""
    home = pwd.getpwuid(os.geteuid()).pw_dir
    return home if os.path.isdir(home) else "/"


class Folder:
    """What lies on disk of one try at a command."""

    def __init__(self, room: Path, uid: bytes, attempt: int) -> None:
        self.path: Final = room / f"{uid.hex()}.{attempt}"

    def write(self, words: Sequence[str], timeout: float, output: int) -> None:
        """Say what is to be done. Raises OSError."""
        self.path.mkdir(mode=0o700, parents=True)
        uid = self.path.name.partition(".")[0]
        job = {
            "words": list(words),
            "timeout": timeout,
            "output": output,
            "env": surroundings(uid),
            "cwd": place(),
        }
        files.write(self.path / JOB, json.dumps(job).encode())

    def never_begun(self) -> bool:
        """See that nobody begins it any more; False when somebody did. Raises OSError: nobody knows."""
        if not self._is_there() or keeper.claim(self.path, None):
            return True
        return files.read_json(self.path / BEGUN) == {}  # an agent made it

    def _is_there(self) -> bool:
        try:
            os.stat(self.path)
        except FileNotFoundError:
            return False
        return True

    def begun(self) -> Keeper | None:
        """Who began it."""
        return self._process(BEGUN)

    def program(self) -> int | None:
        """The process id of the program."""
        found = self._process(PROGRAM)
        return found.pid if found else None

    def end_program(self) -> None:
        """End what nobody stands by any more: with its keeper its time-out is gone."""
        found = self._process(PROGRAM)
        if found is not None and found.boot == boot_id() and found.began and began(found.pid) == found.began:
            with contextlib.suppress(OSError):
                os.killpg(found.pid, signal.SIGKILL)

    def _process(self, name: str) -> Keeper | None:
        found = files.read_json(self.path / name)
        if not found or found.keys() != set(Keeper._fields):
            return None
        return Keeper(**found)

    def result(self) -> Mapping[str, Any] | None:
        """How it ended; None while nobody says."""
        found = files.read_json(self.path / RESULT)
        return found if found is not None and found.keys() == keeper.ENDING else None

    def output(self, start: int) -> tuple[list[tuple[int, bytes]], int]:
        """What a program said from a place in the file on, in pieces, and the place after that."""
        try:
            with open(self.path / OUTPUT, "rb") as file:
                file.seek(start)
                data = file.read(READ)
        except FileNotFoundError:
            return [], start
        pieces: list[tuple[int, bytes]] = []
        at = 0
        while at + FRAME.size <= len(data):
            descriptor, size = FRAME.unpack_from(data, at)
            if at + FRAME.size + size > len(data):
                break
            part = data[at + FRAME.size : at + FRAME.size + size]
            at += FRAME.size + size
            if descriptor in DESCRIPTORS and part:  # what lost power may hold anything
                _append(pieces, descriptor, part)
        return pieces, start + at

    def remove(self) -> None:
        """Nothing of it is needed any more."""
        _remove(self.path)


def _append(pieces: list[tuple[int, bytes]], descriptor: int, part: bytes) -> None:
    """Add to the last piece if that is of the same kind; once there are many, to the last one of its kind.

    So there is no more than a batch holds, however a program mixes its two outputs. Of what it mixes so much only the order of each is kept.
    """
    at = len(pieces) - 1
    if len(pieces) >= MANY:
        at = next((at for at in (at, at - 1) if pieces[at][0] == descriptor), at)
    if at >= 0 and pieces[at][0] == descriptor and len(pieces[at][1]) + len(part) <= PIECE:
        pieces[at] = (descriptor, pieces[at][1] + part)
    else:
        pieces.append((descriptor, part))


def sweep(room: Path, kept: Iterable[str]) -> None:
    """Remove the folders of what is over."""
    names = set(kept)
    with contextlib.suppress(OSError):
        for entry in list(os.scandir(room)):
            if entry.name not in names:
                _remove(Path(entry.path))


def _remove(path: Path) -> None:
    """Take a folder away as a whole first: without its file `begun`, but with its job, a keeper that is late would begin it."""
    gone = path
    if not path.name.startswith("."):
        gone = path.with_name(f".{path.name}")
        try:
            os.rename(path, gone)
        except OSError:  # it is not there, or stays as it is until the next start
            return
    files.remove_folder(gone)


class Kept:
    """A keeper: one of this agent's own, or one that an agent before it left."""

    def __init__(self, folder: Folder, process: subprocess.Popen[bytes] | None, found: Keeper | None) -> None:
        self.folder: Final = folder
        self._process = process
        self._found = found
        self._closed = process is None

    @classmethod
    def start(cls, folder: Folder) -> Kept:
        """Start one for what lies in a folder. Raises OSError."""
        import subprocess  # most agents are never told to run a program

        process = subprocess.Popen(
            [sys.executable, "-P", "-m", keeper.__name__, str(folder.path)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            bufsize=0,
        )
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        return cls(folder, process, None)

    @classmethod
    def found(cls, folder: Folder) -> Kept | None:
        """The one that began what lies in a folder; None when there is none."""
        begun = folder.begun()
        return cls(folder, None, begun) if begun is not None else None

    @property
    def descriptor(self) -> int:
        """Readable when it has something to say; -1 for one that cannot."""
        return (
            -1
            if self._closed or self._process is None or self._process.stdout is None
            else self._process.stdout.fileno()
        )

    def hear(self) -> tuple[int | None, bool]:
        """The process id that it says its program has, if it does; and whether it has ended."""
        if self._process is None or self._process.stdout is None:
            return None, True
        try:
            said = os.read(self._process.stdout.fileno(), 4096)
        except BlockingIOError:
            return None, False
        head = said.partition(b"\n")[0]
        pid = int(head[1:]) if head.startswith(b"p") and head[1:].isdigit() else None
        return pid, not said

    def close(self) -> None:
        """Take its exit code, and give the pipe back; only once it has ended."""
        if self._process is not None and self._process.stdout is not None and not self._closed:
            self._closed = True
            self._process.stdout.close()
            self._process.wait()

    def is_alive(self) -> bool:
        """Whether it stands by its command still."""
        if self._process is not None:
            return self._process.poll() is None
        found = self._found
        return found is not None and found.boot == boot_id() and began(found.pid) == found.began

    def end(self) -> None:
        """Have it end its program: asked first, and then made to."""
        if self.is_alive():
            pid = self._process.pid if self._process is not None else self._found.pid if self._found else 0
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGTERM)
