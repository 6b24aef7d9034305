"""``tabard commands approve``: the word of one more operator on what another one wants done."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, Final

import click

from tabard import exits
from tabard.errors import RefusedError, UsageError
from tabard.home import Home
from tabard.ops.cli.base import command
from tabard.ops.cli.options import output_option
from tabard.ops.commands.client import Client
from tabard.ops.commands.shown import SHORT, what
from tabard.ops.output import emit

if TYPE_CHECKING:
    from tabard.brokers.trust.commanding import Issuer
    from tabard.brokers.trust.directory import Directory
    from tabard.brokers.wire.command import Document

_ASKED: Final = ("id", "zone", "node", "issuer", "what", "expires")
_APPROVED: Final = ("id", "zone", "node", "state", "approved", "reason")


@command(
    "approve",
    audited="command.approve",
    examples=[
        ("tabard commands approve 3f9a", "See what it would do, and say yes"),
        ("tabard commands approve 3f9a --as bob --yes", "By the key of bob, without being asked"),
    ],
)
@click.argument("prefix", metavar="ID")
@click.option(
    "--as",
    "operator",
    metavar="NAME",
    help="The operator of this home whose key signs.  [default: local, or the only one]",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--via", metavar="ssh://HOST", help="Ask the dispatcher of another host.")
@output_option
def commands_approve(
    home: Home, prefix: str, operator: str | None, yes: bool, via: str | None, output: str
) -> int:
    """Approve a command, or all of a submission, that another operator gave.

    What is shown and signed is what its issuer signed, whatever a dispatcher says of it. It is sent as soon as enough have approved it. Who issued it
    cannot approve it, and two approvals of one person count once.
    """
    from tabard.brokers.trust.keys import COMMAND
    from tabard.ops.commands.issuing import operator_of
    from tabard.ops.keys import trusted

    issuer = operator_of(home, operator)
    directory = trusted(home).directory
    with Client(home, via) as client:
        orders = client.ask("orders", id=prefix)["orders"]
        meant = [_checked(each, directory, issuer, time.time_ns()) for each in orders]
        if not yes:
            emit([row for row, _, _ in meant], _ASKED, "table", sys.stderr)
            if not sys.stdin.isatty():
                raise UsageError(
                    "nobody is there to be asked", expected="--yes", found=f"{len(meant)} to be approved"
                )
            click.confirm(
                f"Approve {'this' if len(meant) == 1 else f'these {len(meant)}'}?", abort=True, err=True
            )
        from tabard.consumers.commands.talk import of_bytes

        given = [
            {
                "id": of_bytes(document.id),
                "credentials": of_bytes(issuer.credentials),
                "signature": of_bytes(issuer.key.sign(COMMAND, encoded)),
            }
            for _, document, encoded in meant
        ]
        rows = client.ask("approve", approvals=given)["approved"]
    short = SHORT if output == "table" else None
    emit(({**each, "id": each["id"][:short]} for each in rows), _APPROVED, output)
    return exits.DONE


def _checked(
    each: dict[str, Any], directory: Directory, approver: Issuer, now: int
) -> tuple[dict[str, Any], Document, bytes]:
    """What is to be signed, and how it is shown: by its own words. Raises RefusedError, WireError, TrustError."""
    from tabard.brokers.trust.commanding import check_issuer
    from tabard.brokers.wire.command import decode_document
    from tabard.consumers.commands.talk import to_order
    from tabard.ops.keys import time_of

    order = to_order(each)
    document = decode_document(order.document)
    issuer = check_issuer(directory, document.zone, order, document, now)
    if document.key_id == approver.key.public.key_id:  # its dispatcher sees to two keys of one person
        raise RefusedError(
            "who gave a command cannot approve it",
            expected="another operator: --as NAME",
            found=str(issuer),
            where=document.id.hex(),
        )
    row = {
        "id": document.id.hex()[:SHORT],
        "zone": document.zone,
        "node": document.node,
        "issuer": str(issuer),
        "what": what(document.kind, list(document.words)),
        "expires": time_of(document.expires),
    }
    return row, document, order.document
