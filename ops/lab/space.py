"""What the first process of a namespace does with its mounts and its name, by the calls of the kernel themselves."""

from __future__ import annotations

import ctypes
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

_MS_NOSUID: Final = 2
_MS_NODEV: Final = 4
_MS_BIND: Final = 4096
_MS_REC: Final = 16384
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """The call of that name. Raises OSError with the target."""
    done = _LIBC.mount(
        os.fsencode(source),
        os.fsencode(target),
        kind.encode() or None,
        ctypes.c_ulong(flags),
        options.encode() or None,
    )
    if done != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), target)


def own_processes() -> None:
    """Let ``/proc`` show the processes of this namespace."""
    mount("proc", "/proc", "proc")


def make_disks(disks: Mapping[str, int]) -> None:
    """A tmpfs for each directory, with that many bytes."""
    for directory, size in disks.items():
        os.makedirs(directory, mode=0o700, exist_ok=True)
        mount("tabard-lab", directory, "tmpfs", _MS_NOSUID | _MS_NODEV, f"size={size},mode=755")


def enter(disk: str, spec: Mapping[str, Any]) -> None:
    """Make this mount namespace that of a host whose disk is ``disk``: private directories, copied files, its name.

    Raises OSError. Nothing is written but to the disk: a path that is not on it is a mistake of the plan, and a ValueError.
    """
    own_processes()
    present = [path for path in spec["private"] if os.path.isdir(path) and not os.path.islink(path)]
    with _held([disk]) as (top,), _held(spec["keep"]) as kept:
        for path in present:
            own = f"{top}/disk{path}"
            os.makedirs(own, mode=0o755, exist_ok=True)
            os.chmod(own, os.stat(path).st_mode & 0o7777)
            mount(own, path, flags=_MS_BIND)
        for path, held in zip(spec["keep"], kept, strict=True):
            os.makedirs(path, exist_ok=True)
            mount(held, path, flags=_MS_BIND | _MS_REC)
        for path in spec.get("blank", ()):
            if os.path.isfile(path):
                _copy(f"{top}/{os.path.basename(path)}", path, "", whole=False)
        for path, more in spec["copies"].items():
            _copy(f"{top}/{os.path.basename(path)}", path, more)
    _write(spec, present)
    socket.sethostname(spec["name"])


def settle(spec: Mapping[str, Any]) -> None:
    """Write what is a host's own where it has no mounts of its own. Raises OSError."""
    for path in spec["directories"]:
        os.makedirs(path, mode=0o700, exist_ok=True)
    _write_files(spec)


@contextmanager
def _held(paths: Sequence[str]) -> Iterator[list[str]]:
    """The directories by names that stay valid when others are mounted over them."""
    opened = [os.open(path, os.O_PATH | os.O_DIRECTORY) for path in paths]
    try:
        yield [f"/proc/self/fd/{descriptor}" for descriptor in opened]
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _copy(own: str, path: str, more: str, *, whole: bool = True) -> None:
    """Put a copy of a file with some lines before its own in its place; unless it is ``whole`` it has none of its own."""
    state = os.stat(path)
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        text = more + (file.read() if whole else "")
    with open(own, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)
    os.chmod(own, state.st_mode & 0o777)
    os.chown(own, state.st_uid, state.st_gid)
    mount(own, path, flags=_MS_BIND)


def _write(spec: Mapping[str, Any], present: Sequence[str]) -> None:
    for path in (*spec["directories"], *spec["files"]):
        if not any(path.startswith(f"{own}/") for own in present):
            raise ValueError(f"{path} is not on the host's own disk")
    for path in spec["directories"]:
        os.makedirs(path, mode=0o755, exist_ok=True)
    _write_files(spec)


def _write_files(spec: Mapping[str, Any]) -> None:
    for path, text in spec["files"].items():
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, 0o644 if path in spec["readable"] else 0o600)
