"""The parent process: starts the children, starts them again when they end, and ends them in order."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from tabard.brokers.loop import Loop, Timer
from tabard.ops.up.backoff import Backoff
from tabard.ops.up.child import Child
from tabard.ops.up.plan import PATIENCE, Planned, stages
from tabard.ops.up.terminal import Terminal
from tabard.ops.up.voice import Voice
from tabard.units import format_duration

SLOW: Final = 20.0
"""Seconds after which a child that is not ready yet is mentioned."""
SHARE: Final = 0.3
"""Part of the time to end for which those that end later wait for one that does not."""
REAPING: Final = 5.0
"""Seconds that the kernel has to take away what was killed; a process stuck in a dead disk stays its problem."""
REPEATED: Final = 5
"""Ends in a row from which on the reader is told where to look."""


class Post:
    """One place in the plan: the child that fills it now, and what became of those before."""

    def __init__(self, planned: Planned) -> None:
        self.planned = planned
        self.child: Child | None = None
        self.ready = False
        self.last_words = ""
        """The last line that it printed."""
        self.started = 0.0
        self.restarts = 0
        self.backoff = Backoff()
        self.due: Timer | None = None
        self.reload_due = False
        """Whether it has to be told to read the settings again as soon as it listens to that."""

    @property
    def name(self) -> str:
        """The child's name."""
        return self.planned.name

    def status(self) -> dict[str, Any]:
        """For the status file."""
        state = "waiting" if self.child is None else "ready" if self.ready else "starting"
        return {"state": state, "pid": self.child.pid if self.child else None, "restarts": self.restarts}


class Supervisor:
    """Keeps the planned children running until it is told to end."""

    def __init__(
        self,
        planned: Sequence[Planned],
        command: Callable[[Planned], Sequence[str]],
        loop: Loop,
        voice: Voice,
        *,
        on_ready: Callable[[], None],
        on_change: Callable[[Mapping[str, Any]], None],
        reload: Callable[[], tuple[bool, str]],
        patience: float = PATIENCE,
    ) -> None:
        self._patience = patience
        self._posts = {each.name: Post(each) for each in planned}
        self._stages = stages(planned)
        self._command = command
        self._loop = loop
        self._voice = voice
        self._on_ready = on_ready
        self._on_change = on_change
        self._reload = reload
        self._announced = False
        self._ending = False
        self._hurry = False
        self._terminal = Terminal()
        # Nobody ever writes to it: it closes when this process ends, however it does, and its children see that.
        self._lifeline, self._life = os.pipe()

    def run(self) -> None:
        """Start all, keep them running, and end them when SIGTERM or SIGINT comes or the terminal is gone."""
        loop = self._loop
        loop.on_signal(signal.SIGCHLD, self._look)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.on_signal(number, self._stop)
        loop.on_signal(signal.SIGHUP, self._hang_up)
        try:
            for post in self._posts.values():
                self._start(post)
            loop.call_at(loop.now() + SLOW, self._mention_slow)
            loop.run()
        finally:
            self._end()
            os.close(self._life)
            os.close(self._lifeline)

    def tell(self) -> None:
        """Say how every child is."""
        self._on_change({name: post.status() for name, post in self._posts.items()})

    # --- start and start again -------------------------------------------------------------

    def _start(self, post: Post) -> None:
        post.due = None
        post.ready = False
        post.last_words = ""
        post.reload_due = False
        post.started = self._loop.now()
        try:
            post.child = Child(
                self._command(post.planned),
                self._loop,
                self._lifeline,
                os.environ,
                on_ready=lambda: self._is_ready(post),
                on_line=lambda text: self._hear(post, text),
            )
        except OSError as error:
            delay = post.backoff.after(0.0)
            self._voice.warn(
                f"{post.name} cannot be started: {error}; next attempt in {format_duration(delay)}"
            )
            post.due = self._loop.call_at(self._loop.now() + delay, lambda: self._start(post))
        self.tell()

    def _hear(self, post: Post, text: str) -> None:
        if text:
            post.last_words = text
            self._voice.quote(post.name, text)

    def _is_ready(self, post: Post) -> None:
        post.ready = True
        if post.reload_due and post.child is not None:
            post.reload_due = False
            post.child.ask_to_reload()
        if self._announced and post.child is not None:
            self._voice.note(f"{post.name} runs again as process {post.child.pid}")
        self.tell()
        if not self._announced and all(each.ready for each in self._posts.values()):
            self._announced = True
            self._on_ready()

    def _mention_slow(self) -> None:
        for post in self._posts.values():
            if not post.ready and not self._ending:
                self._voice.warn(f"{post.name} is not ready after {SLOW:.0f} s: see log/{post.name}.log")

    def _look(self) -> None:
        """Something has ended: see what, and plan its next start."""
        for post in self._posts.values():
            code = post.child.ended() if post.child is not None else None
            if code is not None:
                post.child = None
                post.ready = False
                if not self._ending:
                    self._start_later(post, code)

    def _start_later(self, post: Post, code: int) -> None:
        now = self._loop.now()
        delay = post.backoff.after(now - post.started)
        post.restarts += 1
        said = f" ({post.last_words.removeprefix('tabard: ')})" if post.last_words else ""
        if post.backoff.failures >= REPEATED:
            said += f", {post.backoff.failures} times in a row: see log/{post.name}.log and log/up.log"
        self._voice.warn(f"{post.name} {_ended(code)}{said}; it starts again in {format_duration(delay)}")
        post.due = self._loop.call_at(now + delay, lambda: self._start(post))
        self.tell()

    # --- signals ---------------------------------------------------------------------------

    def _stop(self) -> None:
        if self._ending:
            self._hurry = True
        self._loop.stop()

    def _hang_up(self) -> None:
        """SIGHUP: read the settings again, unless it means that the terminal was closed."""
        if self._terminal.is_gone():
            self._stop()
            return
        may, outcome = self._reload()
        if not may:
            self._voice.warn(f"settings not read again: {outcome}")
            return
        running = [post for post in self._posts.values() if post.child is not None]
        for post in running:
            if post.ready and post.child is not None:
                post.child.ask_to_reload()
            else:
                post.reload_due = True
        names = ", ".join(post.name for post in running) or "no role"
        self._voice.note(f"settings are read again by {names}: {outcome}")

    # --- the end ---------------------------------------------------------------------------

    def _end(self) -> None:
        """End all, those first that hand on to the others; kill what has not ended in time."""
        self._ending = True
        self._voice.show("\nending all roles; Ctrl-C again kills them")
        began = time.monotonic()
        for post in self._posts.values():
            if post.due is not None:
                post.due.cancel()
        for stage in self._stages:
            posts = [self._posts[name] for name in stage]
            for post in posts:
                if post.child is not None:
                    post.child.ask_to_end()
            self._wait(posts, min(time.monotonic() + SHARE * self._patience, began + self._patience))
        everyone = list(self._posts.values())
        self._wait(everyone, began + self._patience)
        for post in everyone:
            if post.child is not None:
                self._voice.warn(f"{post.name} does not end and is killed")
                post.child.kill()
        self._hurry = False
        self._wait(everyone, time.monotonic() + REAPING)

    def _wait(self, posts: Sequence[Post], until: float) -> None:
        while any(post.child is not None for post in posts) and not self._hurry:
            left = until - time.monotonic()
            if left <= 0:
                return
            self._loop.turn(min(left, 1.0))
            self._look()


def _ended(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
