"""The entry point of ``tabard``: streams first, then the roles, then every other command, and one place for errors."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence

from tabard import exits
from tabard.errors import TabardError
from tabard.ops import cron, rolelines, streams


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line (the process's own unless given) and return its exit code."""
    streams.prepare()
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        line = rolelines.read(arguments, os.environ)
        if cron.running(line) is not None:
            return exits.DONE
        if line is not None:
            from tabard.ops import roles

            return roles.start(line)
        from tabard.ops.cli import run  # imports click: more than the whole guard costs, and 1.3 MB

        return run(arguments)
    except TabardError as error:
        _say(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        return exits.INTERRUPTED
    except OSError as error:
        _say(f"the system refused: {error}")
        return exits.FAILED


def _say(sentence: str) -> None:
    with contextlib.suppress(OSError):  # nobody is there to hear it; the exit code says it all the same
        print(f"tabard: {sentence}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
