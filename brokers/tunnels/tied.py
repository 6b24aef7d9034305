"""Becomes another program that does not outlive the process that started it: ``python tied.py PARENT PROGRAM...``.

The kernel keeps the order across ``exec``. Run by its path, without the rest of Tabard, so that it costs little.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Tie, look whether the parent is still there, become the program."""
    parent, *command = sys.argv[1:]
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != int(parent):
        sys.exit(1)
    try:
        os.execv(command[0], command)  # noqa: S606 -- becoming another program is what this is for
    except OSError as error:
        sys.exit(f"cannot start {command[0]}: {error.strerror}")


if __name__ == "__main__":
    main()
