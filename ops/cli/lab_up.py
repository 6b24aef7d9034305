"""``tabard lab up``: builds the lab."""

from __future__ import annotations

from typing import Final

import click

from tabard import exits
from tabard.home import Home
from tabard.ops.cli.base import command

BACKENDS: Final = ("openssh", "openssh-remote", "sshtunnel", "external", "mixed")
"""As in ``tabard.ops.lab.plan.KINDS``, without importing it for a page of help."""
_SUMMARY: Final = """
The lab is up: {hosts} hosts in the {zones}.

  page     {page}
  look     tabard lab status
  inside   tabard lab exec hq1 -- tabard logs -f
  break    tabard lab {broken}
  end it   tabard lab down
"""


@command(
    "up",
    examples=[
        ("tabard lab up", "Build it; its page is at http://127.0.0.1:8024"),
        ("tabard lab up --home ./second --port 9000", "A second lab beside the first"),
        ("tabard lab up --backend sshtunnel", "With tunnels that are kept up without the program ssh"),
        ("tabard lab up --loopback", "Where namespaces are not permitted, or you are not root"),
        ("tabard lab up --bare 12", "Twelve hosts that Tabard is to be installed on, by ssh from hq1"),
        ("tabard lab up --backend mixed", "With a tunnel of another kind on each link"),
    ],
)
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=8024,
    show_default=True,
    metavar="N",
    help="Port of this machine at which the page is.",
)
@click.option(
    "--backend",
    type=click.Choice(BACKENDS),
    default="openssh",
    show_default=True,
    help="What keeps the tunnels up; openssh-remote is ssh's -R, external an ssh that is none of Tabard's, mixed one of each.",
)
@click.option(
    "--loopback",
    is_flag=True,
    help="Without namespaces, as any user: hosts are directories and addresses of the loopback.",
)
@click.option(
    "--bare",
    type=click.IntRange(1, 40),
    metavar="N",
    help="Another lab: one host with all that a zone needs, and N hosts beside it with nothing but ssh and cron.",
)
def lab_up(home: Home, port: int, backend: str, loopback: bool, bare: int | None) -> int:
    """Build the lab and wait until its nodes are heard.

    Makes twelve hosts on this machine, each with a network, processes, a name and a disk of its own, an ssh server and an agent.
    They are in three zones that are joined by ssh alone: hq with the store and the page, hq/dmz with a pair of brokers, and
    hq/dmz/plant. All of it lies below the directory lab of the home, runs in the background, and is taken away by
    'tabard lab down'; the ssh, the crontabs and the network of this machine are not touched. It needs root, and a kernel that makes
    namespaces: where one of them is missing the exit code is 4, and the message says what. With
    --loopback it needs neither: hosts are not apart from each other then, have no disk that could be filled, and their connections go
    through wires that can be cut. Exit code 3 when some nodes were not heard
    in two minutes.

    With --bare it is one host, hq1, that has broker, store, page and agent, and bare ones, bare1 and so on, whose root hq1's root
    may be by ssh: to install Tabard on, to upgrade it and to take it away.
    """
    from tabard.ops.lab import build
    from tabard.ops.lab.plan import planned, planned_bare
    from tabard.ops.lab.state import Place

    if bare and loopback:
        raise click.UsageError(
            "--bare takes hosts that are apart from each other: give it without --loopback"
        )
    unheard = build.up(
        Place(home),
        port,
        lambda text: click.echo(f"tabard: {text}", err=True),
        backend,
        loopback=loopback,
        bare=bare or 0,
    )
    lab = planned_bare(bare) if bare else planned()
    zones = f"zones {', '.join(lab.zones)}" if len(lab.zones) > 1 else f"zone {lab.zones[0]}"
    page = f"http://127.0.0.1:{port}"
    broken = "freeze bare1" if bare else "cut hq1-dmz1"
    click.echo(_SUMMARY.format(hosts=len(lab.hosts), zones=zones, page=page, broken=broken))
    if unheard:
        click.echo(
            f"tabard: not heard yet: {', '.join(unheard)}. 'tabard lab exec hq1 -- tabard status' shows faults",
            err=True,
        )
        return exits.PARTLY
    return exits.DONE
