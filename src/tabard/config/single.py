"""One configuration a service in this process, and one process a service where that is asked for."""

from __future__ import annotations

import os
import threading
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Final

from tabard import locks
from tabard.errors import HomeError, UsageError
from tabard.home import Home

if TYPE_CHECKING:
    from tabard.config.application import Config

_made: Final[dict[str, Config]] = {}
"""The configurations of this process that are open, by service."""
_guard: Final = threading.RLock()


def only_here(path: str | os.PathLike[str] | None, home: Home, name: str) -> AbstractContextManager[None]:
    """The lock that keeps a second process of ``name`` away; in the home unless ``path`` names a file.

    Entering it raises AlreadyRunning, which names the process that has it. The file stays where it is: only the lock
    on it counts, and that ends with its process. Raises HomeError when there can be no such file.
    """
    hint = "End that process first"
    if path is not None:
        return locks.hold(os.path.expanduser(path), name, hint)
    folder = home.run / "applications"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise HomeError(
            "no lock can be made there",
            expected="a directory this user may write to",
            found=error.strerror,
            where=os.fspath(folder),
            hint="Give the path of a lock file, or another home",
        ) from error
    return locks.hold(folder / f"{name}.lock", name, hint)


def remember(made: Config) -> None:
    """Note a configuration. Raises UsageError when there is one of its service."""
    with _guard:
        must_be_the_first(made.service)
        _made[made.service] = made


def forget(made: Config) -> None:
    """It was closed."""
    with _guard:
        if _made.get(made.service) is made:
            del _made[made.service]


def must_be_the_first(service: str) -> None:
    """Raise UsageError when this process has a configuration of that service."""
    if service in _made:
        raise UsageError(
            f"this process has a configuration of {service}",
            hint="Hand it on, or fetch it with tabard.config.config(); close() ends it",
        )


def config(service: str | None = None) -> Config:
    """The configuration of this process that was made for ``service``, or the only one there is.

    Raises UsageError when there is none, or when there are several and no service is named.
    """
    with _guard:
        known = dict(_made)
    found = [made for name, made in known.items() if service in (None, name)]
    if len(found) != 1:
        raise UsageError(
            "no such configuration" if service else f"{len(found) or 'no'} configurations in this process",
            expected=f"one of {', '.join(known)}" if known else "a tabard.Config made before",
            found=service,
        )
    return found[0]
