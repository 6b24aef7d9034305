"""OTLP's side of the bench of intakes: requests as exporters make them, and exporters that wait for each answer."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import Final

from tabard.agents.intake.bridge.otlp_protobuf import encoded
from tabard.errors import TabardError

PER_REQUEST: Final = 512
"""Records of one request: what the SDKs of OpenTelemetry send at most unless told otherwise."""
EXPORTERS: Final = 4
"""Connections, each with one request at a time."""
_PLACES: Final = 7
_TYPE: Final = {"Content-Type": "application/x-protobuf"}


def available() -> bool:
    """Whether the intake can be: it needs a package that a plain host has not."""
    return find_spec("h11") is not None


def requests(count: int) -> Iterator[bytes]:
    """Bodies of requests, in protobuf, for so many records of an application with seven places that log."""
    resource = encoded(1, encoded(1, b"service.name") + encoded(2, encoded(1, b"shop")))
    for first in range(0, count, PER_REQUEST):
        records = b"".join(
            encoded(2, _record(number)) for number in range(first, min(first + PER_REQUEST, count))
        )
        scope = encoded(1, encoded(1, b"shop.orders"))
        yield encoded(1, encoded(1, resource) + encoded(2, scope + records))


def _record(number: int) -> bytes:
    moment = (1_763_765_724_000_000_000 + number * 1_000).to_bytes(8, "little")
    text = b"order %d of customer c%05d was accepted after %.3f ms, %d items" % (
        number,
        number % 1000,
        number * 0.37,
        number % 9,
    )
    function = b"accept_%d" % (number % _PLACES)
    return (
        b"\x09" + moment + b"\x10\x09" + encoded(3, b"INFO") + encoded(5, encoded(1, text))
        + encoded(6, encoded(1, b"code.function.name") + encoded(2, encoded(1, function)))
        + b"\x59" + moment
    )  # fmt: skip


def send(where: tuple[str, int], bodies: Sequence[bytes]) -> float:
    """Send them all and wait for the answers; when it began. Raises TabardError for any answer but 200."""
    answers: list[int] = []

    def export(mine: Sequence[bytes]) -> None:
        connection = http.client.HTTPConnection(*where, timeout=60)
        try:
            for body in mine:
                connection.request("POST", "/v1/logs", body, _TYPE)
                answer = connection.getresponse()
                answer.read()
                answers.append(answer.status)
        finally:
            connection.close()

    threads = [
        threading.Thread(target=export, args=(bodies[number::EXPORTERS],)) for number in range(EXPORTERS)
    ]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if answers != [200] * len(bodies):
        raise TabardError(
            "requests were not taken", expected=f"{len(bodies)} times 200", found=str(set(answers))
        )
    return began
