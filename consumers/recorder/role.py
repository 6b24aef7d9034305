"""The recorder process."""

from __future__ import annotations

import logging
from collections.abc import Callable

from tabard.brokers import sockets
from tabard.brokers.running import role
from tabard.brokers.topology import recorder_ends
from tabard.clock import SystemClock
from tabard.consumers.recorder.worker import CommitLimits, Recorder
from tabard.consumers.store.retention import Retention, RetentionLimits
from tabard.consumers.store.sqlite import SqliteStore
from tabard.home import Home
from tabard.settings import Reloader, Settings

_log = logging.getLogger(__name__)


def run(home: Home, load: Callable[[], Settings], *, ready: Callable[[], None] = lambda: None) -> None:
    """Run the recorder of a home until it is told to end; `load` reads the settings, again on SIGHUP.

    Raises:
        AlreadyRunning: it runs already in this home.
        StoreError: the store cannot be opened.
    """
    reloader = Reloader(load)
    with role("recorder", home, lambda: reload()) as process:
        settings = reloader.settings
        made = sockets.Sockets(hwm=settings.int("brokers.hwm"), max_frame=settings.bytes("brokers.max_frame"))
        store = SqliteStore.open(settings.str("store.path") or home.store, settings.str("store.synchronous"))
        retention = Retention(store, _retention(settings))
        recorder = Recorder(
            settings.str("recorder.sink"),
            store,
            made,
            process.loop,
            SystemClock(),
            _commits(settings),
            settings.int("recorder.credit_batches"),
            upkeep=retention.step,
        )

        def reload() -> None:
            outcome = reloader.reload()
            _log.info("settings read again: %s", outcome)
            recorder.limits = _commits(reloader.settings)
            retention.limits = _retention(reloader.settings)

        try:
            recorder.start(recorder_ends(settings, home))
            process.report(recorder.status)
            _log.info("recorder of sink %s is storing", settings.str("recorder.sink"))
            ready()
            process.loop.run()
            recorder.finish()
        finally:
            store.close()
            made.close()


def _commits(settings: Settings) -> CommitLimits:
    return CommitLimits(settings.int("recorder.commit_rows"), settings.seconds("recorder.commit_delay"))


def _retention(settings: Settings) -> RetentionLimits:
    return RetentionLimits.of(settings)
