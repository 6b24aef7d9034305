"""Whether the host keys of what a tunnel's ssh would dial are known: asked of ssh's own programs, nothing is connected to.

`ssh -G` says which name and port, and which files; `ssh-keygen -F` looks a name up, also where the names are hashed.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from tabard.settings.schema import Tunnel

PATIENCE: Final = 5.0
"""Seconds that one of them may take: a configuration may run commands."""
_SSH: Final = 22
_COMMAND: Final = "knownhostscommand"
_JUMP: Final = "proxyjump"
_USERS: Final = "userknownhostsfile"
_FILES: Final = (_USERS, "globalknownhostsfile")


class Unknown(NamedTuple):
    """A server whose host key is not known."""

    server: str
    """As ``HOST:PORT``."""
    name: str
    """How known_hosts would call it."""
    files: Sequence[str]
    """In which it was looked for; the first is the user's own."""
    on_the_way: bool
    """A host of ``ProxyJump``."""


def unknown(tunnel: Tunnel, folder: Path) -> Iterator[Unknown]:
    """The servers that ssh would refuse, since nothing says what their host keys are.

    Where ssh is not there, or its configuration has a program or names that only a connection fills in, nothing is said.
    `folder` is the one in which ssh is asked.
    """
    config = ["-F", os.path.expanduser(tunnel.config)] if tunnel.config else []
    port = ["-p", str(tunnel.port)] if tunnel.port else []
    said = _asked(folder, *config, *port, "--", tunnel.host)
    if not tunnel.host_key:
        yield from _looked_up(said, on_the_way=False)
    for jump in said.get(_JUMP, "none").split(","):
        if jump and jump != "none":
            where, _, last = jump.rpartition("@")[2].rpartition(":")
            to = ["-p", last, "--", where] if where and last.isdecimal() else ["--", jump.rpartition("@")[2]]
            to[-1] = to[-1].strip("[]")
            yield from _looked_up(_asked(folder, *config, *to), on_the_way=True)


def _looked_up(said: Mapping[str, str], *, on_the_way: bool) -> Iterator[Unknown]:
    host, port = said.get("hostname", ""), said.get("port", "")
    if not host or not port.isdecimal() or said.get(_COMMAND, "none") != "none":
        return
    alias = said.get("hostkeyalias", "none")
    names = [alias] if alias != "none" else _names(host, int(port))
    files = [
        os.path.expanduser(file) for key in _FILES for file in _words(said.get(key, "")) if file != "none"
    ]
    if any("%" in file or "${" in file for file in files):
        return
    found = [_known(name, file) for name in names for file in files if Path(file).is_file()]
    if True in found or None in found:
        return
    yield Unknown(f"{host}:{port}", names[0], files, on_the_way)


def _names(host: str, port: int) -> list[str]:
    """What ssh looks for: with the port, unless it is ssh's own, then without it."""
    return [host] if port == _SSH else [f"[{host}]:{port}", host]


def _known(name: str, file: str) -> bool | None:
    """Whether a line of the file is a key of that name that is not revoked; None where nobody can tell."""
    try:
        done = _run("ssh-keygen", "-F", name, "-f", file)
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = done.stdout.decode("utf-8", "replace").splitlines()
    return any(line.strip() and not line.startswith(("#", "@revoked")) for line in lines)


def _asked(folder: Path, *words: str) -> dict[str, str]:
    try:
        done = _run("ssh", "-G", *words, folder=folder)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    lines = done.stdout.decode("utf-8", "replace").splitlines() if done.returncode == 0 else []
    return {name.lower(): value for name, _, value in (line.partition(" ") for line in lines)}


def _run(*words: str, folder: Path | None = None) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        words, capture_output=True, stdin=subprocess.DEVNULL, timeout=PATIENCE, check=False, cwd=folder
    )


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()
