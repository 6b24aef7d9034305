"""What is known of a job, in a small file below the home: ``cron/NAME.json``, replaced as a whole, durably.

``NAME.lock`` beside it is held while the job runs; ``NAME.edit`` for the moment that the file is read and written anew,
so that a run that was refused can be noted while another one goes on.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from tabard import files
from tabard.errors import HomeError, UsageError
from tabard.home import Home

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
NAME_FORM: Final = "1 to 64 of A-Z a-z 0-9 . _ - beginning with a letter or digit"
_ENDING: Final = ".json"
_TRIES: Final = 100
_PAUSE: Final = 0.02


class Known(NamedTuple):
    """A job as its file says. Times are nanoseconds since 1970, durations seconds."""

    command: str = ""
    """As people are told of it: without what looks like a password."""
    plan: str = ""
    """The schedule or interval; empty when none was said."""
    due: int | None = None
    """The moment, in seconds since 1970, that the last run was due at."""
    seen: int | None = None
    """When a run last began or was refused; with the boot and the seconds since then."""
    boot: str = ""
    uptime: float = 0.0
    run: str = ""
    """Id of the run that began last."""
    pid: int | None = None
    """Its process, and when that began, in the kernel's own units."""
    pid_began: int | None = None
    start: int | None = None
    end: int | None = None
    """None while it runs."""
    outcome: str = ""
    code: int | None = None
    duration: float | None = None
    runs: int = 0
    missed: int = 0
    refused: int = 0


_TYPES: Final[dict[str, tuple[type, ...]]] = {
    name: {str: (str,), int: (int,), float: (int, float)}[kind]
    for kind, names in {
        str: ("command", "plan", "boot", "run", "outcome"),
        int: ("due", "seen", "pid", "pid_began", "start", "end", "code", "runs", "missed", "refused"),
        float: ("uptime", "duration"),
    }.items()
    for name in names
}


class Damaged(NamedTuple):
    """A file that holds nothing that makes sense."""

    path: str


class JobFile:
    """The files of one job. Making one touches nothing. Raises UsageError for a name that no file may have."""

    def __init__(self, home: Home, name: str) -> None:
        if NAME.fullmatch(name) is None:
            raise UsageError("not a name for a job", expected=NAME_FORM, found=repr(name))
        self.name: Final = name
        self.home: Final = keeping(home)
        self.folder: Final = self.home.path / "cron"
        self.path: Final = self.folder / f"{name}{_ENDING}"
        self.lock: Final = self.folder / f"{name}.lock"

    def make_folder(self) -> None:
        """Make the folder. Raises HomeError."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise _unusable(self.folder, error) from error

    def read(self) -> Known | Damaged | None:
        """What is known; None when nothing is. Raises HomeError when the file is there and cannot be read."""
        try:
            if not self.path.exists():
                return None
            self.path.read_bytes()
        except OSError as error:
            raise _unusable(self.path, error) from error
        content = files.read_json(self.path)
        return Damaged(str(self.path)) if content is None or not _sound(content) else _known(content)

    def write(self, known: Known) -> None:
        """Replace what is known, durably. Raises HomeError; then what was known still is."""
        try:
            files.write_json(self.path, known._asdict())
            files.sync(self.folder)
        except OSError as error:
            raise _unusable(self.path, error) from error

    def remove(self) -> None:
        """Forget the job."""
        for ending in (_ENDING, ".edit", ".lock"):
            files.remove(self.folder / f"{self.name}{ending}")

    @contextlib.contextmanager
    def edit(self) -> Iterator[None]:
        """Keep others from writing meanwhile; one that is frozen in the middle of it is not waited for."""
        try:
            descriptor = os.open(
                self.folder / f"{self.name}.edit", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
            )
        except OSError as error:
            raise _unusable(self.folder, error) from error
        try:
            for _ in range(_TRIES):
                with contextlib.suppress(OSError):
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                time.sleep(_PAUSE)
            yield
        finally:
            os.close(descriptor)


def keeping(home: Home) -> Home:
    """The home that keeps what is known of jobs: this one, or that of the user where this one is shared by another.

    In a shared directory (``intake.shared``) a user may log, and nothing else.
    """
    try:
        owner = os.stat(home.path).st_uid
    except OSError:
        return home
    mode = os.W_OK | os.X_OK
    if owner == os.geteuid() or os.access(home.path, mode) or not os.access(home.spool, mode):
        return home
    return Home("~/.tabard")


def jobs(home: Home) -> list[JobFile]:
    """Every job that the home knows of, by name. Raises HomeError when nobody may look."""
    folder = keeping(home).path / "cron"
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise HomeError(
            "the jobs of this home cannot be listed",
            expected="a directory this user can read",
            found=error.strerror or str(error),
            where=str(folder),
            hint="Run this as the user whose home it is, or choose another --home",
        ) from error
    stems = sorted(name.removesuffix(_ENDING) for name in names if name.endswith(_ENDING))
    return [JobFile(home, stem) for stem in stems if NAME.fullmatch(stem)]


def began(pid: int) -> int | None:
    """When a process began, in ticks since the boot, so that another one of its number is not taken for it.

    None when there is no such process, or it has ended and was not waited for, or the system does not tell.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return int(fields[19]) if len(fields) > 19 and fields[0] not in (b"Z", b"X") else None


def _sound(content: dict[str, Any]) -> bool:
    defaults = Known._field_defaults
    return all(
        (value is None and defaults[name] is None)
        or (isinstance(value, _TYPES[name]) and not isinstance(value, bool))
        for name, value in content.items()
        if name in _TYPES
    )


def _known(content: dict[str, Any]) -> Known:
    return Known(**{name: content[name] for name in Known._fields if name in content})


def _unusable(path: Path, error: OSError) -> HomeError:
    return HomeError(
        "what is known of the job cannot be kept there",
        expected="a place this user may write to",
        found=error.strerror or str(error),
        where=str(path),
        hint="Check who owns the home directory, and its disk",
    )
