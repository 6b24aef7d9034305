"""The command line. ``COMMANDS`` is its table; a command's module is imported when the command is used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import click

from tabard import __version__, exits
from tabard.ops.cli.base import Entry, ReaderGone, Root, home_option

COMMANDS: Final = {
    "up": Entry("tabard.ops.cli.up:up", "Run every role on this machine until Ctrl-C."),
    "agent": Entry("tabard.ops.cli.agent:agent", "Take records in, journal them, and hand them up."),
    "broker": Entry("tabard.ops.cli.broker:broker", "Forward both lanes of a zone."),
    "recorder": Entry("tabard.ops.cli.recorder:recorder", "Store what arrives, tell the nodes, and delete what is too old."),
    "dispatcher": Entry("tabard.ops.cli.dispatcher:dispatcher", "Send commands to nodes until they are answered, and keep what becomes of them."),
    "herald": Entry("tabard.ops.cli.herald:herald", "Show the store in a browser."),
    "tunnel": Entry("tabard.ops.cli.tunnel:tunnel", "Keep an ssh tunnel up, and judge what answers through it."),
    "logs": Entry("tabard.ops.cli.logs:logs", "Show what was said, oldest first."),
    "run": Entry("tabard.ops.cli.running:run", "Run a command, or a named action, on nodes, and show what it prints."),
    "commands": Entry("tabard.ops.cli.commands:commands", "Look at commands, approve them, and take them back."),
    "nodes": Entry("tabard.ops.cli.nodes:nodes", "List the nodes, when they were heard, and how far behind they are."),
    "zones": Entry("tabard.ops.cli.zones:zones", "Show zones, brokers, links and nodes, as far as this home knows them."),
    "status": Entry("tabard.ops.cli.status:status", "Show how this home is doing, faults first."),
    "doctor": Entry("tabard.ops.cli.doctor:doctor", "Look for what is wrong with this home and what it knows of others, and say what to do."),
    "people": Entry("tabard.ops.cli.people:people", "Say who may see and do what in herald."),
    "sink": Entry("tabard.ops.cli.sink:sink", "Look at the sinks that records go to, and end one."),
    "store": Entry("tabard.ops.cli.store:store", "Look after the store."),
    "init": Entry("tabard.ops.cli.init:init", "Make the root authority and the keys of the first home."),
    "zone": Entry("tabard.ops.cli.zone:zone", "Give zones authorities of their own, and take them back."),
    "host": Entry("tabard.ops.cli.host:host", "Install Tabard on hosts that ssh reaches, and look after it there."),
    "node": Entry("tabard.ops.cli.node:node", "Add hosts to a zone, take them out, rename them."),
    "join": Entry("tabard.ops.cli.join:join", "Take in keys and rosters that were made for this home."),
    "operator": Entry("tabard.ops.cli.operator:operator", "Say who may give commands."),
    "keys": Entry("tabard.ops.cli.keys:keys", "Look at keys and certificates, replace them, and take them back."),
    "policy": Entry("tabard.ops.cli.policy:policy", "Say what may pass from one zone to the one above, and try it."),
    "journal": Entry("tabard.ops.cli.journal:journal", "Look at what an agent keeps on its host."),
    "audit": Entry("tabard.ops.cli.audit:audit", "Show who did what, and verify that nothing of it was altered."),
    "check": Entry("tabard.ops.cli.check:check", "Validate the settings and look for contradictions."),
    "versions": Entry("tabard.ops.cli.versions:versions", "Show which version of which service runs where, and what changed when."),
    "config": Entry("tabard.ops.cli.config:config", "Look at the configurations of services, and at the stages they run in."),
    "settings": Entry("tabard.ops.cli.settings:settings", "Show every setting and where its value comes from."),
    "log": Entry("tabard.ops.cli.log:log", "Hand lines from standard input, or one message, to the agent."),
    "cron": Entry("tabard.ops.cli.cron:cron", "Run the jobs of a crontab as services, and see how they are."),
    "crontab": Entry("tabard.ops.cli.crontab:crontab", "Put the roles of this home into the crontab of this user, and take them out."),
    "mail": Entry("tabard.ops.cli.mail:mail", "Send mail, and look after the queue it waits in."),
    "template": Entry("tabard.ops.cli.template:template", "Look at templates for mail, commands and log messages."),
    "fsm": Entry("tabard.ops.cli.fsm:fsm", "Look at the state machines of applications."),
    "bench": Entry("tabard.ops.cli.bench:bench", "Measure this machine, each figure beside a ceiling or a peer of the same run."),
    "lab": Entry("tabard.ops.cli.lab:lab", "Build hosts in three zones on this machine, to look at and to break."),
    "completion": Entry("tabard.ops.cli.completion:completion", "Print the completion script of a shell."),
}  # fmt: skip
"""Every command: where it is, and its help in one sentence (so that ``tabard --help`` imports none)."""


def _version(ctx: click.Context, _param: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        click.echo(f"tabard {__version__}")
        ctx.exit()


root: Final = Root(
    name="tabard",
    table=COMMANDS,
    help="One operations plane for hosts that can only be reached over ssh.",
    params=[
        home_option(),
        click.Option(
            ["--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_version,
            help="Show the version and exit.",
        ),
    ],
    examples=[
        ("tabard check", "Are the settings right?"),
        ("tabard --home /srv/tabard settings 'agent.*'", "What does the agent of that home go by?"),
    ],
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; TabardErrors pass through."""
    try:
        code = root.main(args=list(arguments), prog_name="tabard", standalone_mode=False)
    except click.UsageError as error:
        error.show()
        return exits.WRONG_USE
    except click.ClickException as error:
        error.show()
        return exits.FAILED
    except click.Abort:
        return exits.INTERRUPTED
    except ReaderGone:
        return exits.DONE
    return code if isinstance(code, int) else exits.DONE
