"""The event loop of every long-running role: file descriptors, ZeroMQ sockets, timers, signals.

One thread, one `Loop`. ZeroMQ's descriptor is edge-triggered, so after every turn each ZeroMQ socket is
asked for its events instead of waiting for the next edge.
"""

from __future__ import annotations

import contextlib
import heapq
import select
import signal
import socket
import time
from collections.abc import Callable
from itertools import count
from types import FrameType
from typing import Any

import zmq

Callback = Callable[[], None]


class Timer:
    """A call that is due at a monotonic time; `cancel` takes it back."""

    __slots__ = ("callback", "cancelled")

    def __init__(self, callback: Callback) -> None:
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        """Do not call."""
        self.cancelled = True


class Loop:
    """Waits for what was registered and calls back, until `stop`."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._readers: dict[int, Callback] = {}
        self._writers: dict[int, Callback] = {}
        self._sockets: dict[zmq.Socket[bytes], Callback] = {}
        self._asked: list[tuple[zmq.Socket[bytes], int]] = []
        """The same sockets, as libzmq is asked for all of their events in one call: one by one takes five times as long."""
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = count()
        self._running = False
        self._handlers: dict[int, Callback] = {}
        self._caught: list[int] = []
        self._replaced: dict[int, Callable[[int, FrameType | None], object] | int | None] = {}
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self.add_reader(self._wake_in.fileno(), self._woken)

    # --- descriptors -----------------------------------------------------------------------

    def add_reader(self, fd: int, callback: Callback) -> None:
        """Call back whenever `fd` can be read."""
        known = self._known(fd)
        self._readers[fd] = callback
        self._register(fd, known=known)

    def add_writer(self, fd: int, callback: Callback) -> None:
        """Call back whenever `fd` can be written."""
        known = self._known(fd)
        self._writers[fd] = callback
        self._register(fd, known=known)

    def remove_reader(self, fd: int) -> None:
        """No more calls for reading; unknown descriptors are ignored."""
        if self._readers.pop(fd, None) is not None:
            self._register(fd, known=True)

    def remove_writer(self, fd: int) -> None:
        """No more calls for writing; unknown descriptors are ignored."""
        if self._writers.pop(fd, None) is not None:
            self._register(fd, known=True)

    def add_socket(self, sock: zmq.Socket[bytes], callback: Callback) -> None:
        """Call back while the ZeroMQ socket has messages to be received."""
        self._sockets[sock] = callback
        self._asked = [(each, zmq.POLLIN) for each in self._sockets]
        self._epoll.register(int(sock.getsockopt(zmq.FD)), select.EPOLLIN)

    def remove_socket(self, sock: zmq.Socket[bytes]) -> None:
        """No more calls for a ZeroMQ socket that was added; before it is closed."""
        if self._sockets.pop(sock, None) is not None:
            self._asked = [(each, zmq.POLLIN) for each in self._sockets]
            self._epoll.unregister(int(sock.getsockopt(zmq.FD)))

    def _known(self, fd: int) -> bool:
        return fd in self._readers or fd in self._writers

    def _register(self, fd: int, *, known: bool) -> None:
        events = (select.EPOLLIN if fd in self._readers else 0) | (
            select.EPOLLOUT if fd in self._writers else 0
        )
        if not events:
            with contextlib.suppress(OSError):  # closed before it was removed
                self._epoll.unregister(fd)
        elif known:
            self._epoll.modify(fd, events)
        else:
            self._epoll.register(fd, events)

    # --- time and signals ------------------------------------------------------------------

    def now(self) -> float:
        """Monotonic seconds."""
        return time.monotonic()

    def call_at(self, when: float, callback: Callback) -> Timer:
        """Call back once, at monotonic time `when`."""
        timer = Timer(callback)
        heapq.heappush(self._timers, (when, next(self._order), timer))
        return timer

    def call_soon(self, callback: Callback) -> None:
        """Call back in the next turn; may be used from another thread."""
        self.call_at(0.0, callback)
        self.wake()

    def wake(self) -> None:
        """End the current wait; may be used from another thread."""
        with contextlib.suppress(BlockingIOError):
            self._wake_out.send(b"\0")

    def every(self, interval: float, callback: Callback) -> None:
        """Call back every `interval` seconds, the first time after one of them, for as long as the loop lives."""

        def tick() -> None:
            self.call_at(self.now() + interval, tick)
            callback()

        self.call_at(self.now() + interval, tick)

    def on_signal(self, number: int, callback: Callback) -> None:
        """Call back, within the loop, when the process gets the signal; `close` restores what was there."""
        self._handlers[number] = callback
        self._replaced[number] = signal.signal(number, self._signalled)

    def _signalled(self, number: int, _frame: FrameType | None) -> None:
        self._caught.append(number)
        self.wake()

    def _woken(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._wake_in.recv(4096):
                pass
        while self._caught:
            self._handlers[self._caught.pop(0)]()

    # --- running ---------------------------------------------------------------------------

    def run(self) -> None:
        """Wait and call back until `stop` is called."""
        self._running = True
        while self._running:
            self.turn(None)

    def stop(self) -> None:
        """Let `run` return after the current turn."""
        self._running = False
        self.wake()

    def turn(self, longest: float | None) -> None:
        """One wait of at most `longest` seconds, and all that is due after it."""
        busy = self._serve_sockets()
        timeout = 0.0 if busy else self._timeout(longest)
        for fd, events in self._epoll.poll(timeout):
            if events & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
                callback = self._readers.get(fd)
                if callback is not None:
                    callback()
            if events & (select.EPOLLOUT | select.EPOLLHUP | select.EPOLLERR):
                callback = self._writers.get(fd)
                if callback is not None:
                    callback()
        self._run_timers()

    def _serve_sockets(self) -> bool:
        if not self._asked:
            return False
        ready: list[tuple[Any, int]] = zmq.zmq_poll(self._asked, 0)
        for sock, _events in ready:
            callback = self._sockets.get(sock)
            if callback is not None:  # else a callback before this one has taken it out
                callback()
        return bool(ready)

    def _timeout(self, longest: float | None) -> float | None:
        if not self._timers:
            return longest
        wait = max(0.0, self._timers[0][0] - self.now())
        return wait if longest is None else min(wait, longest)

    def _run_timers(self) -> None:
        now = self.now()
        due: list[Timer] = []
        # Taken out first: what a callback asks for again is for the next turn, or it would never end.
        while self._timers and self._timers[0][0] <= now:
            due.append(heapq.heappop(self._timers)[2])
        for timer in due:
            if not timer.cancelled:
                timer.callback()

    def close(self) -> None:
        """Give back descriptors and signal handlers; registered sockets stay open, they are their owners'."""
        for number, handler in self._replaced.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        self._wake_in.close()
        self._wake_out.close()
        self._epoll.close()
