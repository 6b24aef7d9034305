"""``tabard mail queue``: what waits, and what was given up."""

from __future__ import annotations

import sys

import click

from tabard import exits
from tabard.home import Home
from tabard.mail import Queue
from tabard.mail.queue import with_last_failure
from tabard.ops.cli.base import command
from tabard.ops.cli.options import output_option
from tabard.ops.output import emit
from tabard.web.zones import iso

COLUMNS = ("id", "queued", "tries", "last_try", "next_try", "recipients", "subject", "reason")


@command(
    "queue",
    examples=[
        ("tabard mail queue", "What waits, oldest first"),
        ("tabard mail queue --failed -o json", "What was given up, for a program"),
    ],
)
@click.option("--failed", is_flag=True, help="Those that were given up.")
@output_option
def mail_queue(home: Home, failed: bool, output: str) -> int:
    """List the mails that wait, or were given up.

    recipients are those who do not have the mail yet; reason is the last failure, also that of a server that could not be
    used, which counts among the tries of no mail. Times are UTC. Standard error says when the server is away, and
    which mails are damaged on disk; ends with 3 then.
    """
    queue = Queue(home.path / "mail")
    away = {} if failed or not queue.count() else queue.away()
    rows = (
        {
            "id": entry.id,
            "queued": iso(entry.queued),
            "tries": entry.tries,
            "last_try": iso(entry.last_try) if entry.last_try else None,
            "next_try": iso(entry.next_try) if entry.next_try else None,
            "recipients": list(entry.recipients),
            "subject": entry.subject,
            "reason": entry.reason,
        }
        for entry in (with_last_failure(entry, away) for entry in queue.entries(failed=failed))
    )
    emit(rows, COLUMNS, output)
    damaged = [] if failed else queue.damaged()
    if away:
        until = iso(away["next_try"])
        print(
            f"tabard: the mail server cannot be used, next try {until}: {away.get('reason')}", file=sys.stderr
        )
    for name in damaged:
        print(f"tabard: damaged on disk, nobody can say whom it is for: {name}", file=sys.stderr)
    return exits.PARTLY if away or damaged else exits.DONE
