"""The first process of a namespace: of the lab, which keeps disks and cables, or of a host, which keeps its services running.

``python -m tabard.ops.lab.first lab|host FILE [PID]`` with what there is to do as JSON in the file; a host without namespaces is told
which process is the lab's first. It says ``made`` on standard output, and
then listens on standard input for one word: ``keep`` to the lab, ``go`` to a host. When standard input ends before that, its maker has
gone, and it ends, with everything in its namespaces. It imports next to nothing: there is one in every host.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import sys
import time
from collections.abc import Mapping
from typing import Any, Final

from tabard.brokers.tunnels import tied
from tabard.ops.lab import marks, space

FIRST_PAUSE: Final = 0.2
LONGEST_PAUSE: Final = 5.0
"""Seconds before a service that ended is started again: doubled from the first to the longest."""
LASTING: Final = 5.0
"""Seconds that a service runs to be thought well of again."""
_ALWAYS: Final = 3600.0
_LOOK: Final = 1.0
"""Seconds between two looks whether the lab is still there, where no kernel ends a host with it."""
_PR_SET_CHILD_SUBREAPER: Final = 36


def pause_after(pause: float, lasted: float) -> float:
    """Seconds until a service starts again that had been started after ``pause`` and lasted so long."""
    return FIRST_PAUSE if lasted >= LASTING or pause == 0 else min(2 * pause, LONGEST_PAUSE)


class _Service:
    """One service of a host."""

    def __init__(self, name: str, words: list[str]) -> None:
        self.name = name
        self.words = words
        self.pid = 0
        self.restarts = -1
        self.pause = 0.0
        self.started = 0.0
        self.due: float | None = 0.0

    def ended(self, now: float) -> None:
        """It has: plan its next start."""
        self.pause = pause_after(self.pause, now - self.started)
        self.pid, self.due = 0, now + self.pause

    def start(self, now: float, environment: Mapping[str, str], log: str) -> None:
        """Start it, in a process group of its own, with nothing of the signals that are held back here."""
        self.restarts += 1
        self.started, self.due = now, None
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ]
        try:
            self.pid = os.posix_spawn(
                self.words[0],
                self.words,
                {**environment, **_mark()},
                file_actions=actions,
                setpgroup=0,
                setsigmask=[],
            )
        except OSError as error:
            print(f"{self.name} cannot be started: {error}", file=sys.stderr, flush=True)
            self.ended(now)


def main(words: list[str]) -> int:
    """Be the first process. Raises OSError for what cannot be made."""
    kind, path, *lab = words
    with open(path, encoding="utf-8") as file:
        spec = json.load(file)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP, signal.SIGINT})
    if kind == "lab":
        space.own_processes()
        space.make_disks(spec["disks"])
    elif lab:
        ctypes.CDLL(None).prctl(
            _PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0
        )  # what its processes leave behind stays its own
        space.settle(spec)
    else:
        space.enter(spec["disk"], spec)
    _say("made")
    if not _told():
        return 1
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1):
        os.dup2(null, descriptor)
    tie = [sys.executable, "-I", "-S", tied.__file__, str(os.getpid())] if lab else []
    services = [_Service(each["name"], [*tie, *each["words"]]) for each in spec.get("services", [])]
    _keep(services, spec, os.pidfd_open(int(lab[0])) if lab else None)
    marks.end_below(os.getpid())
    return 1


def _keep(services: list[_Service], spec: Mapping[str, Any], lab: int | None) -> None:
    """Until it is killed, or the process ``lab`` has ended: start what is due, and take away what has ended."""
    while lab is None or not select.select([lab], [], [], 0)[0]:
        now = time.monotonic()
        for service in services:
            if service.due is not None and service.due <= now:
                service.start(now, spec["environment"], f"{spec['logs']}/{service.name}.log")
        if services:
            _publish(services, spec["said"])
        due = min((each.due for each in services if each.due is not None), default=now + _ALWAYS)
        longest = _ALWAYS if lab is None else _LOOK
        signal.sigtimedwait({signal.SIGCHLD}, min(max(0.0, due - now), longest))
        _reap(services)


def _reap(services: list[_Service]) -> None:
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, _ = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            for service in services:
                if service.pid == pid:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(pid, signal.SIGKILL)  # what it left of its group
                    service.ended(time.monotonic())


def _publish(services: list[_Service], path: str) -> None:
    """A disk that is full keeps what was said before."""
    said = {each.name: {"pid": each.pid, "restarts": each.restarts} for each in services}
    with contextlib.suppress(OSError):
        with open(f"{path}.new", "w", encoding="utf-8") as file:
            json.dump(said, file)
        os.rename(f"{path}.new", path)


def _mark() -> dict[str, str]:
    return {name: os.environ[name] for name in (marks.LAB, marks.HOST) if name in os.environ}


def _say(word: str) -> None:
    with contextlib.suppress(OSError):  # whoever started this has gone, and standard input will say so
        os.write(1, f"{word}\n".encode())


def _told() -> bool:
    """Whether the word came; False when nobody is left who could say it."""
    while True:
        ready, _, _ = select.select([0], [], [], 1.0)
        _reap([])
        if ready:
            return bool(os.read(0, 16).strip())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
