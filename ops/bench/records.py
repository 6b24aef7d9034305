"""The records that are sent and inserted: log records as an application writes them, about 200 bytes each."""

from __future__ import annotations

from typing import Any, Final

from tabard.brokers.wire.codec import pack
from tabard.intake_frames import RECORDS, frame
from tabard.records import LOG_FIELDS, MAX_RECORDS

PRODUCT: Final = "tabard-bench"
"""How the records of a bench are told from what the roles say themselves."""
NUMBER: Final = "line"
"""The field that numbers them from 1."""
STEP: Final = 7_000
"""Nanoseconds between two records that were not made at their time."""

_MODULES: Final = (
    ("orders", "shop.orders.api", "place_order"),
    ("orders", "shop.orders.stock", "reserve"),
    ("billing", "shop.billing.cards", "charge"),
    ("mailer", "shop.mailer.queue", "deliver"),
)
_LEVELS: Final = (("INFO", 9),) * 17 + (("WARNING", 13),) * 2 + (("ERROR", 17),)


def record(number: int, time: int, product: str = PRODUCT) -> tuple[Any, ...]:
    """The log record with that `number`, of event time `time` (ns UTC)."""
    service, logger, function = _MODULES[number % 4]
    level, severity = _LEVELS[number * 7 % 20]
    order = number * 2_654_435_761 % 1_000_000_007
    said = {
        "time": time,
        "severity": severity,
        "level": level,
        "service": service,
        "product": product,
        "system": "shop",
        "package": "shop-server",
        "version": "4.2.1",
        "logger": logger,
        "module": logger.rpartition(".")[2],
        "function": function,
        NUMBER: number,
        "process": 4711 + number % 8,
        "thread": f"worker-{number % 16}",
        "message": f"order {order:010d} of customer {order % 99_991:05d} passed {function} in {order % 977} ms",
        "attributes": f'{{"tenant":"t-{number % 40:03d}"}}',
    }
    return tuple(said.get(name) for name in LOG_FIELDS)


def frames(count: int, began: int) -> list[bytes]:
    """Intake frames with `count` records in all, 256 each, numbered from 1; the first is of time `began`."""
    found: list[bytes] = []
    for start in range(1, count + 1, MAX_RECORDS):
        numbers = range(start, min(start + MAX_RECORDS, count + 1))
        payload = pack([record(number, began + number * STEP) for number in numbers])
        found.append(frame(RECORDS, len(found) + 1, payload))
    return found
