"""How many files and connections a process may have open at a time."""

from __future__ import annotations

import contextlib
import resource


def raise_limit(enough: int) -> None:
    """Let this process have ``enough`` open, or as many as its hard limit allows. Never lowers the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = enough if hard == resource.RLIM_INFINITY else min(enough, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        # Some systems have a bound of their own below the hard limit.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
