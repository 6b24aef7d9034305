"""``tabard host install``: nodes out of hosts that ssh reaches."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, NamedTuple

import click

from tabard import exits
from tabard.errors import TabardError, UsageError
from tabard.home import Home
from tabard.names import check_node
from tabard.ops.cli.base import command
from tabard.ops.cli.durations import Duration
from tabard.ops.cli.keyvalues import life_option, nanoseconds
from tabard.ops.cli.options import output_option
from tabard.ops.cli.values import SinkName, Zone
from tabard.ops.output import emit

EXTRAS: Final = ("app", "otlp", "server", "ssh")
_PORTS: Final = range(1, 65_536)
_FORM: Final = re.compile(r"(?:([^=@]+)=)?(.+?)(?::([0-9]{1,5}))?")
_EXPECTED: Final = "[NAME=][USER@]HOST[:PORT]"
_ADDRESS: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\]")
COLUMNS: Final = ("host", "zone", "did", "release", "python", "reason")


class Target(NamedTuple):
    """A host as it is named on the command line."""

    name: str | None
    destination: str
    port: int | None

    def __str__(self) -> str:
        named = f"{self.name}=" if self.name else ""
        return f"{named}{self.destination}" + (f":{self.port}" if self.port else "")


class TargetType(click.ParamType[Target]):
    """``[NAME=][USER@]HOST[:PORT]``."""

    name = "host"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Target:
        """Its parts."""
        if isinstance(value, Target):
            return value
        found = _FORM.fullmatch(str(value))
        if found is None or (found[3] and int(found[3]) not in _PORTS):
            self.fail(f"expected {_EXPECTED}, found {value!r}", param, ctx)
        from tabard.ops.hosts.remote import Way

        try:
            Way(found[2]).words()
            name = None if found[1] is None else check_node(found[1])
        except TabardError as error:
            self.fail(str(error), param, ctx)
        return Target(name, found[2], int(found[3]) if found[3] else None)


@command(
    "install",
    audited="host.install",
    examples=[
        ("tabard host install root@web1 --zone hq", "A node web1 of zone hq, kept running by cron"),
        ("tabard host install db=ops@10.0.0.5:2222 ops@web2 --zone hq --broker-at 10.0.0.1", "Two hosts that see this one as 10.0.0.1"),
        ("tabard host install root@web1 --zone hq --plan", "Only look whether it could be done"),
    ],
)  # fmt: skip
@click.argument("targets", type=TargetType(), nargs=-1, required=True, metavar=_EXPECTED)
@click.option(
    "--zone",
    type=Zone(),
    metavar="PATH",
    help="Its zone.  [default: the one whose authority is here, if there is one only]",
)
@click.option(
    "--identity",
    type=click.Path(exists=True, dir_okay=False),
    metavar="FILE",
    help="Private key to log in with.  [default: as ssh is configured]",
)
@click.option(
    "--ssh-config",
    type=click.Path(exists=True, dir_okay=False),
    metavar="FILE",
    help="Configuration of ssh in place of the user's.",
)
@click.option(
    "--python", metavar="PATH", help="The Python there.  [default: the newest on its PATH that will do]"
)
@click.option(
    "--remote-home",
    default="~/.tabard",
    show_default=True,
    metavar="DIR",
    help="Home directory of Tabard there.",
)
@click.option(
    "--keep",
    type=click.Choice(("cron", "none")),
    default="cron",
    show_default=True,
    help="What keeps its roles running.",
)
@click.option(
    "--broker-at",
    "seen_as",
    default="127.0.0.1",
    show_default=True,
    metavar="ADDRESS",
    help="This host as those see it; 127.0.0.1 is behind a tunnel.",
)
@click.option(
    "--settings",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="More settings for those hosts, without [node]. With [agent] it says how they reach a broker.",
)
@click.option(
    "--honours",
    type=SinkName(),
    multiple=True,
    metavar="SINK",
    help="A sink whose recorders its agent believes; may be repeated.  [default: main]",
)
@click.option(
    "--with",
    "extras",
    type=click.Choice(EXTRAS),
    multiple=True,
    help="A part that a plain host does without; may be repeated.",
)
@click.option(
    "--wheels",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Directory with all wheels of a release.  [default: made of what is installed here]",
)
@click.option(
    "--batch",
    type=click.IntRange(1, 64),
    default=4,
    show_default=True,
    metavar="N",
    help="How many hosts at once.",
)
@click.option(
    "--wait",
    type=Duration(),
    default="60s",
    show_default=True,
    metavar="DURATION",
    help="How long a host has to become well.",
)
@life_option("365d")
@click.option("--plan", is_flag=True, help="Only look whether each host could be installed.")
@output_option
def host_install(
    home: Home,
    targets: Sequence[Target],
    zone: str | None,
    identity: str | None,
    ssh_config: str | None,
    python: str | None,
    remote_home: str,
    keep: str,
    seen_as: str,
    settings: Path | None,
    honours: tuple[str, ...],
    extras: tuple[str, ...],
    wheels: Path | None,
    batch: int,
    wait: float,
    life: float | None,
    plan: bool,
    output: str,
) -> int:
    """Make hosts that ssh reaches nodes of a zone. Run it where the zone's authority is.

    Each needs Python 3.11 or later and nothing else: the software goes there as wheels that are made of what is installed
    here, settings and keys through the same connection. The keys are never written here, nor seen in a list of processes.
    Run again, it finishes what was cut off, and changes nothing where all is done. Settings that a host has are left as they are.

    Exit code 0: all are installed and well; 3: some are; 1: none is.
    """
    from tabard.ops.hosts import bundle
    from tabard.ops.hosts.installing import Asked, Done, Installing, lines_of
    from tabard.ops.hosts.remote import Way
    from tabard.ops.keys import trusted, zone_of
    from tabard.settings import load

    names = [target.name or target.destination for target in targets]
    if len(set(names)) < len(names):
        raise UsageError("a host is named twice", expected="each once", found=", ".join(names))
    if not _ADDRESS.fullmatch(seen_as):
        raise UsageError(
            "not an address",
            expected="a name or a number, IPv6 in brackets",
            found=repr(seen_as),
            where="--broker-at",
        )
    place = zone_of(trusted(home), zone)
    own = settings.read_text(encoding="utf-8") if settings else ""
    lines = lines_of(load(home), place, seen_as, own, str(settings or home.settings_file))
    key, config = (
        os.path.abspath(path) if path else None for path in (identity, ssh_config)
    )  # they are kept
    ways = [Way(each.destination, each.port, key, config, python) for each in targets]
    for way in ways:
        way.words()
    release = bundle.read(wheels) if wheels else bundle.made(extras)
    asked = Asked(place, remote_home, keep, lines, honours or ("main",), nanoseconds(life), wait)
    work = Installing(
        home, release, asked, lambda host, what: click.echo(f"tabard: {host}: {what}", err=True)
    )
    do = work.look if plan else work.install
    with ThreadPoolExecutor(batch) as pool:
        done: list[Done] = list(
            pool.map(lambda pair: do(pair[0].name, pair[1]), zip(targets, ways, strict=True))
        )
    emit((each._asdict() for each in done), COLUMNS, output)
    if seen_as == "127.0.0.1" and "agent" not in own and not plan and any(each.release for each in done):
        click.echo(
            "tabard: those hosts look for a broker at their own loopback: give each a tunnel, see docs/how-to/tunnels.md",
            err=True,
        )
    good = sum(each.did in {"installed", "known", "fits"} for each in done)
    return (
        exits.DONE
        if good == len(done)
        else exits.PARTLY
        if good or any(each.release for each in done)
        else exits.FAILED
    )
