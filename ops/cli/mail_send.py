"""``tabard mail send``: mail from a script."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from tabard import exits
from tabard.home import Home
from tabard.mail import Mailer
from tabard.ops.cli.base import command
from tabard.ops.cli.mail_flush import tell
from tabard.ops.cli.mail_records import recorded
from tabard.settings import load


@command(
    "send",
    examples=[
        ("df -h | tabard mail send --subject 'Disks of web1'", "To the addresses of the stage"),
        (
            "tabard mail send --to ann@example.org --subject List --attach list.csv < letter.txt",
            "With a file",
        ),
    ],
)
@click.option("--subject", required=True, metavar="TEXT", help="Subject.")
@click.option("--to", "recipients", multiple=True, metavar="ADDRESS", help="Recipient.  [default: those of the stage, else mail.to]")  # fmt: skip
@click.option("--attach", "files", multiple=True, type=click.Path(dir_okay=False), metavar="FILE", help="Attach a file.")  # fmt: skip
@click.option("--stage", metavar="NAME", help="Stage to apply.  [default: DEV_STAGE, else node.stage]")
def mail_send(
    home: Home, subject: str, recipients: Sequence[str], files: Sequence[str], stage: str | None
) -> int:
    """Send what is written to standard input.

    The mail is queued, then handed over at once. When the server cannot be used it stays in the queue, and this ends
    with 3; `tabard mail flush` sends it later.
    """
    settings = load(home, stage)
    mailer = Mailer.of(settings, background=False)
    text = sys.stdin.buffer.read().decode("utf-8", "replace")
    with recorded(settings):
        name = mailer.send(subject=subject, text=text, to=recipients, attachments=files)
        report = mailer.flush()
    code = tell(report)
    waiting = next((entry for entry in mailer.queue.entries() if entry.id == name), None)
    if waiting is None:
        return code
    if not report.away and not report.trouble:
        why = waiting.reason or "somebody else is handing it over"
        print(f"tabard: the mail waits in the queue: {why}", file=sys.stderr)
    return exits.PARTLY
