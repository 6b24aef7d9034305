"""The child's side of ``tabard up``: it says when it is ready, and does not outlive its parent.

A role watches the lifeline (``tabard.status``) in its loop. Where the kernel can, it also kills the process when
its parent dies, which reaches a role that is stopped or busy elsewhere; journal and store are made for that.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable
from typing import Final

from tabard.status import LIFELINE

READY: Final = "TABARD_READY"
"""Environment variable with the number of the descriptor on which the parent hears that a child is ready."""
WORD: Final = b"ready\n"
_PR_SET_PDEATHSIG: Final = 1


def follow_parent() -> Callable[[], None]:
    """Tie this process to the ``tabard up`` that started it; what is returned says that the role is ready.

    A role that was started by hand has no such parent: then nothing is tied and nothing is said.
    """
    if LIFELINE in os.environ and sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    text = os.environ.pop(READY, "")
    if not (text.isascii() and text.isdigit()):
        return lambda: None
    descriptor = int(text)
    os.set_inheritable(descriptor, False)
    said = False

    def ready() -> None:
        nonlocal said
        if said:
            return
        said = True
        with contextlib.suppress(OSError):  # a parent that has just ended hears nothing
            os.write(descriptor, WORD)
        os.close(descriptor)

    return ready
