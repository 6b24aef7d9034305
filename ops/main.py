"""The entry point of ``tabard``: signals and streams first, then the command lines read without click, then every other.

What is imported is imported when it is needed: a role that is ended in its first moments ends in order.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from tabard.ops import early


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line (the process's own unless given) and return its exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if early.names_role(arguments):
        early.EARLY.listen()
    try:
        if early.names_role(arguments):
            from tabard.deferred import defer

            defer()
        from tabard.ops import streams

        streams.prepare()
        from tabard.ops.entry import run

        return run(arguments)
    except KeyboardInterrupt:
        return 130  # exits.INTERRUPTED, which may not be there yet


if __name__ == "__main__":
    sys.exit(main())
