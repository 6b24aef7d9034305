"""``tabard lab``: hosts in zones on this machine, to look at and to break."""

from __future__ import annotations

from typing import Final

from tabard.ops.cli.base import Entry
from tabard.ops.cli.group import Group

COMMANDS: Final = {
    "up": Entry("tabard.ops.cli.lab_up:lab_up", "Build the lab and wait until its nodes are heard."),
    "status": Entry("tabard.ops.cli.lab_status:lab_status", "Show the nodes and links of the lab, and what was done to them."),
    "exec": Entry("tabard.ops.cli.lab_exec:lab_exec", "Run a command in a node of the lab."),
    "cut": Entry("tabard.ops.cli.lab_cables:lab_cut", "Lose every packet of links or nodes, without a word to anybody."),
    "slow": Entry("tabard.ops.cli.lab_cables:lab_slow", "Hold up the packets of links or nodes."),
    "heal": Entry("tabard.ops.cli.lab_cables:lab_heal", "Undo what was done to links or nodes."),
    "freeze": Entry("tabard.ops.cli.lab_nodes:lab_freeze", "Stop a node, or one of its services, as a machine that hangs."),
    "thaw": Entry("tabard.ops.cli.lab_nodes:lab_thaw", "Let what was frozen go on."),
    "kill": Entry("tabard.ops.cli.lab_nodes:lab_kill", "End a node as a power cut does, or kill one of its services."),
    "fill": Entry("tabard.ops.cli.lab_nodes:lab_fill", "Leave no room on the disk of a node."),
    "clock": Entry("tabard.ops.cli.lab_nodes:lab_clock", "Set the clock of a node wrong."),
    "hostkey": Entry("tabard.ops.cli.lab_nodes:lab_hostkey", "Give the ssh server of a node another host key."),
    "down": Entry("tabard.ops.cli.lab_down:lab_down", "Take the lab away: processes, networks, mounts and files."),
}  # fmt: skip

lab: Final = Group(
    name="lab",
    table=COMMANDS,
    help="Build hosts in three zones on this machine, to look at and to break.",
    examples=[
        ("tabard lab up", "Twelve hosts in three zones, joined by ssh"),
        ("tabard lab exec web1 -- tabard status", "How a node of the dmz is doing"),
        ("tabard lab cut hq1-dmz1", "A link between two zones that loses every packet"),
        ("tabard lab down", "Nothing of it is left"),
    ],
)
