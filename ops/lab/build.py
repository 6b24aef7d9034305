"""Building a lab, and starting one of its hosts again."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tabard import files
from tabard.errors import AlreadyRunning, TabardError
from tabard.ops.lab import hands, lines, marks, needs, places, state
from tabard.ops.lab.lines import Wear
from tabard.ops.lab.plan import PAGE, UP, Host, Lab, Loop, planned, planned_bare
from tabard.ops.lab.state import Place, State

HEARD: Final = 120.0
"""Seconds within which every node should have been heard by the store; a busy machine takes a while to start so many."""
_PAUSE: Final = 0.5
WIRES: Final = "wires"


def up(
    place: Place,
    port: int,
    say: Callable[[str], None],
    kind: str = "openssh",
    *,
    loopback: bool = False,
    bare: int = 0,
) -> list[str]:
    """Build the lab and wait until its nodes are heard; returns the names of those that were not.

    With ``loopback`` it is one without namespaces; with ``bare`` it has so many bare hosts beside one that has all. Nothing is left when it fails. Raises AlreadyRunning when there is one, RefusedError when this machine cannot have one, TabardError.
    """
    needs.refuse_missing(loopback=loopback)
    needs.refuse_rights(place.path)
    if loopback:
        needs.refuse_meaning(place.path)
    _refuse_second(place)
    lab = planned_bare(bare) if bare else planned(kind, _loop(place, port) if loopback else None)
    with _listening(port) as page, _made(place) as homeless:
        _refuse_second(place)
        place.clear()  # what a lab that is no more has left
        note = State(
            complete=False,
            page=f"http://127.0.0.1:{port}",
            wear={},
            kind=kind,
            loop=lab.loop,
            homeless=homeless,
            bare=bare,
        )
        state.write(place, note)
        try:
            first = _lab(place, lab)
            pid = pid_of(place, "")
            say(
                f"{len(lab.hosts)} hosts in {len(lab.zones)} {'zones' if len(lab.zones) > 1 else 'zone'} are made"
            )
            if lab.loop is not None:
                page.close()  # it was free: herald takes it
            _start(place, lab, lab.hosts, pid, before=lambda: _give_keys(place, lab, say))
            if lab.loop is None:
                open_page(place, page)
            state.write(place, note._replace(complete=True))
            first.tell("keep")
        except BaseException:
            end(place)
            raise
    say("all roles start; each node is heard by the store as soon as it has something to say")
    return _unheard(place, lab)


@contextlib.contextmanager
def _made(place: Place) -> Iterator[bool]:
    """The place, held by this command; whether its home was made for it. Raises what ``make`` and ``held`` do."""
    homeless = place.make()
    with place.held():
        yield homeless


def start(place: Place, lab: Lab, host: Host, note: State) -> None:
    """Start a host that was killed, with the disk that it had. Raises TabardError."""
    _start(place, lab, [host], pid_of(place, ""))
    if "herald" in host.roles and lab.loop is None:
        with _listening(int(note.page.rpartition(":")[2])) as page:
            open_page(place, page)


def end(place: Place, patience: float = 30.0) -> None:
    """Take the lab away, whatever is left of it, and its files. Raises TabardError when something stays."""
    needs.refuse_rights(place.path)
    left = marks.end_all(place.mark, patience)
    if left:
        raise TabardError(
            "the lab has not ended",
            found=f"processes {', '.join(str(each.pid) for each in left)} that do not end",
            where=str(place.path),
            hint="One that waits for a disk ends with it; then do this again",
        )
    with contextlib.suppress(FileNotFoundError):
        place.remove()


def words_in(place: Place, lab: Lab, host: str, words: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The words, and the variables, that run ``words`` in a host. Raises TabardError when it does not run."""
    own = places.environment(lab.where(host), hands.path())
    found = {**own, **hands.imports(), **marks.mark(place.mark, host)}
    for name in ("TERM", "COLUMNS", "LINES"):
        if name in os.environ:
            found[name] = os.environ[name]
    pid = pid_of(place, host)
    if lab.loop is None:
        return hands.entered(pid, words), found
    program = words[0] if os.path.isabs(words[0]) else shutil.which(words[0], path=found["PATH"])
    if program is None:
        raise TabardError("there is no such program", expected=f"one in {found['PATH']}", found=words[0])
    return [program, *words[1:]], found


