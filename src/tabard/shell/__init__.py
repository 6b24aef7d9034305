"""Running a command: its output bounded and recorded, its whole process group ended at the time-out.

``shell(["rsync", "-a", source, target], timeout=600)`` gives a ``Result`` whatever happens; it raises only for a
call that makes no sense, and for a failing command when ``check=True`` asks for it.
"""

from tabard.shell.call import TIMEOUT, shell
from tabard.shell.result import CommandError, Result

__all__ = ["TIMEOUT", "CommandError", "Result", "shell"]
