"""A directory through which applications of other users log: a socket, a spool and local files, and no more of a home.

Who owns the host says who may, by the group and the mode of the directory itself: whoever may pass through it may
log. Within it the agent owns what is there, so that nobody can put a socket of his own in its place, and nobody
but the owner of a file and the agent can remove it.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final, NamedTuple

from tabard.errors import IntakeError
from tabard.home import Home

SOCKET: Final = "intake.sock"
_OWN: Final = 0o700
_GROUP_PASSES: Final = 0o010
_OTHERS_PASS: Final = 0o001


class Shared(NamedTuple):
    """The directory, made ready."""

    home: Home
    mode: int
    """Of the socket in it."""

    @property
    def socket(self) -> str:
        """Where the agent listens in it."""
        return str(self.home.run / SOCKET)


def prepare(directory: str) -> Shared:
    """Make the rooms of the directory, as its mode allows.

    Raises:
        IntakeError: it is not there, belongs to somebody else, can be written by others, or its path is too long.
    """
    home = Home(directory)
    if home.sockets != home.run:
        raise _unusable(directory, "a shorter path, whose socket can be bound", f"{len(directory)} bytes")
    try:
        state = os.stat(directory)
    except OSError as error:
        raise _unusable(directory, "a directory", error.strerror or str(error)) from error
    found = f"{stat.filemode(state.st_mode)} of uid {state.st_uid}"
    if not stat.S_ISDIR(state.st_mode) or state.st_uid not in (os.geteuid(), 0) or state.st_mode & 0o022:
        raise _unusable(
            directory, "a directory of this user that nobody else can write to, such as mode 0750", found
        )
    group, others = state.st_mode & _GROUP_PASSES, state.st_mode & _OTHERS_PASS
    passing = (0o050 if group else 0) | (0o005 if others else 0)
    writing = (0o070 if group else 0) | (0o007 if others else 0)
    try:
        # What is made in them has their group: the socket, and the files that the agent reads by it.
        _room(home.run, state.st_gid, stat.S_ISGID | _OWN | passing)
        for room in (home.spool, home.log):
            _room(room, state.st_gid, stat.S_ISGID | stat.S_ISVTX | _OWN | writing)
    except OSError as error:
        raise _unusable(
            directory, "rooms in it that are this user's", error.strerror or str(error)
        ) from error
    return Shared(home, 0o600 | (writing & 0o066))


def _room(path: Path, group: int, mode: int) -> None:
    """Make it, this user's and of that group. Raises OSError."""
    try:
        path.mkdir(mode=_OWN)
    except FileExistsError:
        state = path.lstat()
        if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.geteuid():
            raise PermissionError(f"{path.name} is another user's, or no directory") from None
    os.chown(path, -1, group)
    os.chmod(path, mode)


def _unusable(directory: str, expected: str, found: str) -> IntakeError:
    return IntakeError(
        "cannot let others log through the shared directory",
        expected=expected,
        found=found,
        where=f"intake.shared {directory}",
        hint='Make it with `install -d -m 0750 -g GROUP DIR` as the agent\'s user, or set intake.shared to ""',
    )
