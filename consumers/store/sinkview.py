"""What a reader is told of the sink of a store: whose it is, who works for it, what it skipped, what was asked again."""

from __future__ import annotations

from tabard.brokers.delivery.leases import RECORDER
from tabard.brokers.wire.streams import STREAM_NAMES
from tabard.consumers.store import holders
from tabard.consumers.store.reading import Reading
from tabard.consumers.store.sink_results import Asked, Owned, SinkView, StreamKey


def look(connection: Reading) -> SinkView:
    """All of it, of both parts."""
    owned = None
    skipped: dict[StreamKey, int] = {}
    asked: dict[StreamKey, Asked] = {}
    for part in connection.sql.parts:
        row = connection.execute(f"SELECT name, began, retired, retired_by FROM {part}.sink").fetchone()  # noqa: S608
        owned = owned if row is None else Owned(*row)
        for zone, node, stream, count in connection.execute(
            "SELECT node.zone, node.name, skip.stream, sum(skip.count)"  # noqa: S608
            f" FROM {part}.skip AS skip JOIN {part}.node AS node ON node.id = skip.node_id"
            " GROUP BY node.zone, node.name, skip.stream"
        ):
            skipped[StreamKey(zone, node, STREAM_NAMES[stream])] = int(count)
        for zone, node, stream, *rest in connection.execute(
            "SELECT node.zone, node.name, backfill.stream, backfill.asked, backfill.came, backfill.asked_by,"  # noqa: S608
            " backfill.began, backfill.ended"
            f" FROM {part}.backfill AS backfill JOIN {part}.node AS node ON node.id = backfill.node_id"
            " ORDER BY backfill.id"
        ):
            asked[StreamKey(zone, node, STREAM_NAMES[stream])] = Asked(*rest)
    return SinkView(owned, _recorders(connection), skipped, asked)


def _recorders(connection: Reading) -> tuple[str, ...]:
    """The names of those that are members now; the part with the control stream keeps them."""
    return tuple(holder.name for holder in holders.sharing(connection, RECORDER).holders if not holder.over)
