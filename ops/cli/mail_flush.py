"""``tabard mail flush``: hand over what waits."""

from __future__ import annotations

import contextlib
import sys

import click

from tabard import exits
from tabard.home import Home
from tabard.mail import Mailer, Report
from tabard.ops.cli.base import command
from tabard.ops.cli.mail_records import recorded
from tabard.settings import load


@command(
    "flush",
    examples=[
        ("tabard mail flush", "What is due, as a cron line would"),
        ("tabard mail flush --all", "Everything, now that the server is back"),
    ],
)
@click.option("--stage", metavar="NAME", help="Stage to apply.  [default: DEV_STAGE, else node.stage]")
@click.option("--all", "everything", is_flag=True, help="Also what is to wait longer.")
def mail_flush(home: Home, stage: str | None, everything: bool) -> int:
    """Hand over what waits.

    Prints nothing when there is nothing to say, so that cron has nothing to mail. Each mail handed over, put off or
    given up is a record of tabard-mail. Ends with 3 when the server or the disk cannot be used, or mails were given up.
    """
    settings = load(home, stage)
    mailer = Mailer.of(settings, background=False)
    with recorded(settings) if mailer.queue.count() else contextlib.nullcontext():
        report = mailer.flush(force=everything)
    return tell(report, asked=everything)


def tell(report: Report, *, asked: bool = False) -> int:
    """Say what a pass did, and the exit code of it. Who ``asked`` for all is told also that all of it waits."""
    if report.sent or report.given_up or (asked and report.waiting and not report.away):
        print(f"{report.sent} sent, {report.given_up} given up, {report.waiting} waiting")
    if report.away:
        print(
            f"tabard: the mail server cannot be used, {report.waiting} waiting: {report.away}",
            file=sys.stderr,
        )
    if report.trouble:
        print(f"tabard: the queue cannot be worked off as it should: {report.trouble}", file=sys.stderr)
    if report.given_up:
        print("tabard: `tabard mail queue --failed` says why mails were given up", file=sys.stderr)
    return exits.PARTLY if report.away or report.trouble or report.given_up else exits.DONE
