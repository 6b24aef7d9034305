"""The intake for logs by OTLP/HTTP: each request is answered once its records are journaled.

A request is decoded whole before any of it is handed on, a group of records at a turn of the loop: what is malformed
stores nothing. While the journal takes nothing, clients are told to come again.
"""

from __future__ import annotations

import logging
import socket
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any, Final

from tabard.agents.intake.acceptor import Acceptor
from tabard.agents.intake.admission import Admitted
from tabard.agents.intake.bridge import otlp_json, otlp_protobuf
from tabard.agents.intake.bridge.otlp_client import Client
from tabard.agents.intake.bridge.otlp_http import (
    INTERNAL,
    INVALID,
    PATH,
    PROTOBUF,
    UNAVAILABLE,
    Refusal,
    Request,
)
from tabard.agents.intake.bridge.otlp_record import Mapper, Scope
from tabard.agents.intake.bridge.otlp_resent import Resends, mark_of
from tabard.agents.intake.bridge.ports import Report, Surroundings
from tabard.agents.intake.bridge.troubles import Troubles
from tabard.agents.intake.grouping import encode_groups
from tabard.agents.intake.listeners import identify, listen_tcp
from tabard.agents.intake.ports import Handle
from tabard.digests import blake2b
from tabard.errors import WireError
from tabard.records import normalise_log

MOST_HELD: Final = 33_554_432
"""Bytes of requests of all clients that are not whole or not decoded."""
MOST_RECORDS: Final = 65_536
"""Records of one request; further ones are rejected, and the answer says so."""
_SWEEP_SECONDS: Final = 5.0
_RETRY: Final = (("Retry-After", "5"),)

_log = logging.getLogger(__name__)


class _Work:
    """A request on its way."""

    def __init__(self, client: Client, request: Request, digest: bytes, groups: Iterator[Admitted]) -> None:
        self.client = client
        self.kind = request.kind
        self.size = len(request.body)
        self.digest = digest
        self.groups = groups
        self.decoded: list[Admitted] = []
        self.rejected = 0
        """Records that cannot be read."""
        self.beyond = 0
        """Records beyond `MOST_RECORDS`."""
        self.stored = 0
        """Its first records that an earlier agent has journaled already."""
        self.dated = True
        """Whether each record says its time: then nobody makes the same request twice."""

    @property
    def refused(self) -> int:
        """Records that are not stored."""
        return self.rejected + self.beyond


