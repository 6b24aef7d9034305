"""``tabard host uninstall``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import click

from tabard import exits
from tabard.home import Home
from tabard.ops.cli.base import command
from tabard.ops.cli.options import output_option
from tabard.ops.output import emit

COLUMNS: Final = ("host", "zone", "did", "reason")


@command(
    "uninstall",
    audited="host.uninstall",
    examples=[
        ("tabard host uninstall web1", "Roles, cron lines, software, keys, journal: nothing is left"),
        ("tabard host uninstall web1 --keep-data --yes", "All but the home's data, without a question"),
        (
            "tabard host uninstall web1 --forget --yes",
            "Also if it cannot be reached: it is only forgotten here then",
        ),
    ],
)
@click.argument("names", nargs=-1, required=True, metavar="NAME")
@click.option(
    "--keep-data", is_flag=True, help="Leave settings, keys and journal there; only the software goes."
)
@click.option("--forget", is_flag=True, help="Forget a host here that cannot be reached.")
@click.option("--yes", "assume_yes", is_flag=True, help="Ask no question.")
@output_option
def host_uninstall(
    home: Home, names: Sequence[str], keep_data: bool, forget: bool, assume_yes: bool, output: str
) -> int:
    """Take Tabard off hosts: end its roles, take its cron lines out, remove its home, and look that nothing is left.

    Their names become tombstones of their zone: no certificate of them holds any more. What a journal still holds is lost, unless --keep-data
    leaves it there. A host that cannot be reached stays in the list as uninstalling. Exit code 0: all are gone; 3: some are; 1: none is.
    """
    from tabard.ops.hosts.register import Register
    from tabard.ops.hosts.uninstalling import uninstall

    register = Register(home)
    hosts = [register.get(name) for name in dict.fromkeys(names)]
    if not assume_yes:
        shown = ", ".join(f"{each.name} ({each.way.destination}: {each.home})" for each in hosts)
        click.confirm(f"Take Tabard off {shown}?", abort=True, err=True)
    done = []
    for each in hosts:
        click.echo(f"tabard: {each.name}: taking it off", err=True)
        done.append(uninstall(home, each, keep_data=keep_data, forget=forget))
    emit((each._asdict() for each in done), COLUMNS, output)
    good = sum(each.did in {"uninstalled", "forgotten"} for each in done)
    return exits.DONE if good == len(done) else exits.PARTLY if good else exits.FAILED
