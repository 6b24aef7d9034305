"""Exit codes of every ``tabard`` command, as constants: what a script or cron line can rely on."""

from __future__ import annotations

from typing import Final

DONE: Final = 0
"""The command did what was asked."""
FAILED: Final = 1
"""The command could not do what was asked; standard error says why."""
WRONG_USE: Final = 2
"""The command line itself was wrong: an unknown option, a missing argument, a wrong value, also one of ``--set``."""
PARTLY: Final = 3
"""Some of it was done, or it was done with warnings; the output says what is missing."""
REFUSED: Final = 4
"""Tabard understood and will not: a guarantee or a right stands against it, such as a second start in a home."""
INTERRUPTED: Final = 130
"""Ended by Ctrl-C before it was done (128 + SIGINT), as shells expect; what runs until Ctrl-C ends with 0."""
