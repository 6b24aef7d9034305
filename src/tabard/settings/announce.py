"""The record by which everybody sees what an application or role runs with: one at each start and reload.

It is an ordinary log record of the logger ``tabard.config``; what makes it one is its attribute ``configuration``.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Final

from tabard.errors import AlreadyRunning
from tabard.settings.effective import Effective, bounded

LOGGER: Final = "tabard.config"
ATTRIBUTE: Final = "configuration"
START: Final = "start"
RELOAD: Final = "reload"
_MOST_CHANGED: Final = 50

_log: Final = logging.getLogger(LOGGER)


def announce(
    found: Effective,
    *,
    service: str,
    package: str | None,
    version: str | None,
    stage: str,
    reason: str,
    changed: Sequence[str] = (),
    restart: Sequence[str] = (),
) -> None:
    """Record the configuration that holds from now on. Never raises; without any handler nothing happens."""
    _listen(logging.INFO)
    said: dict[str, Any] = {
        "service": service,
        "package": package,
        "version": version,
        "stage": stage,
        "reason": reason,
        "changed": list(changed[:_MOST_CHANGED]),
        "restart": list(restart[:_MOST_CHANGED]),
        **bounded(found),
    }
    extra = {ATTRIBUTE: said, "service": service}
    extra |= {name: value for name, value in (("package", package), ("version", version)) if value}
    _log.info(
        "%s%s%s: configuration %s at its %s, %d options%s%s",
        service,
        f" {version}" if version else "",
        f" in {stage}" if stage else "",
        found.digest[:12],
        reason,
        len(found.values),
        f"; changed: {', '.join(said['changed'])}" if changed else "",
        f"; new only after a restart: {', '.join(said['restart'])}" if restart else "",
        extra=extra,
    )


def _listen(level: int) -> None:
    """Whatever the application records: without these records nobody knows what it runs with.

    ``logging.config`` disables every logger that it finds and is not told of.
    """
    _log.disabled = False
    if not _log.isEnabledFor(level):
        _log.setLevel(level)


def refused(service: str, error: Exception) -> None:
    """Record that a new configuration was not taken, and why."""
    _listen(logging.ERROR)
    _log.error(
        "%s keeps its configuration, the new one is refused: %s", service, error, extra={"service": service}
    )


def cannot_start(service: str, error: Exception, handler: logging.Handler) -> None:
    """Record by ``handler``, which is closed then, that a service does not start, and why.

    A second one beside the first is nothing to worry about: cron may start it every minute.
    """
    again = isinstance(error, AlreadyRunning)
    level = logging.INFO if again else logging.CRITICAL
    text = "%s is not started a second time: %s" if again else "%s cannot start: %s"
    record = _log.makeRecord(LOGGER, level, __file__, 0, text, (service, error), None, "cannot_start")
    try:
        handler.handle(record)
    finally:
        handler.close()
