"""The process that plays the application: it has its bytes ready, or logs at a pace as an application does."""

from __future__ import annotations

import contextlib
import logging
import logging.handlers
import select
import socket
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import zmq
from zmq.log.handlers import PUBHandler

from tabard.client import IntakeClient
from tabard.errors import IntakeError
from tabard.ops.bench.generator import send_all
from tabard.ops.bench.helper import answer, requests
from tabard.ops.bench.peers import work

_CHUNK: Final = 65_536
_TICK: Final = 0.002
_PATIENCE: Final = 60.0
_LINGER: Final = 10_000
"""Milliseconds that a publisher has at its end to get rid of what it holds."""


class Application(ABC):
    """Something that logs at its own pace, through what an application uses for it."""

    @abstractmethod
    def say(self, number: int, moment: int) -> bool:
        """Log that record of that time (ns UTC); False when it is known to have failed."""

    def flush(self) -> None:  # noqa: B027 -- most hold nothing
        """A tick is over."""

    def close(self) -> None:  # noqa: B027 -- most hold nothing
        """The end: what is held is handed over. Raises TabardError when that does not work."""


class Syslog(Application):
    """One TCP connection, made anew when it broke."""

    def __init__(self, where: Any) -> None:
        self._where = tuple(where)
        self._socket: socket.socket | None = None

    def say(self, number: int, moment: int) -> bool:
        """Send the line; one that did not go is not sent again, as syslog(3) does not either."""
        try:
            if self._socket is None:
                self._socket = socket.create_connection(self._where, timeout=_PATIENCE)
            self._socket.sendall(work.line(number, moment))
        except OSError:
            self.close()
            return False
        return True

    def close(self) -> None:
        """Close the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class Handled(Application):
    """A handler of the logging package, called as a logger calls it."""

    def __init__(self, handler: logging.Handler) -> None:
        self._handler = handler

    def say(self, number: int, moment: int) -> bool:
        """It never says that it failed."""
        self._handler.handle(work.logged(number, moment))
        return True

    def close(self) -> None:
        """Close the handler."""
        self._handler.close()


class Published(Handled):
    """pyzmq's handler on a socket that dials, so that it keeps its queue while the receiver is away."""

    def __init__(self, where: Any) -> None:
        self._socket = _publisher(where)
        super().__init__(PUBHandler(self._socket, root_topic="shop.orders"))

    def close(self) -> None:
        """Close the socket, with time for what it holds."""
        self._socket.close(linger=_LINGER)
        zmq.Context.instance().term()


class Tabard(Application):
    """The client of the agent's socket."""

    def __init__(self, where: Any) -> None:
        self._client = IntakeClient(where, "bench-peers", service=work.SERVICE)
        self._held: list[tuple[Any, ...]] = []

    def say(self, number: int, moment: int) -> bool:
        """It goes with the tick's others."""
        self._held.append(work.record(number, moment))
        return True

    def flush(self) -> None:
        """Send them; while no agent takes them the client keeps them."""
        if self._held:
            with contextlib.suppress(IntakeError):
                self._client.send(self._held)
            self._held.clear()

    def close(self) -> None:
        """Wait until all are accepted."""
        self.flush()
        self._client.flush()
        self._client.close()


APPLICATIONS: Final[Mapping[str, Callable[[Any], Application]]] = {
    "syslog": Syslog,
    "tabard": Tabard,
    "pickle": lambda where: Handled(logging.handlers.SocketHandler(*where)),
    "published": Published,
}
"""By form."""


def pace(application: Application, rate: int, told: Callable[[], bool]) -> dict[str, Any]:
    """Say records from 1 on at `rate` a second until `told` to stop, then close; how many, and how many are known to have failed."""
    failed = made = 0
    began, epoch = time.monotonic(), time.time_ns()
    while not told():
        due = int((time.monotonic() - began) * rate)
        while made < due:
            made += 1
            failed += not application.say(made, epoch + made * 1_000_000_000 // rate)
        application.flush()
        time.sleep(_TICK)
    application.close()
    return {"given": made, "failed": failed}


def asked() -> bool:
    """Whether there is another request."""
    return bool(select.select([sys.stdin], [], [], 0)[0])


def send(form: str, where: Any, parts: Sequence[bytes]) -> float:
    """Everything at full speed; when it began (monotonic seconds)."""
    if form == "tabard":
        return send_all(where, "bench-peers", parts)["began"]
    if form == "published":
        return _publish(where, parts)
    with socket.create_connection(tuple(where)) as connection:
        view = memoryview(b"".join(parts))
        began = time.monotonic()
        for at in range(0, len(view), _CHUNK):
            connection.sendall(view[at : at + _CHUNK])
    return began


def _publish(where: Any, parts: Sequence[bytes]) -> float:
    publisher = _publisher(where)
    began = time.monotonic()
    for part in parts:
        publisher.send_multipart([work.TOPIC, part])
    publisher.close(linger=int(_PATIENCE * 1000))
    return began


def _publisher(where: Any) -> zmq.Socket[bytes]:
    """A socket that publishes, with a subscriber. XPUB is PUB that can hear of one: before that all would be lost."""
    publisher: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.XPUB)
    publisher.sndhwm = 0  # as the receiver's: at the default of 1,000 most would be dropped
    publisher.connect(f"tcp://{where[0]}:{where[1]}")
    if not publisher.poll(int(_PATIENCE * 1000)):
        raise TimeoutError("nobody subscribes")
    publisher.recv()
    return publisher


def main() -> None:
    """Serve requests until there are no more."""
    prepared: dict[str, list[bytes]] = {}
    for request in requests():
        if request["do"] == "prepare":
            prepared[request["form"]] = work.prepared(request["form"], request["records"], time.time_ns())
            answer(bytes=sum(map(len, prepared[request["form"]])))
        elif request["do"] == "send":
            parts = prepared[request["form"]][: request["messages"]]
            try:
                answer(began=send(request["form"], request["where"], parts))
            except OSError as error:
                answer(failed=str(error))
        elif request["do"] == "pace":
            application = APPLICATIONS[request["form"]](request["where"])
            answer(ready=True)
            answer(**pace(application, request["rate"], asked))


if __name__ == "__main__":
    main()
