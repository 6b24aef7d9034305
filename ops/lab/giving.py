"""Giving the hosts of a lab their keys, by the commands that an operator would type in them."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from tabard.errors import TabardError
from tabard.ops.lab import build, hands
from tabard.ops.lab.members import Typed, authority, founded, joined
from tabard.ops.lab.plan import Lab
from tabard.ops.lab.state import Place


def give_keys(place: Place, lab: Lab) -> None:
    """Make zones and keys at the authority, carry each host its files, and join them there. Raises TabardError."""
    _type(place, list(founded(lab)))
    source = build.pid_of(place, authority(lab).name)
    with ThreadPoolExecutor(max_workers=max(2, os.cpu_count() or 1)) as pool:
        for _ in pool.map(lambda each: _join(place, source, each), joined(lab)):
            pass


def _join(place: Place, source: int, each: Sequence[Typed]) -> None:
    target = build.pid_of(place, each[0].host)
    for typed in each:
        _carry(source, target, typed.carried)
    _type(place, each)
    for typed in each:
        os.unlink(_seen(target, typed.carried))


def _carry(source: int, target: int, path: str) -> None:
    """Move a file of one host to another, readable by nobody else on the way."""
    with open(_seen(source, path), "rb") as file:
        content = file.read()
    descriptor = os.open(_seen(target, path), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "wb") as file:
        file.write(content)
    os.unlink(_seen(source, path))


def _seen(pid: int, path: str) -> str:
    """A path of a host, as this machine sees it."""
    return f"/proc/{pid}/root{path}"


def _type(place: Place, each: Sequence[Typed]) -> None:
    """Have commands done in the one host that they are for."""
    words, variables = build.words_in(place, each[0].host, hands.module("several"))
    done = subprocess.run(
        words,
        input=json.dumps([typed.words for typed in each]),
        env=variables,
        capture_output=True,
        text=True,
        timeout=hands.PATIENCE,
        check=False,
    )
    if done.returncode != 0:
        raise TabardError(
            f"{each[0].host} was given no keys",
            found=" ".join(done.stderr.split()) or f"exit code {done.returncode}",
            where=str(place.path),
            hint="Nothing of the lab is left; this is a fault of Tabard",
        )
