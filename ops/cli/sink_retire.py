"""``tabard sink retire``: end a sink, so that no journal is held for it any more."""

from __future__ import annotations

import time
from typing import Final

import click

from tabard import exits
from tabard.errors import IntakeError, RefusedError, UsageError
from tabard.home import Home
from tabard.locks import held
from tabard.ops.cli.base import command
from tabard.ops.cli.options import output_option
from tabard.ops.cli.values import SinkName
from tabard.ops.output import Row, emit
from tabard.settings import Settings, load

COLUMNS: Final = ("sink", "said", "where", "who", "done")
PATIENCE: Final = 10.0
"""Seconds that an agent which runs has to take the word."""


@command(
    "retire",
    audited="sink.retire",
    examples=[
        ("tabard sink retire plant", "In the home of its recorder: all its nodes are told"),
        ("tabard sink retire plant --this-node", "On one host: its agent sends nothing there any more"),
        ("tabard sink retire plant --undo", "It is required again"),
    ],
)
@click.argument("sink", type=SinkName())
@click.option(
    "--this-node", is_flag=True, help="Only for the agent of this home, whether or not the sink still lives."
)
@click.option(
    "--undo", is_flag=True, help="Take it back: the sink is required again, from what is still kept on."
)
@click.option("--force", is_flag=True, help="Also when it is the only sink of this node.")
@output_option
def sink_retire(home: Home, sink: str, this_node: bool, undo: bool, force: bool, output: str) -> int:
    """End a sink: nodes keep nothing for it any more and send it nothing, also after a restart.

    In the home of the sink's own recorder the word is kept in its store: the recorder stores nothing more, and tells
    each node as soon as that is heard. Anywhere else it is a word to the agent of this home, which holds whatever
    the sink says; so it does when the sink's database is gone. Either is in the control stream, with who said it.
    """
    settings = load(home)
    row = None if this_node else _in_store(home, settings, sink, undo=undo)
    if row is None:
        row = _in_agent(home, settings, sink, undo=undo, force=force)
    emit([row], COLUMNS, output)
    return exits.DONE


def _in_store(home: Home, settings: Settings, sink: str, *, undo: bool) -> Row | None:
    """Note it in the store of this home; None when that is not the sink's."""
    from tabard.ops.sinks import somebody, written_store

    if settings.str("recorder.sink") != sink:
        return None
    with written_store(home, settings) as store:
        owned = None if store is None else store.owned()
        if store is None or owned is None or owned.name != sink:
            return None
        store.retire(None if undo else somebody(), None if undo else time.time_ns())
        now = store.owned()
    who = None if now is None else now.retired_by
    return {"sink": sink, "said": _word(undo=undo), "where": "store", "who": who or somebody(), "done": True}


def _in_agent(home: Home, settings: Settings, sink: str, *, undo: bool, force: bool) -> Row:
    """Order it; a running agent carries it out at once, else the next one before it sends anything."""
    from tabard.agents import orders
    from tabard.ops.sinks import noted, somebody, wait_gone

    sinks = settings.strings("agent.sinks")
    retired = noted(home)
    if sink not in sinks and sink not in retired:
        raise UsageError(
            "the agent of this home does not send to that sink",
            expected=f"one of {', '.join(sinks)}",
            found=sink,
            where="agent.sinks",
            hint="Retire it where its recorder is, or on the hosts that send to it",
        )
    if undo and sink not in retired:
        raise UsageError("the sink is not retired here", expected=", ".join(retired) or "none is", found=sink)
    left = [name for name in sinks if name != sink and name not in retired]
    if not undo and not left and not force:
        raise RefusedError(
            "it is the only sink of this node",
            expected="another one in agent.sinks that is not retired",
            found=f"only {sink}",
            hint="Without a sink records stay in the journal until they are too old or too many. Name another"
            " sink first, or add --force",
        )
    who = somebody()
    try:
        path = orders.give(
            home, orders.Order(orders.RESTORE if undo else orders.RETIRE, sink, who, time.time_ns())
        )
    except OSError as error:
        raise IntakeError(
            "the order cannot be left for the agent",
            expected="a home whose journal this user may write",
            found=error.strerror or str(error),
            where=str(home.journal),
        ) from error
    done = held(home.lock("agent")) is not None and wait_gone(path, PATIENCE)
    return {"sink": sink, "said": _word(undo=undo), "where": "node", "who": who, "done": done}


def _word(*, undo: bool) -> str:
    return "required" if undo else "retired"
