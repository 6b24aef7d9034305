"""``tabard status``: how this home is doing."""

from __future__ import annotations

import json
import sys
from typing import Any, Final

from tabard import exits
from tabard.home import Home
from tabard.ops.cli.base import command
from tabard.ops.cli.options import output_option

_TIMES: Final = frozenset({"since", "oldest", "newest", "heard", "until", "made"})
"""Keys whose values are times: UTC text in JSON."""


@command(
    "status",
    examples=[
        ("tabard status", "Roles, intakes, sources, lag; faults first"),
        ("tabard status -o json", "The same for a program, as one object"),
        ("tabard status --home /srv/tabard", "Of that home"),
    ],
)
@output_option
def status(home: Home, output: str) -> int:
    """Show how this home is doing, faults first.

    Says which roles run, at which addresses records come in, which sources were found or cannot be read and why,
    how far each stream is behind its sink, what the roles counted, what the store holds, and which recorders share
    the nodes of its sink. A counter of trouble,
    such as refused frames, is a fault while it rose within the last minute. So is a disk that takes no writes. A
    role that ran in this home before counts as stopped until its file in run/ is removed. Exit code 0: all is
    well; 3: there are faults; 1: nothing runs.
    """
    from tabard.ops.report import PARTLY, STOPPED, report
    from tabard.ops.status_tables import lines

    found = report(home)
    if output == "table":
        sys.stdout.writelines(f"{line}\n" for line in lines(found))
    else:
        indent = 2 if output == "json" else None
        sys.stdout.write(json.dumps(with_times(found), ensure_ascii=False, indent=indent) + "\n")
    return {STOPPED: exits.FAILED, PARTLY: exits.PARTLY}.get(found["state"], exits.DONE)


def with_times(value: Any, key: str = "") -> Any:
    """The same with every time as text."""
    from tabard.web.zones import iso

    if isinstance(value, dict):
        return {name: with_times(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [with_times(inner) for inner in value]
    return iso(value) if key in _TIMES and isinstance(value, int) else value
