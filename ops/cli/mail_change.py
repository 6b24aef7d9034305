"""``tabard mail retry`` and ``tabard mail drop``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import click

from tabard import exits
from tabard.clock import SystemClock
from tabard.errors import UsageError
from tabard.home import Home
from tabard.mail import Queue
from tabard.ops.cli.base import command


@command(
    "retry",
    examples=[
        ("tabard mail retry 01800000000000000000-3113ada0a883", "One, after the address was put right"),
        ("tabard mail retry --all", "All that were given up"),
    ],
)
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--all", "everything", is_flag=True, help="Every one.")
def mail_retry(home: Home, ids: Sequence[str], everything: bool) -> int:
    """Put mails that were given up back into the queue.

    They go to those recipients who did not get them, as the next thing that is handed over.
    """
    queue = Queue(home.path / "mail")
    now = SystemClock().wall()
    return _each(queue, ids, everything, True, lambda name: queue.retry(name, now))


@command(
    "drop",
    examples=[
        ("tabard mail drop 01800000000000000000-3113ada0a883", "One that waits"),
        ("tabard mail drop --failed --all", "All that were given up"),
    ],
)
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--failed", is_flag=True, help="Those that were given up.")
@click.option("--all", "everything", is_flag=True, help="Every one, damaged ones too.")
def mail_drop(home: Home, ids: Sequence[str], failed: bool, everything: bool) -> int:
    """Remove mails for good."""
    queue = Queue(home.path / "mail")
    more = [] if failed else queue.damaged()
    return _each(queue, ids, everything, failed, lambda name: queue.drop(name, failed=failed), more)


def _each(
    queue: Queue,
    ids: Sequence[str],
    everything: bool,
    failed: bool,
    do: Callable[[str], bool],
    more: Sequence[str] = (),
) -> int:
    """Do it with each of ``ids``, or with every mail there is and ``more``."""
    if bool(ids) == everything:
        raise UsageError(
            "which mails are meant", expected="ids, or --all", found="both" if ids else "neither"
        )
    names = [*(entry.id for entry in queue.entries(failed=failed)), *more] if everything else ids
    missed = [name for name in names if not do(name)]
    for name in missed:
        print(f"tabard: not there, or just being handed over: {name}", file=sys.stderr)
    print(f"{len(names) - len(missed)} of {len(names)}")
    return exits.PARTLY if missed else exits.DONE
