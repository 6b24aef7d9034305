"""What can be done to a lab that is up: cables cut and slow, hosts and their services frozen and killed, disks full, and all of it undone."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple

from tabard import files
from tabard.errors import RefusedError, TabardError, UsageError
from tabard.ops.lab import build, hands, hostkeys, lines, marks, needs, state
from tabard.ops.lab.lines import SOUND, Slow, Wear
from tabard.ops.lab.places import CLOCK, SERVICES
from tabard.ops.lab.plan import Host, Lab
from tabard.ops.lab.state import Place, State

FILL: Final = "/var/tmp/filled-by-the-lab"  # noqa: S108 -- on a host's own disk
"""The file that makes a disk full."""
_LATEST: Final = (2**63 - 1) / 1e9
"""Seconds since 1970 that the clock of a Linux host shows at most."""
_DAY: Final = 86_400.0
_PATIENCE: Final = 10.0
_PAUSE: Final = 0.02


class Running(NamedTuple):
    """A lab that is up, for the command that works on it."""

    place: Place
    lab: Lab
    pid: int
    note: State


def running(place: Place) -> Running:
    """The lab of that place. Raises TabardError when none is up."""
    needs.refuse_rights(place.path)
    pid = build.pid_of(place, "")
    note = state.read(place)
    if note is None or not note.complete:
        raise TabardError(
            "the lab was not built to its end",
            found=f"no state of it in {place.state.name}" if note is None else "one that is being built",
            where=str(place.path),
            hint="'tabard lab down' takes it away",
        )
    return Running(place, note.lab, pid, note)


def known(place: Place, targets: Iterable[str]) -> None:
    """Raises UsageError for a name that is neither a link nor a node, so that nothing is done to the others, TabardError."""
    lab = running(place).lab
    for target in targets:
        lab.ends(target)


# --- cables ---------------------------------------------------------------------------------


def cut(place: Place, target: str) -> bool:
    """Lose every packet of a link, or of all cables of a node, from now on; False when it was so already."""
    return _wear(place, target, lambda wear: wear._replace(cut=True))


def slow(place: Place, target: str, delay: float, rate: float) -> bool:
    """Have every packet of a link, or of a node, wait ``delay`` seconds, and let ``rate`` bytes a second pass."""
    return _wear(place, target, lambda wear: wear._replace(slow=Slow(delay, rate)))


def _wear(place: Place, target: str, change: Callable[[Wear], Wear]) -> bool:
    with place.held():
        return _worn(running(place), [end.port for end in running(place).lab.ends(target)], change)


def _worn(found: Running, ports: Iterable[str], change: Callable[[Wear], Wear]) -> bool:
    place, lab, pid, note = found
    wear = dict(note.wear)
    changed = False
    for port in ports:
        before = wear.get(port, SOUND)
        after = wear[port] = change(before)
        if before != after:
            changed = True
            if lab.loop is None:
                _change(place, lab, pid, port, before, after)
            state.write(place, note._replace(wear=wear))
    if changed and lab.loop is not None:
        build.write_wires(place, lab, wear)
        marks.send([each for each in marks.marked(place.mark) if each.pid == pid], signal.SIGHUP)
    return changed


def _change(place: Place, lab: Lab, pid: int, port: str, before: Wear, after: Wear) -> None:
    """Turn one cable of one state into another; that of a host which does not run is not there, and only noted."""
    host = next(end.host for segment in lab.segments for end in segment.ends if end.port == port)
    if marks.first_of(place.mark, host) is None:
        return
    if before.slow != after.slow:
        _end_slowness(place, port)
    hands.ip(pid, lines.changes(lab, port, before, after))
    if after.slow and before.slow != after.slow:
        _begin_slowness(place, pid, port, after.slow)


def _begin_slowness(place: Place, pid: int, port: str, slow: Slow) -> None:
    words = hands.module("cable", port, lines.slow_pair(port)[1], str(slow.delay), str(slow.rate))
    started = hands.Started(
        place,
        f"cable-{port}",
        hands.entered(pid, words, ["--net", "--mount", "--pid"]),
        hands.environment(place, cable=port),
    )
    started.await_made()
    started.tell("keep")


def _end_slowness(place: Place, port: str) -> None:
    def left() -> list[marks.Marked]:
        return [each for each in marks.marked(place.mark) if each.cable == port]

    marks.send(left(), signal.SIGKILL)
    _await(lambda: not left(), f"the process of the slow cable {port} ends")


# --- hosts and their services ------------------------------------------------------------------


def freeze(place: Place, host: str, service: str | None) -> None:
    """Stop every process of a host, or of one of its services, as a machine that hangs; nothing is told."""
    with place.held():
        found = running(place)
        chosen = _choosing(place, found.lab, found.lab.host(host), service)
        marks.send(chosen(), signal.SIGSTOP)

        def stopped() -> bool:
            moving = [each for each in chosen() if each.state not in "TtZX"]
            marks.send(moving, signal.SIGSTOP)  # what it started meanwhile
            return not moving

        _await(stopped, f"{service or host} is frozen")


def thaw(place: Place, host: str, service: str | None) -> None:
    """Let it go on."""
    with place.held():
        found = running(place)
        _thaw(place, found.lab, found.lab.host(host), service)


def _thaw(place: Place, lab: Lab, host: Host, service: str | None) -> None:
    marks.send(_choosing(place, lab, host, service)(), signal.SIGCONT)


def kill(place: Place, host: str, service: str | None) -> None:
    """End every process of a host at once, as a power cut does (its disk stays), or those of one service, which starts again."""
    with place.held():
        found = running(place)
        chosen = _choosing(place, found.lab, found.lab.host(host), service)
        if service is not None:
            marks.send(chosen(), signal.SIGKILL)
            return
        first = marks.first_of(place.mark, host)
        assert first is not None  # it was chosen from
        if found.lab.loop is not None:  # no kernel ends them with it
            marks.send([first], signal.SIGSTOP)
            marks.end_below(first.pid)
        marks.send([first], signal.SIGKILL)
        _await(lambda: marks.first_of(place.mark, host) is None, f"{host} ends")
        for end in found.lab.ends_of(host) if found.lab.loop is None else ():
            if found.note.wear.get(end.port, SOUND).slow:
                _end_slowness(place, end.port)
                hands.unplug(found.pid, lines.slow_pair(end.port)[0])


def _choosing(place: Place, lab: Lab, host: Host, service: str | None) -> Callable[[], list[marks.Marked]]:
    """What looks up the processes that are meant. Raises UsageError for a service that the host has not."""
    pid = build.pid_of(place, host.name)
    if service is None:
        return lambda: marks.within(pid)
    known = services(lab, host.name, pid)
    if service not in known:
        raise UsageError(f"{host.name} has no such service", expected=", ".join(known), found=repr(service))
    number = int(known[service]["pid"])
    return lambda: [each for each in marks.within(pid) if number and each.groups[-1:] == (number,)]


def services(lab: Lab, host: str, pid: int) -> dict[str, dict[str, Any]]:
    """The services of the host whose first process that is: number in the host, and how often each was started again."""
    try:
        with open(lab.file(pid, f"{lab.where(host).ssh}/{SERVICES}"), encoding="utf-8") as file:
            content = json.load(file)
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


# --- disks ----------------------------------------------------------------------------------


def fill(place: Place, host: str) -> int:
    """Take all that is free on the disk of a host; returns how many bytes that was."""
    with place.held():
        lab = running(place).lab
        if lab.host(host) and lab.loop is not None:
            raise RefusedError(
                f"{host} has no disk of its own",
                expected="a lab with namespaces, whose hosts have one each",
                found="one without, whose hosts are directories of this machine's disk",
                hint="Build it as root without --loopback where namespaces are permitted",
            )
        path = _filling(build.pid_of(place, host))
        with open(path, "ab") as file:
            size = before = os.fstat(file.fileno()).st_size
            step = 1 << 20
            while step >= 1:
                try:
                    os.posix_fallocate(file.fileno(), size, step)
                    size += step
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    step //= 4
        return size - before


def filled(pid: int) -> bool:
    """Whether the disk of the host with that first process was made full."""
    return os.path.exists(_filling(pid))


def _filling(pid: int) -> str:
    return f"/proc/{pid}/root{FILL}"


# --- clocks and host keys -------------------------------------------------------------------


def clock(place: Place, host: str, seconds: float) -> None:
    """Set the clock of a host wrong by so many seconds, ahead or, below 0, behind: it jumps under what runs there."""
    with place.held():
        found = running(place)
        found.lab.host(host)
        _refuse_no_clock(seconds)
        files.write(_wrong_clock(found.lab, host, build.pid_of(place, host)), f"{seconds}\n".encode())


def _refuse_no_clock(seconds: float) -> None:
    """Raises UsageError for a time that the clock of a Linux host cannot show."""
    latest = _LATEST - time.time()
    if not -time.time() <= seconds <= latest:
        raise UsageError(
            "no clock can be that wrong",
            expected=f"at most {latest // _DAY:.0f}d ahead, which is the year 2262, and {time.time() // _DAY:.0f}d behind, which is 1970",
            found=f"{abs(seconds) / _DAY:.0f}d {'ahead' if seconds > 0 else 'behind'}",
        )


def clock_of(lab: Lab, host: str, pid: int) -> float:
    """Seconds by which the clock of the host with that first process was set wrong."""
    try:
        return float(_wrong_clock(lab, host, pid).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0.0


def _wrong_clock(lab: Lab, host: str, pid: int) -> Path:
    return Path(lab.file(pid, f"{lab.where(host).ssh}/{CLOCK}"))


def hostkey(place: Place, host: str) -> None:
    """Restart the ssh server of a host with another host key."""
    with place.held():
        lab = running(place).lab
        hostkeys.change(place, lab, lab.host(host).name)


def accept(place: Place, host: str) -> list[str]:
    """Have all who dial the host believe its new host key; returns who they are."""
    with place.held():
        found = running(place)
        return hostkeys.accept(place, found.lab, found.lab.host(host).name)


# --- all of it undone -------------------------------------------------------------------------


def heal(place: Place, target: str | None) -> list[str]:
    """Undo every fault of a link or a node, or of all; returns a line for each thing that was done."""
    with place.held():
        found = running(place)
        hosts = [host for host in found.lab.hosts if target in {None, host.name}]
        ends = found.lab.mended(target) if target is not None else _all_ends(found.lab)
        done = []
        for end in ends:
            if _worn(found, [end.port], lambda _: SOUND):
                found = running(place)
                done.append(
                    f"the cable of {end.host} in {found.lab.segment_of(end.port).name} is whole again"
                )
        for host in hosts:
            done += _heal_host(found, host)
        return done


def _heal_host(found: Running, host: Host) -> list[str]:
    place = found.place
    done = []
    if hostkeys.undo(place, found.lab, host.name):
        done.append(f"{host.name} has its old host key again")
    first = marks.first_of(place.mark, host.name)
    if first is None:
        for end in found.lab.ends_of(host.name) if found.lab.loop is None else ():
            hands.unplug(found.pid, end.port)  # the kernel may not have come to it yet
        build.start(place, found.lab, host, found.note)
        return [*done, f"{host.name} is started again"]
    if any(each.state == "T" for each in marks.within(first.pid)):
        _thaw(place, found.lab, host, None)
        done.append(f"{host.name} goes on")
    if found.lab.loop is None and filled(first.pid):
        os.unlink(_filling(first.pid))
        done.append(f"the disk of {host.name} has room again")
    with contextlib.suppress(FileNotFoundError):
        _wrong_clock(found.lab, host.name, first.pid).unlink()
        done.append(f"the clock of {host.name} is right again")
    return done


def _all_ends(lab: Lab) -> tuple[Any, ...]:
    return tuple(end for segment in lab.segments for end in segment.ends)


def _await(holds: Callable[[], bool], what: str) -> None:
    """What the kernel does in its own time has no event to wait for. Raises TabardError when it does not do it."""
    end = time.monotonic() + _PATIENCE
    while not holds():
        if time.monotonic() > end:
            raise TabardError(f"not so in {_PATIENCE:.0f} s: {what}", hint="Take the lab down and up again")
        time.sleep(_PAUSE)
