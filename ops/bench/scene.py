"""A home with its roles, run as processes the way ``tabard up`` runs them."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tabard.brokers.loop import Loop
from tabard.brokers.trust.files import found
from tabard.errors import TabardError
from tabard.home import Home
from tabard.ops.bench import usage
from tabard.ops.bench.surroundings import environment, unbroken
from tabard.ops.keys import members_of
from tabard.ops.up.child import Child
from tabard.ops.up.plan import PATIENCE, planned, stages
from tabard.settings import load

STARTING: Final = 30.0
"""Seconds that a role has to become ready."""


class Scene:
    """The roles of a new home below `directory`. As a context it ends them all, however it is left.

    `given` are settings by name; all others have their defaults.
    """

    def __init__(self, directory: Path, given: Mapping[str, str], roles: Collection[str]) -> None:
        self.home = Home(directory)
        self._given = dict(given)
        self._settings = settings = load(self.home, env={}, args=self._given)
        self._plan = {each.name: each for each in planned(settings, self.home, roles)}
        self._children: dict[str, Child] = {}
        self._words: dict[str, list[str]] = {}
        self._ready: dict[str, float] = {}
        self._loop = Loop()
        # Nobody ever writes to it: the roles see it close when this process ends, however it does.
        self._lifeline, self._life = os.pipe()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            for stage in stages(list(self._plan.values())):
                self.end(*stage)
        finally:
            for child in self._children.values():
                child.kill()
            if (
                self.home.sockets != self.home.run
            ):  # where a long path has its sockets, outside of the directory
                shutil.rmtree(self.home.sockets, ignore_errors=True)
            os.close(self._life)
            os.close(self._lifeline)
            self._loop.close()

    @property
    def names(self) -> list[str]:
        """The roles, in the order they start."""
        return list(self._plan)

    def give_keys(self) -> None:
        """Make a root and a key for each role, as ``tabard up`` does in a new home. Raises TabardError, OSError."""
        root = self._settings.str("node.zone").partition("/")[0]
        found(self.home.ensure(), root, members_of(self._settings, self.home))

    def start(self, name: str) -> float:
        """Start one role; the seconds until it was ready. Raises TabardError when it does not get there."""
        began = time.monotonic()
        self.launch(name)
        while name not in self._ready:
            self.rest(0.5)
            if time.monotonic() > began + STARTING:
                raise TabardError(
                    "a role does not start", expected=f"it to be ready within {STARTING:.0f}s", where=name
                )
        return self._ready[name] - began

    def launch(self, name: str) -> None:
        """Start one role without waiting for it."""
        words = [*self._plan[name].words, "--home", str(self.home.path)]
        words += [word for item in self._given.items() for word in ("--set", "=".join(item))]
        ready = self._ready
        ready.pop(name, None)
        said = self._words[name] = []
        with unbroken():
            self._children[name] = Child(
                [sys.executable, "-P", "-m", "tabard.ops.main", *words],
                self._loop,
                self._lifeline,
                environment(),
                on_ready=lambda: ready.__setitem__(name, time.monotonic()),
                on_line=said.append,
            )

    def kill(self, name: str) -> None:
        """Kill one role without a word, and wait until it is gone."""
        child = self._children.pop(name, None)
        if child is not None:
            child.kill()
            while child.ended() is None:
                self._loop.turn(0.01)

    def revive(self) -> list[str]:
        """Hear what the roles say, and launch those again that ended, as ``tabard up`` does; which these were."""
        self._loop.turn(0.0)
        ended = [name for name, child in self._children.items() if child.ended() is not None]
        for name in ended:
            self.launch(name)
        return ended

    def rest(self, seconds: float) -> None:
        """Let at most `seconds` pass, less when something happens. Raises TabardError when a role has ended."""
        self._loop.turn(seconds)
        for name, child in self._children.items():
            code = child.ended()
            if code is not None:
                said = self._words[name]
                raise TabardError(
                    "a role ended in the middle of the bench",
                    found=f"exit code {code}" + (f", {said[-1]!r}" if said else ""),
                    where=name,
                )

    def wait(self, seconds: float) -> None:
        """Let `seconds` pass. Raises TabardError when a role ends meanwhile."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.rest(left)

    def end(self, *names: str) -> None:
        """End these roles, by force where asking does not help."""
        children = [self._children[name] for name in names if name in self._children]
        for child in children:
            child.ask_to_end()
        deadline = time.monotonic() + PATIENCE
        while any(child.ended() is None for child in children):
            if time.monotonic() > deadline:
                for child in children:
                    child.kill()
            self._loop.turn(0.02)
        for name in names:
            self._children.pop(name, None)

    def pid(self, name: str) -> int:
        """The process id of a running role."""
        return self._children[name].pid

    def cpu(self) -> dict[str, float]:
        """CPU seconds of every running role since its start."""
        return {name: usage.cpu_seconds(child.pid) for name, child in self._children.items()}
