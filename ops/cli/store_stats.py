"""``tabard store stats``: how much is stored."""

from __future__ import annotations

import json
import sys
import time

from tabard import exits
from tabard.home import Home
from tabard.ops.cli.base import command
from tabard.ops.cli.options import output_option
from tabard.settings import load


@command(
    "stats",
    examples=[
        (
            "tabard store stats",
            "Rows of each stream, size of the files, how far from the limits, the last backup",
        ),
        ("tabard store stats -o json", "The same for a program, as one object"),
    ],
)
@output_option
def store_stats(home: Home, output: str) -> int:
    """Show how much is stored, and how far it is from its limits.

    Rows and their ages by stream, log records by level (of many records an estimate from a sample), sizes and free room of
    the files or schemas, the days of a store on PostgreSQL, gaps, quarantine, and the last backup.
    """
    from tabard.consumers.store.backup_engines import last
    from tabard.consumers.store.limits import RetentionLimits
    from tabard.consumers.store.measures import measures
    from tabard.consumers.store.place import Place
    from tabard.ops.cli.status import with_times
    from tabard.ops.stores import numbers, open_reader, path_of
    from tabard.ops.stores_measured import lines, measured

    settings = load(home)
    place = Place.of(settings, home)
    with open_reader(home, settings) as reader:
        found = numbers(reader.stats(), path_of(home, settings))
        levels = reader.levels()
    found |= measured(
        place,
        found["streams"],
        levels,
        measures(place),
        RetentionLimits.of(settings),
        last(place, home),
        time.time_ns(),
    )
    if output == "table":
        sys.stdout.writelines(f"{line}\n" for line in lines(found))
    else:
        indent = 2 if output == "json" else None
        sys.stdout.write(json.dumps(with_times(found), ensure_ascii=False, indent=indent) + "\n")
    return exits.DONE
