"""The processes of a lab, found by the mark that each carries in its environment: no note can be lost, and no number taken by another."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

LAB: Final = "_TABARD_LAB"
"""The directory of the lab that a process belongs to."""
HOST: Final = "_TABARD_LAB_HOST"
"""The host that it belongs to; empty for the lab's own."""
FIRST: Final = "_TABARD_LAB_FIRST"
"""Set in the first process of a host that has no namespaces, or of their lab."""
CABLE: Final = "_TABARD_LAB_CABLE"
"""The port of the cable that it slows down."""
_PAUSE: Final = 0.02
_GONE: Final = (FileNotFoundError, ProcessLookupError, PermissionError)


class Marked(NamedTuple):
    """A process of a lab."""

    pid: int
    host: str
    cable: str
    numbers: tuple[int, ...]
    """Its numbers in all namespaces that it is in, from this one inwards."""
    groups: tuple[int, ...]
    """Those of its group."""
    began: int
    """When it was started, in ticks since the machine was: with its number, what no other process has."""
    state: str
    """One letter, as in ``/proc``: T for stopped, Z for one that has ended."""
    top: bool = False
    """Whether it says itself that it is the first one."""

    @property
    def first(self) -> bool:
        """Whether it is the first process of a host, or of the lab: of its namespace, where there are some."""
        return self.top or (len(self.numbers) > 1 and self.numbers[-1] == 1)


def mark(lab: str, host: str = "", cable: str = "", *, first: bool = False) -> dict[str, str]:
    """The variables that mark a process."""
    return {LAB: lab, HOST: host, CABLE: cable} | ({FIRST: "1"} if first else {})


def marked(lab: str) -> list[Marked]:
    """All processes that carry the mark of the lab, those of its hosts too as far as they have not overwritten it."""
    return [found for pid in _numbers() if (found := _look(pid, lab)) is not None]


def first_of(lab: str, host: str) -> Marked | None:
    """The first process of a host, or of the lab itself (""); None when it does not run."""
    return next((each for each in marked(lab) if each.first and each.host == host), None)


def within(pid: int) -> list[Marked]:
    """All processes of the host with the first process ``pid``, itself included, marked or not.

    Those in its namespace; where that is this one too, those that it, or one of them, started.
    """
    try:
        space = os.readlink(f"/proc/{pid}/ns/pid")
    except _GONE:
        return []
    if space == os.readlink("/proc/self/ns/pid"):
        return _below(pid)
    found = []
    for number in _numbers():
        with contextlib.suppress(*_GONE):
            if os.readlink(f"/proc/{number}/ns/pid") == space:
                found.append(_read(number, {}))
    return found


def _below(pid: int) -> list[Marked]:
    children: dict[int, list[int]] = {}
    for number in _numbers():
        with contextlib.suppress(*_GONE):
            children.setdefault(_parent(number), []).append(number)
    numbers = [pid]
    for number in numbers:  # grows while it is walked through
        numbers += children.get(number, ())
    found = []
    for number in numbers:
        with contextlib.suppress(*_GONE):
            found.append(_read(number, {}))
    return found


def end_below(pid: int) -> None:
    """Kill all that a process and those below it started, and return when none is left but itself."""
    while left := [each for each in _below(pid) if each.pid != pid and each.state not in "ZX"]:
        if not send(left, signal.SIGKILL):
            return
        time.sleep(_PAUSE)


def name(pid: int) -> str:
    """The name of a process's program; empty when there is none of that number."""
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except _GONE:
        return ""


def send(processes: Iterable[Marked], number: signal.Signals) -> int:
    """Send a signal to those that are still what they were found to be, and return to how many."""
    count = 0
    for process in processes:
        with _pinned(process.pid) as descriptor:
            if descriptor is not None and _is_still(process):
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(descriptor, number)
                    count += 1
    return count


def end_all(lab: str, patience: float) -> list[Marked]:
    """Kill every process of the lab and wait until all have gone; those that stay longer than ``patience`` seconds are returned."""
    end = time.monotonic() + patience
    while left := _all_of(lab):
        with contextlib.ExitStack() as pinned:
            # Held before they are killed: one that is ending has lost its mark, and is still there.
            handles = [pinned.enter_context(_pinned(each.pid)) for each in left]
            # The first process takes all hosts with it, and has not ended before they have: the kernel sees to that.
            send(sorted(left, key=lambda each: not each.first), signal.SIGKILL)
            for handle in handles:
                if handle is not None and not _ends(handle, end):
                    return [each for each in left if _is_still(each)]
    return []


def _all_of(lab: str) -> list[Marked]:
    """All processes of a lab but this one; without namespaces also those that have overwritten their marks."""
    found = {each.pid: each for each in marked(lab)}
    for first in [each for each in found.values() if each.top]:
        send([first], signal.SIGSTOP)  # so that it starts nothing any more
        found |= {each.pid: each for each in within(first.pid) if each.state not in "ZX"}
    found.pop(os.getpid(), None)
    return list(found.values())


def _ends(handle: int, end: float) -> bool:
    """Whether a process ends before that time."""
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    return bool(poll.poll(max(0.0, end - time.monotonic()) * 1000))


@contextlib.contextmanager
def _pinned(pid: int) -> Iterator[int | None]:
    """The process by a handle that never becomes another's; None when there is none of that number."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _is_still(process: Marked) -> bool:
    """Asked while the number is pinned: whether it is the process that was found."""
    with contextlib.suppress(*_GONE):
        return _began(process.pid) == process.began
    return False


def _numbers() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def _look(pid: int, lab: str) -> Marked | None:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            text = file.read()
        if os.fsencode(f"{LAB}={lab}") not in text:
            return None
        variables = dict(each.partition("=")[::2] for each in os.fsdecode(text).split("\0"))
        if variables.get(LAB) != lab:
            return None
        found = _read(pid, variables)
    except _GONE:
        return None
    return None if found.state in "ZX" else found


def _read(pid: int, variables: dict[str, str]) -> Marked:
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
        fields = dict(line.partition(":")[::2] for line in file)
    return Marked(
        pid,
        variables.get(HOST, ""),
        variables.get(CABLE, ""),
        tuple(map(int, fields.get("NSpid", "").split())),
        tuple(map(int, fields.get("NSpgid", "").split())),
        _began(pid),
        fields.get("State", "?").strip()[:1],
        bool(variables.get(FIRST)),
    )


def _parent(pid: int) -> int:
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        return int(file.read().rpartition(")")[2].split()[1])


def _began(pid: int) -> int:
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        return int(file.read().rpartition(")")[2].split()[19])
