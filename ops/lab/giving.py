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
    _type(place, lab, list(founded(lab)))
    source = build.pid_of(place, authority(lab).name)
    with ThreadPoolExecutor(max_workers=max(2, os.cpu_count() or 1)) as pool:
        for _ in pool.map(lambda each: _join(place, lab, source, each), joined(lab)):
            pass


def _join(place: Place, lab: Lab, source: int, each: Sequence[Typed]) -> None:
    target = build.pid_of(place, each[0].host)
    for typed in each:
        _carry(lab.file(source, typed.carried), lab.file(target, typed.carried))
    _type(place, lab, each)
    for typed in each:
        os.unlink(lab.file(target, typed.carried))


def _carry(here: str, there: str) -> None:
    """Move a file of one host to another, readable by nobody else on the way."""
    if here == there:  # one disk has both
        return
    with open(here, "rb") as file:
        content = file.read()
    descriptor = os.open(there, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "wb") as file:
        file.write(content)
    os.unlink(here)


def _type(place: Place, lab: Lab, each: Sequence[Typed]) -> None:
    """Have commands done in the one host that they are for."""
    words, variables = build.words_in(place, lab, each[0].host, hands.module("several"))
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
