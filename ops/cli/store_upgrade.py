"""``tabard store upgrade``: an older store for this version."""

from __future__ import annotations

from tabard import exits
from tabard.home import Home
from tabard.ops.cli.base import command
from tabard.ops.cli.options import output_option
from tabard.ops.output import emit
from tabard.ops.up.checks import refuse_missing, refuse_running
from tabard.ops.up.plan import Planned
from tabard.settings import load


@command(
    "upgrade",
    examples=[
        ("tabard store upgrade", "The store of this home"),
        ("tabard store upgrade --home /srv/tabard", "That of another"),
    ],
)
@output_option
def store_upgrade(home: Home, output: str) -> int:
    """Bring the store to this version's schema.

    End the recorder before, and make a copy of the directory: an upgraded store is not read by older versions. A
    store that is up to date is left as it is. `tabard up` does this by itself before it starts a recorder.
    """
    refuse_missing(["recorder"])
    settings = load(home)
    # A recorder that starts meanwhile refuses the older schema, or waits for the lock of the file.
    refuse_running(
        home,
        [Planned("recorder", ("recorder",))],
        hint="End it, and `tabard up` if that started it, and try again",
    )
    from tabard.consumers.store.engines import upgrade
    from tabard.consumers.store.place import Place

    done = upgrade(Place.of(settings, home))
    rows = ({"file": file, "before": before, "after": after} for file, (before, after) in done.items())
    emit(rows, ("file", "before", "after"), output)
    return exits.DONE
