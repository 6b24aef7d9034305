"""The recorder process."""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Callable
from typing import Final

from tabard.brokers import sockets
from tabard.brokers.keyring import keys_of
from tabard.brokers.running import Role, role
from tabard.brokers.topology import recorder_ends, role_peers
from tabard.brokers.trust.rolekeys import RoleSeal
from tabard.clock import SystemClock
from tabard.consumers.recorder.hanging import Hanging
from tabard.consumers.recorder.identity import identity
from tabard.consumers.recorder.owning import own
from tabard.consumers.recorder.waiting import Opening
from tabard.consumers.recorder.waking import SOCKET as WAKE
from tabard.consumers.recorder.waking import Waking
from tabard.consumers.recorder.worker import Budget, CommitLimits, Leases, Recorder
from tabard.consumers.store import moved
from tabard.consumers.store.engines import Kept, open_store
from tabard.consumers.store.limits import RetentionLimits
from tabard.consumers.store.place import Place
from tabard.consumers.store.sink_results import Owned
from tabard.home import Home
from tabard.settings import Settings
from tabard.settings.roles import RoleSettings

NOW: Final = "now"
"""The setting of a sink that wants of a node it has not heard of before only what is new."""
LOOK_EVERY: Final = 0.2
"""Seconds between two looks whether a single pass is done."""

TURNS: Final = 0.00005
"""Seconds for which one thread may keep the interpreter from another."""
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
        HomeError: its identity cannot be kept there.
        StoreError: the store cannot be opened; a server that is away is waited for.
    """
    held = RoleSettings("recorder", load)
    settings = held.current

    recorder: Recorder | None = None

    def take(newer: Settings) -> None:
        if recorder is not None:
            recorder.limits = _commits(newer)
            recorder.look_at_keys()
            retention.limits = RetentionLimits.of(newer)

    with role("recorder", home, lambda: held.reload(take)) as process:
        place = Place.of(settings, home)

        def opening() -> tuple[Kept, Owned]:
            kept = open_store(
                place,
                settings.str("store.synchronous"),
                RetentionLimits.of(settings),
                settings.str("store.index"),
            )
            try:
                return kept, own(kept.store, settings.str("recorder.sink"), str(place))
            except BaseException:
                kept.close()
                raise

        # One that a job runs for a while is not to wait; whoever runs it is told.
        opened = _awaited(process, settings, opening) if place.url and once is None else opening()
        if opened is None:
            return
        kept, owned = opened
        store, retention, apart = kept
        if apart:
            # Of two threads that both have work, each gets the interpreter this often: at the usual 5 ms, a server
            # that has answered waits as long for its next statement, and there are ten in a commit of some 30 ms.
            sys.setswitchinterval(TURNS)
        sink, zone = settings.str("recorder.sink"), settings.str("node.zone")
        keys = keys_of(home, "recorder", sink, zone, role_peers(settings, home, "recorder"), process.loop)
        made = sockets.Sockets(
            hwm=settings.int("brokers.hwm"), max_frame=settings.bytes("brokers.max_frame"), keys=keys
        )
        waking = Waking(home.socket(WAKE))
        recorder = Recorder(
            settings.str("recorder.sink"),
            store,
            made,
            process.loop,
            SystemClock(),
            _commits(settings),
            Budget(settings.int("recorder.credit_batches"), settings.bytes("recorder.credit_bytes")),
            Leases(identity(home, settings.str("node.name")), settings.seconds("recorder.lease")),
            seal=RoleSeal.of_recorder(
                home, SystemClock(), settings.str("recorder.sink"), keys[0].trust if keys else None
            ),
            upkeep=retention,
            apart=apart,
            zone=zone.partition("/")[0],
            began=owned.began if settings.str("recorder.start") == NOW else None,
            waking=waking,
        )

        def look() -> None:
            if moved.has_gone_on(place, load, home):
                _log.warning("the store has moved to where the settings name it: ending, to be started on it")
                process.loop.stop()

        process.loop.every(moved.LOOK_EVERY, look)
        hanging = Hanging(process, str(place))
        try:
            recorder.start(recorder_ends(settings, home))
            process.report(lambda: made.told(recorder.status()), settings.seconds("log.status_every"))
            hanging.start()
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
            hanging.close()
            recorder.close()
            waking.close()
            kept.close()
            made.close()


def _awaited(
    process: Role, settings: Settings, opening: Callable[[], tuple[Kept, Owned]]
) -> tuple[Kept, Owned] | None:
    """A store on a server, as soon as that answers. None: told to end before."""
    waiting = Opening(process, opening)
    process.report(
        lambda: {
            "sink": settings.str("recorder.sink"),
            "fault": waiting.fault,
            "counters": {},
            "credit": {},
        },
        settings.seconds("log.status_every"),
    )
    return waiting.run()


def _commits(settings: Settings) -> CommitLimits:
    return CommitLimits(settings.int("recorder.commit_rows"), settings.seconds("recorder.commit_delay"))
