"""What ``serving`` needs of its host: programs run, files that are whole or not there, processes ended. Nothing but the standard library."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import select
import shutil
import signal
import subprocess
import time
from typing import BinaryIO

PATIENCE = 240.0
"""Seconds that a program it starts may take."""
GRACE = 20.0
"""Seconds that a role has to end by itself."""


class Failed(Exception):
    """Raised with what was expected, found, where, and what to do."""

    def __init__(self, what: str, **facts: str | None) -> None:
        super().__init__(what)
        self.said = {"what": what, **facts}


def ran(words: list[str], *, check: bool = True, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a program that asks nothing. Raises Failed where it does not start, takes too long, or fails."""
    kept = {
        name: os.environ[name]
        for name in ("HOME", "PATH", "LANG", "USER", "LOGNAME", "TZ")
        if name in os.environ
    }
    try:
        done = subprocess.run(
            words, env={**kept, "PYTHONDONTWRITEBYTECODE": "", **more}, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            errors="replace", timeout=PATIENCE, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise Failed(
            "a program took too long",
            expected=f"its end within {PATIENCE:g} seconds",
            where=" ".join(words[:3]),
        ) from error
    except OSError as error:
        raise Failed(
            "a program cannot be started",
            found=error.strerror,
            where=words[0],
            hint="Is that file system mounted noexec?",
        ) from error
    if check and done.returncode:
        raise Failed(
            "a program failed",
            found=last(done.stderr or done.stdout) or f"exit code {done.returncode}",
            where=" ".join(words[:3]),
        )
    return done


def last(text: str) -> str:
    """The end of what a program said, where the reason stands."""
    return text.strip()[-500:]


def put(path: str, data: bytes) -> None:
    """A file that is whole or not there, for this user alone."""
    new = f"{path}.new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(new)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with open(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.rename(new, path)


def clear(folder: str) -> None:
    """Take a release away; of a link only the link."""
    if os.path.islink(folder):
        os.unlink(folder)
    elif os.path.lexists(folder):
        shutil.rmtree(folder)


def receive(payload: BinaryIO, path: str, size: int, digest: str) -> None:
    """A file out of the stream. Raises Failed unless it is what was announced."""
    seen = hashlib.sha256()
    with open(path, "xb") as file:
        while size:
            piece = payload.read(min(size, 1 << 20))
            if not piece:
                raise Failed("the connection ended in the middle of a file", where=os.path.basename(path))
            size -= len(piece)
            seen.update(piece)
            file.write(piece)
    if seen.hexdigest() != digest:
        raise Failed(
            "a file was altered on its way",
            expected=digest,
            found=seen.hexdigest(),
            where=os.path.basename(path),
        )


def holder(path: str) -> int:
    """The process that holds a role's lock, 0 where none does."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return 0
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.read(descriptor, 32).strip()
        return int(text) if text.isdigit() else 0
    finally:
        os.close(descriptor)
    return 0


def stopped(run: str) -> list[str]:
    """End the roles of a home, each found by the lock that it holds in its ``run``; their names."""
    found = {}
    with contextlib.suppress(OSError):
        for name in sorted(os.listdir(run)):
            if name.endswith(".lock") and (pid := holder(os.path.join(run, name))):
                found[name.removesuffix(".lock")] = pid
    end(list(found.values()))
    return list(found)


def end(pids: list[int]) -> None:
    """End processes: asked first, then made to. Returns when all have ended."""
    waiting = {}
    for pid in pids:
        with contextlib.suppress(OSError):
            waiting[os.pidfd_open(pid)] = pid
    try:
        for number in (signal.SIGTERM, signal.SIGKILL):
            until = time.monotonic() + GRACE
            for descriptor in waiting:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(descriptor, number)
            while waiting and (left := until - time.monotonic()) > 0:
                for descriptor in select.select(list(waiting), [], [], left)[0]:
                    del waiting[descriptor]
                    os.close(descriptor)
    finally:
        for descriptor in waiting:
            os.close(descriptor)


def locked(descriptor: int) -> bool:
    """Lock an open file; False where another process has."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def text_of(path: str) -> str:
    """What a small file says; nothing where there is none."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def musl() -> tuple[str, list[int]]:
    """The C library musl says its version when its loader is called by itself."""
    with contextlib.suppress(OSError):
        for name in sorted(os.listdir("/lib")):
            if name.startswith("ld-musl-"):
                said = ran([os.path.join("/lib", name)], check=False).stderr
                for line in said.splitlines():
                    if line.startswith("Version "):
                        return "musl", [int(part) for part in line.split()[1].split(".")[:2]]
    return "unknown", [0, 0]


def of_software(software: str) -> list[int]:
    """Processes of this user that run by what lies below a directory, but for this one."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            if os.stat(f"/proc/{name}").st_uid != os.geteuid():
                continue
            with open(f"/proc/{name}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
            if any(word.startswith(os.fsencode(software) + b"/") for word in words[:2]):
                found.append(int(name))
    return found
