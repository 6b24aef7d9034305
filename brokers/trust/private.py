"""Files and directories that only this user can read and write: what lies in any other is not believed."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from tabard.brokers.trust import reasons
from tabard.errors import TrustError

_OPENED: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""A link is not followed, and a pipe in place of a file does not hang who opens it."""


def read_private(path: Path, limit: int) -> bytes:
    """The content of a file that only this user can read and write. Raises TrustError for any other, and for a missing one."""
    try:
        descriptor = os.open(path, _OPENED)
    except FileNotFoundError as error:
        raise TrustError(
            "there is no such file",
            reason=reasons.MALFORMED,
            expected="a file",
            found="none",
            where=str(path),
        ) from error
    except OSError as error:
        raise unsafe(
            path, "a file that this user can read, and no link", error.strerror or str(error)
        ) from error
    state = os.fstat(descriptor)
    if not stat.S_ISREG(state.st_mode) or state.st_uid != os.geteuid() or stat.S_IMODE(state.st_mode) & 0o077:
        os.close(descriptor)
        mode = f"{stat.filemode(state.st_mode)} owned by uid {state.st_uid}"
        raise unsafe(path, f"a file of mode 0600 owned by uid {os.geteuid()}", mode)
    with open(descriptor, "rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise TrustError(
            "a file is too large",
            reason=reasons.MALFORMED,
            expected=f"at most {limit} bytes",
            found="more",
            where=str(path),
        )
    return data


def check_private(folder: Path) -> None:
    """Raises TrustError unless it is a directory that only this user can enter."""
    try:
        state = folder.lstat()
    except OSError as error:
        raise unsafe(folder, "a directory", error.strerror or str(error)) from error
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.geteuid() or stat.S_IMODE(state.st_mode) & 0o077:
        mode = f"{stat.filemode(state.st_mode)} owned by uid {state.st_uid}"
        raise unsafe(folder, f"a directory of mode 0700 owned by uid {os.geteuid()}", mode)


def unsafe(path: Path, expected: str, found: str) -> TrustError:
    """The error for a file that is not private."""
    return TrustError(
        "not safe for keys",
        reason=reasons.UNSAFE,
        expected=expected,
        found=found,
        where=str(path),
        hint="Close it with chmod; if other users could have read it, have new keys made: tabard keys rotate",
    )
