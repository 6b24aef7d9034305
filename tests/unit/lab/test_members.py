"""How the hosts of a lab get their keys: each its own file, and every key is known to whom it is shown."""

from __future__ import annotations

from typing import Final

import click
import pytest

from tabard.ops.cli import root as tool
from tabard.ops.lab.members import authority, file_for, founded, joined
from tabard.ops.lab.plan import ZONES, planned

LAB: Final = planned()


def test_zones_are_there_before_their_hosts() -> None:
    """The root first, each zone below one that is there, and all of it at the authority."""
    typed = list(founded(LAB))
    assert {each.host for each in typed} == {authority(LAB).name}
    assert typed[0].words == ("init", "--zone", ZONES[0])
    zones = [each.words[2] for each in typed if each.words[:2] == ("zone", "add")]
    assert [ZONES[0], *zones] == list(ZONES)
    added = [each.words[2] for each in typed if each.words[:2] == ("node", "add")]
    assert sorted([authority(LAB).name, *added]) == sorted(host.name for host in LAB.hosts)


def test_whom_a_host_dials_is_known_from_its_file() -> None:
    """Brokers are added before all who are none; brokers themselves take in the rosters that were written last."""
    added = [each.words[2] for each in founded(LAB) if each.words[:2] == ("node", "add")]
    broker = ["broker" in LAB.host(name).roles for name in added]
    assert broker == sorted(broker, reverse=True)
    for each in joined(LAB):
        files = [typed.carried for typed in each]
        assert files[0] == file_for(LAB, each[0].host)
        assert len(files) == 1 + ("broker" in LAB.host(each[0].host).roles)
        assert [typed.words for typed in each] == [("join", file) for file in files]


def test_every_file_that_is_carried_was_written_for_one_host() -> None:
    """And none is written that nobody takes."""
    written = [each.words[each.words.index("--out") + 1] for each in founded(LAB) if "--out" in each.words]
    carried = [typed.carried for each in joined(LAB) for typed in each]
    assert sorted(written) == sorted(carried)
    assert len(set(written)) == len(written)


@pytest.mark.parametrize(
    "words",
    sorted(
        {each.words for each in founded(LAB)} | {joined_.words for each in joined(LAB) for joined_ in each}
    ),
)
def test_the_tool_understands_what_is_typed(words: tuple[str, ...]) -> None:
    """Commands and options are those that there are."""
    command: click.Command = tool
    rest = list(words)
    context = click.Context(tool, info_name="tabard")
    while isinstance(command, click.Group):
        found = command.get_command(context, rest.pop(0))
        assert found is not None
        command = found
    command.make_parser(context).parse_args(rest)
