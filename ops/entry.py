"""Which part of ``tabard`` a command line is for, and one place for errors."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence

from tabard import exits
from tabard.errors import TabardError
from tabard.ops import cron, rolelines


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code. Raises KeyboardInterrupt."""
    try:
        line = rolelines.read(arguments, os.environ)
        if cron.running(line) is not None:
            return exits.DONE
        if line is not None:
            from tabard.ops import roles

            return roles.start(line)
        if "cron" in arguments and "exec" in arguments:
            from tabard.ops.cronexec import line as execline

            order = execline.read(arguments, os.environ)
            if order is not None:
                from tabard.ops.cronexec.job import perform

                return perform(order)
        from tabard.ops import cli  # imports click: more than the whole guard costs, and 1.3 MB

        return cli.run(arguments)
    except TabardError as error:
        _say(str(error))
        return error.exit_code
    except OSError as error:
        _say(f"the system refused: {error}")
        return exits.FAILED


def _say(sentence: str) -> None:
    with contextlib.suppress(OSError):  # nobody is there to hear it; the exit code says it all the same
        print(f"tabard: {sentence}", file=sys.stderr)
