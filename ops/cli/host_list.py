"""``tabard host list``."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

import click

from tabard import exits
from tabard.errors import TabardError
from tabard.home import Home
from tabard.ops.cli.base import command
from tabard.ops.cli.options import output_option
from tabard.ops.output import Row, emit

if TYPE_CHECKING:
    from tabard.ops.hosts.register import Listed

COLUMNS: Final = ("host", "zone", "at", "state", "release", "previous", "keep", "changed", "reason")
_AT_ONCE: Final = 8


@command(
    "list",
    examples=[
        ("tabard host list", "As far as is known here"),
        ("tabard host list --ask", "Ask each host what it runs"),
    ],
)
@click.option(
    "--ask", is_flag=True, help="Ask each host over ssh what it runs, and correct what is known here."
)
@output_option
def host_list(home: Home, ask: bool, output: str) -> int:
    """List the hosts that were installed from here, what they run, and what they would go back to.

    A host is installing until it was started, installed, or uninstalling until nothing is left of it. Without --ask that is what was known when something was last
    done with it. Exit code 3: one could not be asked.
    """
    from tabard.ops.hosts.register import Register

    hosts = Register(home).all()
    reasons: dict[str, str] = {}
    if ask:
        reasons = _asked(home, hosts)
        hosts = Register(home).all()
    emit(_rows(hosts, reasons), COLUMNS, output)
    return exits.PARTLY if reasons else exits.DONE


def _asked(home: Home, hosts: list[Listed]) -> dict[str, str]:
    """Why hosts could not be asked; the register has what the others said."""
    from tabard.ops.hosts.reaching import Reaching

    reaching = Reaching(home)

    def one(host: Listed) -> tuple[str, str]:
        try:
            reaching.standing(host.name)
        except TabardError as error:
            return host.name, str(error)
        return host.name, ""

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return {name: reason for name, reason in pool.map(one, hosts) if reason}


def _rows(hosts: list[Listed], reasons: dict[str, str]) -> Iterator[Row]:
    from tabard.web.zones import iso

    for host in hosts:
        yield {
            "host": host.name,
            "zone": host.zone,
            "at": f"{host.way.destination}:{host.way.port}" if host.way.port else host.way.destination,
            "state": host.state,
            "release": host.current,
            "previous": host.previous,
            "keep": host.keep,
            "changed": iso(host.changed),
            "reason": reasons.get(host.name),
        }
