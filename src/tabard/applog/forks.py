"""What a fork means to the handlers of a process, and how the children of ``multiprocessing`` end.

A forked child has neither the thread of its parent nor a claim to its connection or its spool. Such a child often
ends by ``os._exit``, past everything that an interpreter does at its end; ``multiprocessing`` runs its own
finalizers before, and there the handler is closed. A child that calls ``os._exit`` itself is beyond help, like one
that is killed.
"""

from __future__ import annotations

import os
import sys
import weakref
from typing import Any, Protocol


class Forking(Protocol):
    """What has to know of a fork."""

    def after_fork(self) -> None:
        """In the child, before anything else runs there."""

    def end(self) -> None:
        """The process ends."""


_all: weakref.WeakSet[Any] = weakref.WeakSet()
_hooked = False


def follow(handler: Forking) -> None:
    """Tell ``handler`` of forks, and of the end of a child process that ends in the way of `multiprocessing`."""
    global _hooked  # noqa: PLW0603 -- the hook is the process's and cannot be taken back
    if not _hooked:
        _hooked = True
        os.register_at_fork(after_in_child=_in_child)
    _all.add(handler)
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() is not None:
        _close_at_end(handler)


def _in_child() -> None:
    util = sys.modules.get("multiprocessing.util")
    for handler in list(_all):
        handler.after_fork()
        if util is not None:  # it forgets all finalizers after the fork, and then calls these
            util.register_after_fork(handler, _close_at_end)


def _close_at_end(handler: Forking) -> None:
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        reference = weakref.ref(handler)
        util.Finalize(None, _close, args=(reference,), exitpriority=-100)  # after everything else


def _close(reference: weakref.ref[Forking]) -> None:
    handler = reference()
    if handler is not None:
        handler.end()
