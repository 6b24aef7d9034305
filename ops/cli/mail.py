"""``tabard mail``: mail of this host's applications, and the queue it waits in."""

from __future__ import annotations

from typing import Final

from tabard.ops.cli.base import Entry
from tabard.ops.cli.group import Group

COMMANDS: Final = {
    "queue": Entry("tabard.ops.cli.mail_queue:mail_queue", "List the mails that wait, or were given up."),
    "flush": Entry("tabard.ops.cli.mail_flush:mail_flush", "Hand over what waits."),
    "retry": Entry("tabard.ops.cli.mail_change:mail_retry", "Put mails that were given up back into the queue."),
    "drop": Entry("tabard.ops.cli.mail_change:mail_drop", "Remove mails for good."),
    "send": Entry("tabard.ops.cli.mail_send:mail_send", "Send what is written to standard input."),
}  # fmt: skip

mail: Final = Group(
    name="mail",
    table=COMMANDS,
    help="Send mail, and look after the queue it waits in.",
    examples=[
        ("tabard mail queue", "What waits, and why"),
        ("tabard mail flush", "Hand over what applications left; a line for cron"),
        ("df -h | tabard mail send --subject 'Disks of web1'", "To the addresses of the stage"),
    ],
)