def _refuse_second(place: Place) -> None:
    running = marks.first_of(place.mark, "")
    if running is not None:
        note = state.read(place)
        raise AlreadyRunning(
            "a lab is up there already",
            pid=running.pid,
            where=str(place.path),
            hint="Look at it with 'tabard lab status', end it with 'tabard lab down', or choose another --home"
            if note is not None and note.complete
            else "It is being built; 'tabard lab down' ends it",
        )


def _loop(place: Place, port: int) -> Loop:
    """Addresses of the loopback that nobody uses: every user may listen at each of them. Raises TabardError."""
    user = pwd.getpwuid(os.geteuid()).pw_name
    for second in random.sample(range(64, 250), 50):
        found = Loop(f"127.{second}", str(place.path / "disks"), port, user)
        with socket.socket() as trying, contextlib.suppress(OSError):
            trying.bind((planned(loop=found).address("hq1"), UP))
            return found
    raise TabardError(
        "no addresses are free",
        expected=f"port {UP} at an address in 127.64.0.0 to 127.249.255.255",
        found="50 that are taken, or that this system does not have",
        hint="It has to be Linux, where all of 127.0.0.0/8 is this machine",
    )


def write_wires(place: Place, lab: Lab, wear: Mapping[str, Wear]) -> None:
    """What the wires of a lab without namespaces read: which there are, and what is wrong with their cables."""
    content = {
        "wires": [each._asdict() for each in lab.wires()],
        "cut": [port for port, each in wear.items() if each.cut],
        "slow": {port: list(each.slow) for port, each in wear.items() if each.slow},
    }
    _specify(place, WIRES, content)


def _lab(place: Place, lab: Lab) -> hands.Started:
    """The first process of all, with disks and bridges, or with wires."""
    disks = {str(place.disk(host.name)): host.disk for host in lab.hosts}
    _specify(place, "lab", {"disks": disks})
    keys = hands.make_keys(place, [host.name for host in lab.hosts])
    programs = needs.programs()
    for host in lab.hosts:
        spec = places.specification(lab, host, keys=keys, programs=programs, keep=_seen(), path=hands.path())
        spec["environment"] |= hands.imports()
        _specify(place, host.name, {**spec, "disk": str(place.disk(host.name))})
    if lab.loop is not None:
        write_wires(place, lab, {})
        words = hands.module("wires", str(place.specification(WIRES)))
        first = hands.Started(place, "lab", words, hands.environment(place, first=True))
        first.await_made()
        return first
    words = hands.unshared(hands.module("first", "lab", str(place.specification("lab"))))
    first = hands.Started(place, "lab", words, hands.environment(place))
    first.await_made()
    hands.ip(pid_of(place, ""), lines.fabric(lab))
    return first


def _start(
    place: Place, lab: Lab, hosts: Iterable[Host], pid: int, before: Callable[[], None] | None = None
) -> None:
    """Make the namespaces of hosts, plug them in, and let them run, after ``before`` was called."""
    looped = lab.loop is not None
    started = {
        host: hands.Started(
            place,
            host.name,
            _first(place, host, pid, looped=looped),
            hands.environment(place, host.name, first=looped),
        )
        for host in hosts
    }
    for each in started.values():
        each.await_made()
    if not looped:
        _plug(place, lab, started, pid)
    if before is not None:
        before()
    for each in started.values():
        each.tell("go")


def _first(place: Place, host: Host, pid: int, *, looped: bool) -> list[str]:
    """The words that start the first process of a host, when ``pid`` is that of the lab."""
    words = hands.module("first", "host", str(place.specification(host.name)))
    if looped:
        return [*words, str(pid)]
    return hands.entered(pid, hands.unshared(words), ["--mount", "--pid"])


