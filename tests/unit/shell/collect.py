"""A logger whose records are collected, or end what logs them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class _Handler(logging.Handler):
    def __init__(self, take: Callable[[logging.LogRecord], None]) -> None:
        super().__init__()
        self._take = take

    def emit(self, record: logging.LogRecord) -> None:
        self._take(record)


@contextmanager
def heard(name: str, take: Callable[[logging.LogRecord], None]) -> Iterator[logging.Logger]:
    """The logger ``name`` with all its records handed to ``take``, until the end of the block."""
    log = logging.getLogger(name)
    handler = _Handler(take)
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    try:
        yield log
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
