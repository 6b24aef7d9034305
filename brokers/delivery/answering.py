"""When a sink answers which node: after commits, when a node waits for credit, and until it was heard to have heard."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Mapping
from itertools import count

from tabard.brokers.delivery.book import NodeBook, StreamBook
from tabard.brokers.delivery.credit import Budget
from tabard.brokers.delivery.ports import NodeKey
from tabard.brokers.delivery.reply import Reply
from tabard.brokers.wire.messages import Message

ACK_DELAY = 1.0
"""Seconds after which stored batches are acknowledged at the latest."""
CONFIRM_DELAY = 1.0
"""Seconds after which the first cursor message of a session is sent again."""
CONFIRM_TRIES = 10


class Answers:
    """The next answer to each of `nodes`: the earliest that anything asked for."""

    def __init__(self, nodes: Mapping[NodeKey, NodeBook], budget: Budget, reply: Reply) -> None:
        self._nodes = nodes
        self._budget = budget
        self._reply = reply
        self._due: list[tuple[float, int, NodeBook]] = []
        self._order = count()
        self._expire_at = 0.0

    def schedule(self, node: NodeBook, when: float) -> None:
        """Answer it then at the latest."""
        if when < node.due:
            node.due = when
            heapq.heappush(self._due, (when, next(self._order), node))

    def after_commit(self, now: float, node: NodeBook, stream: StreamBook) -> None:
        """Of something that is stored the node hears at half of its credit, or after a while."""
        if self._budget.low(stream.account, now) or stream.unacked * 2 >= self._budget.window(now):
            self.schedule(node, now)
        elif stream.unacked:
            self.schedule(node, now + ACK_DELAY)

    def serve_waiting(self, now: float) -> None:
        """Those who wait for credit get what is free by now."""
        turns = set(self._budget.turns())
        if not turns:
            return
        for node in self._nodes.values():
            if any(stream.account in turns for stream in node.streams.values()):
                self.schedule(node, now)

    def shed(self, now: float, gone: Collection[int]) -> bool:
        """Whether no more is lent than may be without these shards; else whoever has it is answered, and lends less."""
        kept = [node for node in self._nodes.values() if node.shard not in gone]
        out = sum(stream.account.out for node in kept for stream in node.streams.values())
        if out <= self._budget.total:
            return True
        for node in kept:
            self.schedule(node, now)
        return False

    def take(self, now: float) -> list[Message]:
        """The cursor messages that are due now."""
        if now >= self._expire_at:
            self._budget.expire(now)
            self._expire_at = now + 1.0
            self.serve_waiting(now)
        messages = []
        while self._due and self._due[0][0] <= now:
            due, _, node = heapq.heappop(self._due)
            if node.due == due and self._nodes.get(node.key) is node:
                node.due = float("inf")
                messages.append(self._reply.cursor(now, node))
                node.tries += 1
                if not node.confirmed and node.tries < CONFIRM_TRIES:
                    self.schedule(node, now + CONFIRM_DELAY)
        return messages

    def deadline(self) -> float:
        """When `take` must be called again at the latest, without anything coming in."""
        return min(self._due[0][0] if self._due else float("inf"), self._expire_at)