def _plug(place: Place, lab: Lab, hosts: Iterable[Host], pid: int) -> None:
    pids = {each.host: each.pid for each in marks.marked(place.mark) if each.first}
    plugged = [line for host in hosts for line in lines.cables(lab, host, pids[host.name])]
    hands.ip(pid, plugged)
    for host in hosts:
        hands.ip(pids[host.name], lines.addresses(lab, host))


def _give_keys(place: Place, lab: Lab, say: Callable[[str], None]) -> None:
    from tabard.ops.lab.giving import give_keys

    give_keys(place, lab)
    say("each has the keys of its roles, and knows whom to believe")


def open_page(place: Place, listening: socket.socket) -> None:
    """Hand connections to a port of this machine on to herald."""
    note = state.read(place)
    host = next(host for host in (note.lab if note else planned()).hosts if "herald" in host.roles)
    words = hands.module("page", str(listening.fileno()), str(PAGE))
    started = hands.Started(
        place,
        "page",
        hands.entered(pid_of(place, host.name), words),
        hands.environment(place, host.name),
        [listening.fileno()],
    )
    started.await_made()
    started.tell("keep")


@contextlib.contextmanager
def _listening(port: int) -> Iterator[socket.socket]:
    """A socket that listens on this machine's loopback. Raises TabardError."""
    with socket.socket() as listening:
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(("127.0.0.1", port))
            listening.listen(64)
        except OSError as error:
            raise TabardError(
                "cannot listen there for the page",
                expected="a free port of this machine",
                found=error.strerror or str(error),
                where=f"127.0.0.1:{port}",
                hint=f"Choose another one, such as --port {port + 10}",
            ) from error
        yield listening


def pid_of(place: Place, host: str) -> int:
    """The first process of a host, or of the lab. Raises TabardError."""
    found = marks.first_of(place.mark, host)
    if found is None and not host:
        raise place.none()
    if found is None:
        raise TabardError(
            f"{host} does not run", where=str(place.path), hint=f"Start it with 'tabard lab heal {host}'"
        )
    return found.pid


def _specify(place: Place, name: str, content: dict[str, Any]) -> None:
    path = place.specification(name)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    files.write_json(path, content)


def _seen() -> list[str]:
    """Directories that hosts must see, wherever they are: the interpreter, what it imports, and this package behind its links."""
    import tabard

    package = Path(tabard.__file__).parent
    found = [sys.prefix, sys.base_prefix, sys.exec_prefix, *sys.path, str(package)]
    found += [str(entry) for entry in package.iterdir() if entry.is_dir()]
    real = {os.path.realpath(path) for path in found if path and os.path.isdir(path)}
    return sorted(real | {os.path.abspath(path) for path in found if path and os.path.isdir(path)})


def _unheard(place: Place, lab: Lab) -> list[str]:
    """Wait until the store has heard of every node; the names of those of which it has not."""
    names = {host.name for host in lab.hosts if not host.bare}
    store = next(host.name for host in lab.hosts if "recorder" in host.roles)
    end = time.monotonic() + HEARD
    heard: set[str] = set()
    while not names <= heard and time.monotonic() < end:
        heard = _heard(place, lab, store)
        if not names <= heard:
            time.sleep(_PAUSE)
    return sorted(names - heard)


def _heard(place: Place, lab: Lab, store: str) -> set[str]:
    words, variables = words_in(
        place, lab, store, [sys.executable, "-P", "-m", "tabard.ops.main", "nodes", "-o", "json"]
    )
    done = subprocess.run(words, env=variables, capture_output=True, timeout=hands.PATIENCE, check=False)
    try:
        return {str(node["node"]) for node in json.loads(done.stdout) if node["state"] == "up"}
    except (ValueError, KeyError, TypeError):
        return set()  # the store is not there yet
