"""A dispatcher's desk for tests: real keys, real sockets of a real broker, and an agent that can be killed at any place."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Self

import zmq

from tabard.brokers.delivery.ports import NodeKey
from tabard.brokers.trust.authority import Wanted
from tabard.brokers.trust.certificates import BROKER, DISPATCHER, NODE, OPERATOR, RECORDER
from tabard.brokers.trust.commanding import Issuer, command_message, issue_order
from tabard.brokers.trust.files import Trust, found
from tabard.brokers.wire.batch import DATA, Batch, check_batch
from tabard.brokers.wire.body import decode_groups
from tabard.brokers.wire.command import ACTION, RUN, Document, Order
from tabard.brokers.wire.messages import Message, decode_beacon
from tabard.brokers.wire.streams import CONTROL
from tabard.clock import wall
from tabard.home import Home
from tests.integration.upping import Started

ME: Final = NodeKey("web1", "hq/dmz")
PATIENCE: Final = 60.0
ENDED: Final = frozenset(
    f"command.{state}" for state in ("done", "failed", "refused", "expired", "lost", "cancelled")
)
SECOND: Final = 10**9
SETTINGS: Final = """
[node]
name = "web1"
zone = "hq/dmz"
[agent]
beacon = "1s"
"""


class Desk:
    """One home with a broker and a recorder, and whoever commands its node. Use as a context manager."""

    def __init__(self, folder: Path, settings: str = "") -> None:
        self.home = Home(folder / "home").ensure()
        self.home.settings_file.write_text(SETTINGS + settings)
        self.trust: Trust = found(
            self.home,
            "hq",
            [
                Wanted(OPERATOR, "ada", "hq", commands=True),
                Wanted(OPERATOR, "bob", "hq", commands=True),
                Wanted(DISPATCHER, "desk", "hq", commands=True),
                Wanted(NODE, ME.node, ME.zone, ("main",)),
                Wanted(BROKER, "b1", ME.zone),
                Wanted(RECORDER, ME.node, ME.zone, ("main",)),
            ],
        )
        self.ada, self.bob = self.issuer(OPERATOR, "ada"), self.issuer(OPERATOR, "bob")
        self.desk = self.issuer(DISPATCHER, "desk")
        self.answers: list[tuple[str, dict[str, Any]]] = []
        self.nonce = b""
        self.agent: Started | None = None
        self._seen: set[bytes] = set()
        self._roles: list[Started] = []
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._up = self._context.socket(zmq.SUB)
        self._down = self._context.socket(zmq.PUB)

    def issuer(self, role: str, name: str) -> Issuer:
        """Somebody with a key in this home."""
        key = self.trust.key(role, name)
        assert key is not None
        return Issuer(key, self.trust.chain(role, name))

    def __enter__(self) -> Self:
        self._roles = [Started(self.home.path, "broker", "b1"), Started(self.home.path, "recorder")]
        self._up.connect(f"ipc://{self.home.socket('b1.up_out')}")
        self._up.subscribe(b"u/main/")
        self._down.connect(f"ipc://{self.home.socket('b1.down_in')}")
        return self

    def __exit__(self, *_: object) -> None:
        for started in (*self._roles, *([self.agent] if self.agent else [])):
            started.__exit__()
        for sock in (self._up, self._down):
            sock.close(linger=0)
        self._context.term()

    # --- the agent -------------------------------------------------------------------------

    def start(self, failpoints: str = "") -> None:
        """Start the agent, which is to die somewhere."""
        self.agent = Started(self.home.path, "agent", TABARD_FAILPOINTS=failpoints)

    def end_of_agent(self) -> int:
        """Wait until it has ended by itself, and return its code."""
        assert self.agent is not None
        return self.agent.rest()

    def stop(self) -> None:
        """End it in order."""
        assert self.agent is not None
        self.agent.__exit__()

    # --- commands --------------------------------------------------------------------------

    def document(self, *words: str, kind: str = RUN, **more: Any) -> Document:
        """What ada wants of the node."""
        now = wall()
        made = Document(
            os.urandom(16), os.urandom(16), self.ada.key.public.key_id, ME.zone, ME.node,
            now, now + 600 * SECOND, 30.0, kind, words,
        )  # fmt: skip
        return made._replace(**more)

    def action(self, *words: str, **more: Any) -> Document:
        """A named action."""
        return self.document(*words, kind=ACTION, **more)

    def signed(self, document: Document, *others: Issuer) -> Order:
        """By ada, and approved by others."""
        return issue_order(document, self.ada, others)

    def message(self, order: Order, **more: Any) -> Message:
        """As it is sent now."""
        said: dict[str, Any] = {"nonce": self.nonce, "now": wall(), "dispatcher": self.desk, **more}
        key = self.trust.key(NODE, ME.node)
        assert key is not None
        return command_message(order, ME.node, ME.zone, key.public, **said)

    def send(self, message: Message) -> None:
        """Hand it to the broker."""
        self._down.send_multipart(message)

    # --- what comes back -------------------------------------------------------------------

    def listen(self, seconds: float = 1.0) -> bool:
        """Take in what comes up within so much time; whether a beacon was among it."""
        beacon = False
        if not self._up.poll(int(seconds * 1000)):
            return False
        with contextlib.suppress(zmq.Again):
            while True:
                frames = self._up.recv_multipart(zmq.NOBLOCK)
                if frames[0].endswith(b"/beacon/"):
                    self.nonce, beacon = decode_beacon(frames[2]).nonce, True
                elif frames[0].endswith(b"/control/"):
                    self._take(check_batch(frames[2], frames[3][:64], frames[4]))
        return beacon

    def _take(self, batch: Batch) -> None:
        if batch.header.kind != DATA or batch.digest in self._seen:
            return
        self._seen.add(batch.digest)
        for _source, _mark, _origin, records in decode_groups(CONTROL, batch.body, batch.header.count):
            self.answers += [(kind, data) for _time, kind, data in records if kind.startswith("command.")]

    def of(self, document: Document) -> list[tuple[str, dict[str, Any]]]:
        """The answers to one command."""
        return [(kind, data) for kind, data in self.answers if data["id"] == document.id.hex()]

    def wait(self, holds: Callable[[], Any], what: str, again: Sequence[Order] = ()) -> None:
        """Listen until it holds; with each beacon the orders are sent again, as a dispatcher does."""
        end = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < end, f"not seen in {PATIENCE:.0f} s: {what}; heard {self.answers}"
            if self.listen():
                for order in again:
                    self.send(self.message(order))

    def beacon(self) -> bytes:
        """The nonce of the next beacon."""
        before = self.nonce
        self.wait(lambda: self.nonce != before, "a beacon")
        return self.nonce

    def end_of(self, document: Document) -> tuple[str, dict[str, Any]]:
        """Listen until a command has ended, and all that it said has come; how it ended."""
        self.wait(lambda: self._ends(document), f"an end of {document.words}")
        end = self._ends(document)[0]
        # What an agent before said is sent again, and may come after what the next one says.
        self.wait(lambda: self._parts(document) >= end[1].get("parts", 0), f"all output of {document.words}")
        return end

    def _parts(self, document: Document) -> int:
        return len({data["n"] for kind, data in self.of(document) if kind == "command.output"})

    def _ends(self, document: Document) -> list[tuple[str, dict[str, Any]]]:
        return [answer for answer in self.of(document) if answer[0] in ENDED]

    def do(self, document: Document, *others: Issuer) -> tuple[str, dict[str, Any]]:
        """Have it carried out, as a dispatcher does; how it ended."""
        self.accept(document, *others)
        return self.end_of(document)

    def accept(self, document: Document, *others: Issuer) -> None:
        """Send it until it is answered."""
        order = self.signed(document, *others)
        self.wait(lambda: self.of(document), f"an answer to {document.words}", [order])

    def output(self, document: Document, descriptor: int = 1) -> bytes:
        """All that it said."""
        parts = sorted(
            (data["n"], data["data"]) for kind, data in self.of(document)
            if kind == "command.output" and data["fd"] == descriptor
        )  # fmt: skip
        return b"".join(data for _, data in dict(parts).items())
