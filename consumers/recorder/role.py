"""The recorder process."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable
from typing import Final

from tabard.brokers import sockets
from tabard.brokers.running import role
from tabard.brokers.topology import recorder_ends
from tabard.clock import SystemClock
from tabard.consumers.recorder.owning import own
from tabard.consumers.recorder.worker import Budget, CommitLimits, Recorder
from tabard.consumers.store.engines import open_store
from tabard.consumers.store.limits import RetentionLimits
from tabard.consumers.store.place import Place
from tabard.home import Home
from tabard.settings import Settings
from tabard.settings.roles import RoleSettings

NOW: Final = "now"
"""The setting of a sink that wants of a node it has not heard of before only what is new."""
LOOK_EVERY: Final = 0.2
"""Seconds between two looks whether a single pass is done."""

COLLECT_EVERY: Final = 100_000
"""New objects after which Python looks for garbage in cycles. Decoded records are many and never in one: with the
usual 700 a tenth of the recorder's time goes into looking."""

_log = logging.getLogger(__name__)


def run(
    home: Home,
    load: Callable[[], Settings],
    *,
    once: float | None = None,
    ready: Callable[[], None] = lambda: None,
) -> None:
    """Run the recorder of a home until it is told to end.

    Args:
        home: its directory.
        load: reads the settings, again on SIGHUP.
        once: end after this many seconds in which nothing arrived.
        ready: called when it listens.

    Raises:
        AlreadyRunning: it runs already in this home.
        StoreError: the store cannot be opened.
    """
    held = RoleSettings("recorder", load)
    settings = held.current

    def take(newer: Settings) -> None:
        recorder.limits = _commits(newer)
        retention.limits = RetentionLimits.of(newer)

    with role("recorder", home, lambda: held.reload(take)) as process:
        made = sockets.Sockets(hwm=settings.int("brokers.hwm"), max_frame=settings.bytes("brokers.max_frame"))
        store, retention, apart = open_store(
            Place.of(settings, home),
            settings.str("store.synchronous"),
            RetentionLimits.of(settings),
            settings.str("store.index"),
        )
        owned = own(store, settings.str("recorder.sink"), str(Place.of(settings, home)))
        recorder = Recorder(
            settings.str("recorder.sink"),
            store,
            made,
            process.loop,
            SystemClock(),
            _commits(settings),
            Budget(settings.int("recorder.credit_batches"), settings.bytes("recorder.credit_bytes")),
            upkeep=retention,
            apart=apart,
            began=owned.began if settings.str("recorder.start") == NOW else None,
        )
        try:
            recorder.start(recorder_ends(settings, home))
            process.report(recorder.status)
            _log.info("recorder of sink %s is storing", settings.str("recorder.sink"))
            gc.freeze()
            gc.set_threshold(COLLECT_EVERY)
            ready()
            if once is not None:
                process.loop.every(
                    LOOK_EVERY, lambda: process.loop.stop() if recorder.idle() > once else None
                )
            process.loop.run()
            recorder.finish()
        finally:
            recorder.close()
            store.close()
            made.close()


def _commits(settings: Settings) -> CommitLimits:
    return CommitLimits(settings.int("recorder.commit_rows"), settings.seconds("recorder.commit_delay"))
