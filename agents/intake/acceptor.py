"""Accepts the connections of one listening socket, a bounded number at a turn, and rests when no descriptor is left."""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Callable
from typing import Final

from tabard.agents.intake.ports import Loop

REST: Final = 1.0
"""Seconds without accepting, when there are no file descriptors: a level-triggered loop would spin."""
_MOST: Final = 64
"""Connections accepted at a turn."""
_NO_DESCRIPTORS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

_log = logging.getLogger(__name__)


class Acceptor:
    """Hands each new connection to ``admit``, which may raise OSError when the peer is gone already.

    ``name`` says in a warning whose socket it is.
    """

    def __init__(
        self, loop: Loop, listener: socket.socket, admit: Callable[[socket.socket], None], name: str
    ) -> None:
        self.listener = listener
        self._loop = loop
        self._admit = admit
        self._name = name
        self._open = True
        loop.add_reader(listener.fileno(), self.accept)

    def accept(self) -> None:
        """Take in who waits."""
        for _ in range(_MOST if self._open else 0):
            try:
                sock, _address = self.listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in _NO_DESCRIPTORS:
                    self._rest(error)
                    return
                continue  # the client went away before it was accepted
            try:
                self._admit(sock)
            except OSError:  # gone between accept and the first question about it
                sock.close()

    def close(self) -> None:
        """Listen no more; who was accepted stays."""
        if self._open:
            self._open = False
            self._loop.remove_reader(self.listener.fileno())
            self.listener.close()

    def _rest(self, error: OSError) -> None:
        _log.error("%s: cannot accept connections for a second: %s", self._name, error)
        self._loop.remove_reader(self.listener.fileno())
        self._loop.call_at(self._loop.now() + REST, self._listen_again)

    def _listen_again(self) -> None:
        if self._open:
            self._loop.add_reader(self.listener.fileno(), self.accept)
