"""What runs on a host that is installed, upgraded or taken away: a program of its own, sent there through ssh, that needs nothing but Python.

It is read whole from standard input, so it imports nothing of Tabard. A request is one JSON object, behind it the bytes of the files that it names. Every
answer is a line: the request's token, a blank, and a JSON object; what a login prints besides is not taken for one. The last answer has ``done`` or ``failed``.

Below the home lie ``software/releases/ID`` (a virtual environment; whole once its ``.complete`` is there), and the links ``software/current`` and
``software/previous``. A release that was cut off while it was laid down is cleared by the next run.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import stat
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from tabard.ops.hosts.onhost.tools import (
    Failed,
    clear,
    end,
    last,
    locked,
    musl,
    of_software,
    put,
    ran,
    receive,
    stopped,
    text_of,
)

COMPLETE = ".complete"
RUNS = ".runs"
"""In ``software``: the release that the roles were started by last. A link says only what they should run."""
TURN = 30.0
"""Seconds that another program's change of this home is waited for: one whose ssh broke off goes on for a while."""
TURN_PAUSE = 0.2
MARK = ".tabard-host"
"""In ``software``: that it is this program's to take away."""


class Host:
    """One home on this host."""

    def __init__(self, home: str) -> None:
        self.home = os.path.abspath(os.path.expanduser(home))
        self.software = os.path.join(self.home, "software")
        self.releases = os.path.join(self.software, "releases")

    def release(self, name: str) -> str:
        """The directory of a release. Raises Failed for what cannot be the name of one."""
        if (
            not name
            or not name.replace("-", "").replace(".", "").replace("+", "").isalnum()
            or name.startswith(".")
        ):
            raise Failed("not the name of a release", found=repr(name))
        return os.path.join(self.releases, name)

    def whole(self, name: str) -> bool:
        """Whether a release lies there, verified, in a directory of its own and not behind a link."""
        folder = self.release(name)
        return not os.path.islink(folder) and os.path.isfile(os.path.join(folder, COMPLETE))

    def link(self, name: str) -> str | None:
        """The release that a link names, None where there is none or what it names is not whole."""
        with contextlib.suppress(OSError):
            to = os.readlink(os.path.join(self.software, name))
            folder, _, release = to.rpartition("/")
            if folder == "releases" and self.whole(release):
                return release
        return None

    def standing(self) -> dict[str, Any]:
        """What lies there."""
        found = []
        with contextlib.suppress(OSError):
            found = sorted(name for name in os.listdir(self.releases) if self.whole(name))
        return {"current": self.link("current"), "previous": self.link("previous"), "releases": found}

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """One program at a time changes the software of a home. Raises Failed."""
        try:
            os.makedirs(self.home, mode=0o700, exist_ok=True)
            os.makedirs(self.releases, mode=0o700, exist_ok=True)
        except OSError as error:
            raise Failed(
                "the home on the host cannot be made",
                expected="a place that this user can write to",
                found=error.strerror,
                where=str(error.filename or self.home),
                hint="Name another with --remote-home",
            ) from error
        about = os.stat(self.home)
        if about.st_uid != os.geteuid() or about.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise Failed(
                "others could change what lies there",
                expected="a directory of this user's own that nobody else can write to",
                found=f"mode {stat.S_IMODE(about.st_mode):o}, owner {about.st_uid}",
                where=self.home,
                hint=f"chmod go-w {self.home}",
            )
        for folder in (self.software, self.releases):
            if os.path.islink(folder):
                raise Failed(
                    "a link in place of a directory",
                    expected="a directory",
                    found=os.readlink(folder),
                    where=folder,
                )
        descriptor = os.open(
            os.path.join(self.software, MARK), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
        )
        try:
            until = time.monotonic() + TURN
            while not locked(descriptor):
                if time.monotonic() > until:
                    raise Failed(
                        "somebody else changes this host right now",
                        where=self.home,
                        hint="Wait until that is over, and try again",
                    )
                time.sleep(TURN_PAUSE)
            yield
        finally:
            os.close(descriptor)

    def tabard(
        self, *words: str, release: str | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of Tabard for this home. Raises Failed where it fails."""
        folder = self.release(release) if release else os.path.join(self.software, "current")
        return ran([os.path.join(folder, "bin", "tabard"), *words], check=check, TABARD_HOME=self.home)


def facts(host: Host, _request: dict[str, Any], _payload: BinaryIO) -> dict[str, Any]:
    """What is asked before anything is done."""
    libc, version = platform.libc_ver()
    numbers = [int(part) for part in version.split(".")[:2] if part.isdigit()]
    if not libc:
        libc, numbers = musl()
    folder = host.home
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    room = os.statvfs(folder)
    return {
        "python": list(sys.version_info[:3]),
        "interpreter": sys.executable,
        "implementation": sys.implementation.name,
        "machine": platform.machine(),
        "libc": libc,
        "libc_version": [*numbers, 0, 0][:2],
        "host": platform.node(),
        "home": host.home,
        "writable": os.access(folder, os.W_OK | os.X_OK),
        "free": room.f_bavail * room.f_frsize,
        "crontab": shutil.which("crontab") is not None,
        "joined": os.path.isdir(os.path.join(host.home, "trust")),
        "root": os.geteuid() == 0,
        **host.standing(),
    }


def stage(host: Host, request: dict[str, Any], payload: BinaryIO) -> dict[str, Any]:
    """Lay a release whole beside the one that runs, and verify it."""
    release = str(request["release"])
    folder = host.release(release)
    with host.alone():
        if host.whole(release):
            return {"staged": release, "was_there": True}
        _make_room(host)
        clear(folder)
        wheels = os.path.join(folder, "wheels")
        try:
            os.makedirs(wheels, mode=0o700)
            pip = ""
            paths = []
            for file in request["files"]:
                path = os.path.join(wheels, os.path.basename(str(file["name"])))
                receive(payload, path, int(file["size"]), str(file["sha256"]))
                if file["kind"] == "pip":
                    pip = path
                else:
                    paths.append(path)
            venv.EnvBuilder(symlinks=True, with_pip=False).create(folder)
            python = os.path.join(folder, "bin", "python")
            ran(
                [
                    python, "-I", os.path.join(pip, "pip"), "install", "--quiet", "--no-index", "--no-deps", "--no-compile", "--no-cache-dir",
                    "--disable-pip-version-check", "--no-warn-script-location", *paths,
                ],
                PIP_CONFIG_FILE=os.devnull,
            )  # fmt: skip
            _check_version(host, release, str(request["version"]))
            shutil.rmtree(wheels)
            put(os.path.join(folder, COMPLETE), b"%d\n" % time.time_ns())
        except BaseException as error:
            clear(folder)
            if isinstance(error, OSError):
                raise Failed(
                    "the release cannot be laid down", found=error.strerror, where=str(error.filename or folder),
                    hint="It needs about 40 MB, and a file system where programs may be run",
                ) from error  # fmt: skip
            raise
    return {"staged": release, "was_there": False}


def _make_room(host: Host) -> None:
    """Take away what is neither run nor gone back to. Only here: who is put back after a switch gets what it would have gone back to as well."""
    standing = host.standing()
    for name in os.listdir(host.releases):
        if name not in (standing["current"], standing["previous"]):
            clear(os.path.join(host.releases, name))


def _check_version(host: Host, release: str, version: str) -> None:
    said = host.tabard("--version", release=release).stdout.split()
    if version not in said:
        raise Failed(
            "another version than was sent",
            expected=version,
            found=" ".join(said),
            where=host.release(release),
        )


def enroll(host: Host, request: dict[str, Any], payload: BinaryIO) -> dict[str, Any]:
    """Write the settings where there are none, and take in the keys. They come through standard input, and are nobody else's to read."""
    release = str(request["release"])
    with host.alone():
        settings, text = os.path.join(host.home, "tabard.toml"), str(request["settings"]).encode()
        wrote = False
        if text and not os.path.lexists(settings):
            put(settings, text)
            wrote = True
        if request["size"]:
            path = os.path.join(host.software, ".member")
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            try:
                put(path, payload.read(int(request["size"])))
                host.tabard("join", path, release=release)
            finally:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
        checked = host.tabard("check", release=release, check=False)
    if checked.returncode not in (0, 3):
        raise Failed(
            "the settings on the host are wrong", found=last(checked.stdout + checked.stderr), where=settings
        )
    return {"settings": wrote, "check": checked.returncode}


def switch(host: Host, request: dict[str, Any], _payload: BinaryIO) -> dict[str, Any]:
    """Make one release the one that runs, and have its roles run."""
    release, previous = str(request["release"]), request["previous"]
    with host.alone():
        for name in (release, previous):
            if name is not None and not host.whole(str(name)):
                raise Failed(
                    "no such release lies there",
                    expected=" or ".join(host.standing()["releases"]) or "one",
                    found=str(name),
                )
        ran_by = os.path.join(host.software, RUNS)
        same = host.link("current") == release and text_of(ran_by) == release
        with contextlib.suppress(FileNotFoundError):
            os.unlink(ran_by)  # cut off from here on, it is done from the beginning
        _link(host, "previous", None if previous is None else str(previous))
        _link(host, "current", release)
        ended = [] if same and not request.get("restart") else stopped(os.path.join(host.home, "run"))
        program = os.path.join(host.software, "current", "bin", "tabard")
        if os.path.exists(os.path.join(host.home, "store", "records.db")):
            host.tabard("store", "upgrade")
        logs = os.path.join(host.home, "log")
        if request["keep"] == "cron":
            host.tabard("crontab", "install", "--program", program, "--log-dir", logs)
        host.tabard("crontab", "start", "--program", program, "--log-dir", logs)
        put(ran_by, release.encode())
    return {"current": release, "ended": ended}


def _link(host: Host, name: str, release: str | None) -> None:
    """Let a link name a release in one move; None takes it away."""
    path = os.path.join(host.software, name)
    if release is None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
    elif host.link(name) != release:
        new = f"{path}.new"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(new)
        os.symlink(f"releases/{release}", new)
        os.rename(new, path)
    folder = os.open(host.software, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(folder)
    os.close(folder)


def status(host: Host, _request: dict[str, Any], _payload: BinaryIO) -> dict[str, Any]:
    """How the home is, by its own word."""
    done = host.tabard("status", "-o", "json", check=False)
    try:
        said = json.loads(done.stdout)
    except ValueError as error:
        raise Failed(
            "tabard status says nothing that makes sense", found=last(done.stdout + done.stderr)
        ) from error
    return {"status": said, "code": done.returncode, **host.standing()}


def remove(host: Host, request: dict[str, Any], _payload: BinaryIO) -> dict[str, Any]:
    """End what runs, take the cron lines out, remove the home, or only its software; then look whether anything is left."""
    if not os.path.lexists(host.home):
        return {"left": [], "was_there": False}
    if not os.path.isfile(os.path.join(host.software, MARK)):
        raise Failed(
            "this home was not made by tabard host install, so it is not removed", expected=f"{host.software}/{MARK}", found="none",
            where=host.home, hint="Remove it by hand there, if it is not wanted",
        )  # fmt: skip
    with host.alone():
        sockets = _sockets(host)
        _take_lines_out(host)
        stopped(os.path.join(host.home, "run"))
        end(of_software(host.software))
        shutil.rmtree(host.software if request["keep_data"] else host.home)
        if sockets and not sockets.startswith(host.home + os.sep):
            shutil.rmtree(sockets, ignore_errors=True)
    gone = (host.software,) if request["keep_data"] else (host.software, host.home, sockets)
    left = [path for path in gone if path and os.path.lexists(path)]
    left += [f"process {pid}" for pid in of_software(host.software)]
    table = ran(["crontab", "-l"], check=False).stdout if shutil.which("crontab") else ""
    left += [f"crontab: {line}" for line in table.splitlines() if host.software in line]
    return {"left": left, "was_there": True}


def _sockets(host: Host) -> str:
    """Where a home whose path is long has its sockets; "" where nobody can say: they are in a place that a start of the machine empties."""
    python = os.path.join(host.software, "current", "bin", "python")
    code = "import sys; from tabard.home import Home; print(Home(sys.argv[1]).sockets)"
    with contextlib.suppress(Failed):
        return ran([python, "-I", "-c", code, host.home]).stdout.strip()
    return ""


def _take_lines_out(host: Host) -> None:
    """By the release that runs, or another one where that is broken. Raises Failed before anything else is removed."""
    releases = host.standing()["releases"]
    releases.sort(key=lambda name: name != host.link("current"))
    if not releases or shutil.which("crontab") is None:
        return  # none was ever started here, or not by cron
    why = ""
    for release in releases:
        try:
            host.tabard("crontab", "remove", release=release)
        except Failed as error:
            why = why or f"{error.said['what']}: {error.said.get('found')}"
        else:
            return
    raise Failed(
        "the cron lines cannot be taken out", found=why, where=host.software,
        hint="Take the block of this home out there with crontab -e, and its directory software away",
    )  # fmt: skip


OPERATIONS: dict[str, Callable[[Host, dict[str, Any], BinaryIO], dict[str, Any]]] = {
    "facts": facts,
    "stage": stage,
    "enroll": enroll,
    "switch": switch,
    "status": status,
    "remove": remove,
}


def serve(source: BinaryIO) -> None:
    """Do what one request asks, and say what became of it."""
    os.umask(0o077)
    request = json.loads(source.read(int(source.readline())))
    try:
        answer = {"done": OPERATIONS[request["op"]](Host(str(request["home"])), request, source)}
    except Failed as error:
        answer = {"failed": error.said}
    except OSError as error:
        answer = {
            "failed": {"what": "the host refuses it", "found": error.strerror, "where": str(error.filename)}
        }
    sys.stdout.write(f"{request['token']} {json.dumps(answer)}\n")
    sys.stdout.flush()