class OtlpIntake:
    """Listens at ``address``."""

    def __init__(self, address: str, around: Surroundings) -> None:
        self._given = address
        self._around = around
        self._loop = around.loop
        self._acceptor: Acceptor | None = None
        self._address = ""
        self._clients: dict[Client, None] = {}
        self._work: dict[Client, _Work] = {}
        self._resends: Resends[Client] = Resends(around.marks, around.clock.wall(), around.loop.now())
        self._counters: Counter[str] = Counter()
        self._troubles = Troubles("otlp", around.loop)
        self._records = 0
        self._sweep: Handle | None = None
        self._closing = False

    # --- the port ---

    def open(self) -> None:
        """Listen. Raises IntakeError when the address cannot be used."""
        listener = listen_tcp(self._given, "intake.otlp")
        host, port = listener.getsockname()[:2]
        self._address = f"http://[{host}]:{port}{PATH}" if ":" in host else f"http://{host}:{port}{PATH}"
        self._acceptor = Acceptor(self._loop, listener, self._admit, "otlp")
        self._sweep = self._loop.call_at(self._loop.now() + _SWEEP_SECONDS, self._swept)

    def close(self) -> None:
        """Journal and answer what was taken in whole, and hang up. An exporter sends everything else again."""
        if self._acceptor is None:
            return
        self._acceptor.close()
        self._acceptor = None
        if self._sweep is not None:
            self._sweep.cancel()
        self._closing = True
        self._around.batcher.flush()
        for client in list(self._clients):
            client.close()
        self._work.clear()

    def report(self) -> Report:
        """How it is doing."""
        return Report(
            "otlp",
            self._address,
            self._records,
            dict(self._counters),
            tuple(_described(client) for client in self._clients),
            self._troubles.current(),
        )

    # --- clients come and go ---

    def _admit(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        if len(self._clients) >= self._around.max_clients:
            self._counters["turned away"] += 1
            self._troubles.note(
                f"connections are turned away: {self._around.max_clients} are open, the most that"
                " agent.max_clients allows"
            )
            sock.close()
            return
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        origin = identify(sock, self._around.users).origin
        self._counters["connections"] += 1
        self._clients[Client(self._loop, sock, origin, self._asked, self._forget, self._limit)] = None

    def _forget(self, client: Client) -> None:
        self._clients.pop(client, None)
        self._work.pop(client, None)

    def _swept(self) -> None:
        now = self._loop.now()
        self._sweep = self._loop.call_at(now + _SWEEP_SECONDS, self._swept)
        for client in list(self._clients):
            if client.sweep(now):
                self._counters["stalled"] += 1

    def _limit(self, client: Client) -> None:
        """Let go of a body that there is no room for; its client is told to come again."""
        held = sum(each.held for each in self._clients) + sum(work.size for work in self._work.values())
        if held > MOST_HELD:
            client.conversation.refuse(
                Refusal(503, UNAVAILABLE, "too much is under way at the moment", _RETRY)
            )

    # --- requests ---

    def _asked(self, client: Client, request: Request) -> None:
        self._counters["requests"] += 1
        if request.refusal is not None:
            self._refuse(client, request.kind, request.refusal)
            return
        if self._blocked(client, request.kind):
            return
        digest = blake2b(request.body, digest_size=16, key=client.origin.encode()[:64]).digest()
        if self._resends.waits(digest, client):
            self._counters["resent"] += 1
            return
        rejected = self._resends.known(digest, self._loop.now())
        if rejected is not None:
            self._counters["resent"] += 1
            if not client.there():
                self._resends.unheard(digest, rejected, self._loop.now())
            self._succeed(client, request.kind, rejected)
            return
        work = _Work(client, request, digest, iter(()))
        work.stored = self._resends.begun(digest, self._loop.now())
        work.groups = encode_groups(self._decoded(work, request), self._around.defaults)
        self._work[client] = work
        self._step(work)

    def _decoded(self, work: _Work, request: Request) -> Iterator[tuple[Any, ...]]:
        requested = otlp_protobuf.requested if request.kind == PROTOBUF else otlp_json.requested
        now = self._around.clock.wall()
        # Only an escape of JSON can say half of a surrogate pair, as a cut text of JavaScript does: no database takes it.
        halves = request.kind != PROTOBUF and b"\\u" in request.body
        last: Scope | None = None
        mapper: Mapper | None = None
        passed = 0
        for taken, (scope, said) in enumerate(requested(request.body)):
            if said is None:
                work.rejected += 1
            elif taken >= MOST_RECORDS:
                work.beyond += 1
            elif passed < work.stored:
                passed += 1
            else:
                work.dated = work.dated and bool(said.time or said.observed)
                if mapper is None or scope is not last:
                    last, mapper = scope, Mapper(scope)
                record = mapper.record(said, now)
                yield normalise_log(record) if halves else record

    def _step(self, work: _Work) -> None:
        """Decode one group; all of them are handed on together."""
        if self._work.get(work.client) is not work:
            return  # its client has gone: it will send the request again
        try:
            group = next(work.groups, None)
        except WireError as error:
            del self._work[work.client]
            self._refuse(work.client, work.kind, Refusal(400, INVALID, str(error)))
            return
        except Exception:
            # A fault of ours must not take the agent from everybody else.
            _log.exception("a request could not be decoded")
            del self._work[work.client]
            self._refuse(work.client, work.kind, Refusal(500, INTERNAL, "the agent failed on this request"))
            return
        if group is not None:
            work.decoded.append(group)
            self._loop.call_at(self._loop.now(), partial(self._step, work))
            return
        del self._work[work.client]
        self._hand_on(work)

    def _hand_on(self, work: _Work) -> None:
        if self._blocked(work.client, work.kind):
            return
        if work.refused:
            self._counters["rejected"] += work.refused
            self._troubles.note(f"{work.refused} records of a request are rejected", work.client.origin)
        if not work.decoded:
            self._succeed(work.client, work.kind, work.refused)
            return
        if self._resends.waits(work.digest, work.client):
            self._counters["resent"] += 1
            return
        self._resends.begin(work.digest, work.client)
        batcher, last = self._around.batcher, len(work.decoded) - 1
        place, wall, taken = (
            self._resends.place() if work.dated else "",
            self._around.clock.wall(),
            work.stored,
        )
        for position, group in enumerate(work.decoded):
            self._counters["repaired"] += group.repaired
            done = partial(self._kept, work) if position == last else None
            taken += group.total
            rejected = work.refused if position == last else None
            mark = mark_of(work.digest, taken, rejected, wall) if place else None
            batcher.add(place, mark, work.client.origin, group.records, group.total, done)

    def _kept(self, work: _Work) -> None:
        """All of its records are journaled."""
        total = sum(group.total for group in work.decoded)
        self._records += total
        if self._closing:
            self._tell(work, total)
        else:  # an answer may bring the next request, and the batcher is in the middle of something
            self._loop.call_at(self._loop.now(), partial(self._tell, work, total))

    def _tell(self, work: _Work, total: int) -> None:
        askers = self._resends.done(work.digest)
        heard = any(client.there() for client in askers)
        for client in askers:  # one that only closed its own side may read the answer all the same
            client.records += total
            self._succeed(client, work.kind, work.refused)
        if not heard:
            self._counters["unheard"] += 1
            self._resends.unheard(work.digest, work.refused, self._loop.now())

    # --- answers ---

    def _blocked(self, client: Client, kind: str) -> bool:
        if self._around.batcher.blocked is None:
            return False
        self._refuse(client, kind, Refusal(503, UNAVAILABLE, "nothing can be stored at the moment", _RETRY))
        return True

    def _succeed(self, client: Client, kind: str, refused: int) -> None:
        how = otlp_protobuf if kind == PROTOBUF else otlp_json
        why = f"records that cannot be read, or beyond the {MOST_RECORDS} that a request may have"
        client.answer(200, how.success(refused, why if refused else ""))

    def _refuse(self, client: Client, kind: str, refusal: Refusal) -> None:
        self._counters[f"answered {refusal.status}"] += 1
        if refusal.status != 503:
            self._troubles.note(f"a request is refused: {refusal.message}", client.origin)
        how = otlp_protobuf if kind == PROTOBUF else otlp_json
        client.answer(refusal.status, how.status(refusal.code, refusal.message), refusal.headers)


def _described(client: Client) -> dict[str, Any]:
    return {
        "origin": client.origin,
        "source": "",
        "service": "",
        "protocol": "otlp",
        "records": client.records,
    }
