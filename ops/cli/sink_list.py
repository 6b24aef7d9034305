"""``tabard sink list``: how each sink stands, what it has not got yet, and what it holds."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

import click

from tabard import exits
from tabard.errors import StoreError
from tabard.home import Home
from tabard.locks import held
from tabard.ops.cli.base import command
from tabard.ops.cli.options import output_option
from tabard.ops.output import Row, emit
from tabard.settings import Settings, load

STOPPED: Final = "stopped"
"""How a sink stands of which only an agent knew that does not run."""
KEYS: Final = (
    "sink",
    "state",
    "start",
    "node",
    "zone",
    "stream",
    "lag",
    "held",
    "held_for",
    "silent",
    "retired",
    "retired_by",
    "skipped",
    "asked",
    "asked_by",
    "recorders",
    "attached",
)
COLUMNS: Final = (
    "sink",
    "state",
    "node",
    "stream",
    "lag",
    "held",
    "held_for",
    "silent",
    "skipped",
    "asked",
    "recorders",
)


@command(
    "list",
    examples=[
        ("tabard sink list", "Every sink that this home knows of"),
        ("tabard sink list -o json", "For a program"),
    ],
)
@output_option
def sink_list(home: Home, output: str) -> int:
    """List the sinks, how each stands, and what it holds.

    A row is one stream of one node. State is live; backfilling, while older records come beside the new ones; away, when
    it was not heard for three beacons; starting, when it was never heard; retired; or stopped, when the agent of this home does
    not run. Lag is the number of records
    that the node has and the sink has not. On the host of an agent, held says how much of its journal is kept
    because the sink lacks it, held for how long already, and silent for how long the sink was not heard. Where the
    store is, skipped counts records that the sink did not want when it began, asked those that were asked for again
    and have not been looked for yet, and recorders are those that work. Exit code
    3 when the store cannot be asked and only the agent was.
    """
    settings = load(home)
    of_agent = list(_by_agent(home, settings))
    away: StoreError | None = None
    try:
        of_store = list(_by_store(home, settings))
    except StoreError as error:
        if not of_agent:
            raise
        away, of_store = error, []
    rows = _rows(of_store, of_agent)
    if output == "table":
        emit([_shown(row) for row in rows], COLUMNS, output)
    else:
        emit(rows, KEYS, output)
    if away is not None:
        click.echo(f"tabard: only what the agent says: {away}", err=True)
        return exits.PARTLY
    return exits.DONE


def _shown(row: Row) -> Row:
    from tabard.web.scales import show_bytes

    held, recorders = row["held"], row["recorders"]
    return {
        **row,
        "held": show_bytes(held) if isinstance(held, int) else None,
        "held_for": _age(row["held_for"]),
        "silent": _age(row["silent"]),
        "recorders": ", ".join(map(str, recorders)) if isinstance(recorders, (list, tuple)) else None,
    }


def _age(seconds: object) -> str | None:
    if not isinstance(seconds, (int, float)):
        return None
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def _rows(by_store: Sequence[Row], by_agent: Sequence[Row]) -> list[Row]:
    rows = {_identity(row): row for row in by_store}
    for row in by_agent:
        known = rows.get(_identity(row), {})
        if known and row["state"] == STOPPED:
            continue  # the store knows more
        of_store = {
            key: known[key] for key in ("start", "skipped", "asked", "asked_by", "recorders") if key in known
        }
        state = known.get("state") if known.get("state") == "backfilling" else row["state"]
        rows[_identity(row)] = {**row, **of_store, "state": state}
    return list(rows.values())


def _identity(row: Row) -> tuple[object, ...]:
    return tuple(row[key] for key in ("sink", "zone", "node", "stream"))


def _row(**known: object) -> Row:
    return {**dict.fromkeys(KEYS), **known}


def _by_agent(home: Home, settings: Settings) -> Iterator[Row]:
    """The sinks of the agent of this home; of one that does not run, what its settings and its notes say of them."""
    from tabard.brokers.wire.streams import STREAM_NAMES
    from tabard.ops.seen import roles, said

    agent = said(roles(home), "agent")
    was_here = any(home.journal.joinpath(name).exists() for name in STREAM_NAMES.values())
    if was_here and held(home.lock("agent")) is None:
        yield from _of_stopped(home, settings, STREAM_NAMES.values())
    for sink, stands in agent.get("sinks", {}).items():
        retired = stands.get("retired") or {}
        for stream in STREAM_NAMES.values():
            each: Mapping[str, Any] = stands["streams"].get(stream, {})
            yield _row(
                sink=sink,
                state=stands["state"],
                node=agent["node"],
                zone=agent["zone"],
                stream=stream,
                lag=each.get("lag"),
                held=each.get("held"),
                held_for=each.get("held_for"),
                silent=stands["silent"],
                retired=_iso(retired.get("since")),
                retired_by=retired.get("who"),
                attached=stands["attached"],
            )


def _of_stopped(home: Home, settings: Settings, streams: Collection[str]) -> Iterator[Row]:
    from tabard.ops.sinks import noted

    retired = noted(home)
    for sink in settings.strings("agent.sinks"):
        word = retired.get(sink, {})
        for stream in streams:
            yield _row(
                sink=sink,
                state="retired" if word else STOPPED,
                node=settings.str("node.name"),
                zone=settings.str("node.zone"),
                stream=stream,
                retired=_iso(word.get("since")),
                retired_by=word.get("who"),
            )


def _by_store(home: Home, settings: Settings) -> Iterator[Row]:
    """The sink whose store is in this home, if there is one."""
    from tabard.consumers.store.sink_results import StreamKey
    from tabard.ops.stores import open_reader

    now = time.time_ns()
    try:
        with open_reader(home, settings) as reader:
            nodes = reader.nodes(now)
            view = reader.sink()
    except StoreError as error:
        if error.what == "store not found":  # a host without a store
            return
        raise
    owned = view.owned
    for node in nodes:
        heard = node.facts.get("retired")
        away = node.state != "up"
        for stream in ("control", "logs", "samples"):
            key = StreamKey(node.zone, node.name, stream)
            asked = view.asked.get(key)
            open_ = asked is not None and asked.ended is None
            retired = owned.retired if owned and owned.retired else heard
            state = "retired" if retired else "away" if away else "backfilling" if open_ else "live"
            if stream not in node.lag and not (retired or open_):
                continue
            yield _row(
                sink=owned.name if owned else settings.str("recorder.sink"),
                state=state,
                start=settings.str("recorder.start"),
                node=node.name,
                zone=node.zone,
                stream=stream,
                lag=node.lag.get(stream),
                silent=None if node.last_beacon is None else round((now - node.last_beacon) / 1e9, 1),
                retired=_iso(retired),
                retired_by=owned.retired_by if owned else None,
                skipped=view.skipped.get(key, 0),
                asked=asked.asked - asked.came if asked and open_ else 0,
                asked_by=asked.asked_by if asked and open_ else None,
                recorders=list(view.recorders),
            )


def _iso(time: object) -> str | None:
    from tabard.web.zones import iso

    return iso(time) if isinstance(time, int) else None
