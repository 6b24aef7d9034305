"""``tabard store stats``: how much is stored."""

from __future__ import annotations

import json
import sys

from tabard import exits
from tabard.home import Home
from tabard.ops.cli.base import command
from tabard.ops.cli.options import output_option
from tabard.settings import load


@command(
    "stats",
    examples=[
        ("tabard store stats", "Rows of each stream, size of the files"),
        ("tabard store stats -o json", "The same for a program, as one object"),
    ],
)
@output_option
def store_stats(home: Home, output: str) -> int:
    """Show how much is stored: rows and their ages by stream, size, gaps, quarantine."""
    from tabard.ops.cli.status import with_times
    from tabard.ops.status_tables import store_lines
    from tabard.ops.stores import numbers, open_reader, path_of

    settings = load(home)
    with open_reader(home, settings) as reader:
        found = numbers(reader.stats(), path_of(home, settings))
    if output == "table":
        sys.stdout.writelines(f"{line}\n" for line in store_lines(found))
    else:
        indent = 2 if output == "json" else None
        sys.stdout.write(json.dumps(with_times(found), ensure_ascii=False, indent=indent) + "\n")
    return exits.DONE
