"""Taking a bundle into a home: everything is verified before anything is written, and joining again completes what was cut off.

* A home without keys gets all of it in one step.
* A home below the same root takes newer rosters and newer keys; the key that one takes the place of is kept as the former
  one. An older file changes nothing.
* Another root is refused, unless it is to take the place of the pinned one: then the old ``trust/`` is moved aside.
"""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from tabard import files
from tabard.brokers.trust import reasons
from tabard.brokers.trust.bundle import MAX_BUNDLE, Bundle, decode_bundle
from tabard.brokers.trust.certificates import Certificate, read
from tabard.brokers.trust.directory import Directory
from tabard.brokers.trust.files import Trust, write_all
from tabard.brokers.trust.keyfiles import KeyFile
from tabard.brokers.trust.keys import shown_id
from tabard.brokers.trust.locking import lock
from tabard.brokers.trust.private import read_private
from tabard.brokers.trust.rosters import read_roster
from tabard.clock import Clock, SystemClock
from tabard.errors import RefusedError, TrustError
from tabard.home import Home

ADDED: Final = "added"
RENEWED: Final = "renewed"
KNOWN: Final = "known"
OLDER: Final = "older"


class Joined(NamedTuple):
    """What became of one part of a bundle."""

    did: str
    """``added``, ``renewed`` (a newer one took its place), ``known`` or ``older`` (nothing changed)."""
    certificate: Certificate
    """Of a key its own; of a roster that of the zone's authority."""
    roster: int
    """Number of the roster; 0 for a key."""


def join(home: Home, path: Path, *, replace_root: bool = False, clock: Clock | None = None) -> list[Joined]:
    """Take in the bundle in a file, and say what became of each part.

    Raises TrustError when it is not to be believed, RefusedError when it is of another root, OSError.
    """
    clock = clock or SystemClock()
    bundle = decode_bundle(read_private(path, MAX_BUNDLE), str(path))
    now = clock.wall()
    directory = _verified(bundle, now, str(path))
    with lock(home):
        trust = Trust.load(home, clock)
        aside: Path | None = None
        if trust is not None and not _leads(trust.directory, bundle, now):
            if not replace_root:
                raise _another_root(trust, directory, path)
            bundle = bundle._replace(keys=tuple(_with_former(trust, key) for key in bundle.keys))
            aside = home.path / time.strftime("trust.before-%Y%m%dT%H%M%SZ", time.gmtime(now / 1e9))
            home.trust.rename(aside)
            trust = None
        if trust is not None:
            return _merged(trust, bundle, now)
        try:
            write_all(home, bundle.root, list(directory.rosters().values()), bundle.keys)
        except OSError:
            if aside is not None:
                aside.rename(home.trust)
            raise
        files.sync(home.path)
    return [
        *(
            Joined(ADDED, _authority(directory, zone), directory.version(zone))
            for zone in directory.rosters()
        ),
        *(Joined(ADDED, key.certificate or directory.root, 0) for key in bundle.keys),
    ]


def _leads(known: Directory, bundle: Bundle, now: int) -> bool:
    """Whether the root of a bundle is the pinned one, its successor by its own word, or was before it."""
    root = read(bundle.root).certificate
    if known.pinned == bundle.root or known.roots.was(root.key_id):
        return True
    trial = Directory(known.pinned, min(max(now, known.root.since), known.root.until - 1))
    for roster in bundle.rosters:
        if read_roster(roster).roster.zone == known.root.zone:
            with suppress(TrustError):
                trial.take_roster(roster, now)
    return trial.pinned == bundle.root


def _verified(bundle: Bundle, now: int, where: str) -> Directory:
    """A directory of the bundle alone. Raises TrustError unless all of it holds now."""
    try:
        directory = Directory(bundle.root, now)
        for roster in bundle.rosters:
            directory.take_roster(roster, now)
        for key in bundle.keys:
            _check_key(directory, key, now)
    except TrustError as error:
        error.where = error.where or where
        raise
    return directory


def _check_key(directory: Directory, key: KeyFile, now: int) -> None:
    if key.chain:
        directory.take(key.chain, now)
    elif key.key.public != directory.root.key:
        raise TrustError(
            "a key without certificates",
            reason=reasons.FOREIGN,
            expected="certificates below the root",
            found=f"{key.role} {key.path}",
        )


def _merged(trust: Trust, bundle: Bundle, now: int) -> list[Joined]:
    done: list[Joined] = []
    directory = trust.directory
    pinned = directory.pinned
    for roster in bundle.rosters:
        zone = read_roster(roster).roster.zone
        before = directory.version(zone)
        same = directory.rosters().get(zone) == roster
        if directory.take_roster(roster, now):
            trust.store_roster(roster)
            done.append(
                Joined(RENEWED if before else ADDED, _authority(directory, zone), directory.version(zone))
            )
        else:
            done.append(Joined(KNOWN if same else OLDER, _authority(directory, zone), before))
    if directory.pinned != pinned:
        trust.store_root()
    for key in bundle.keys:
        _check_key(directory, key, now)  # again: the rosters of this home may be newer, and revoke it
        new, old = key.certificate or directory.root, trust.certificate(key.role, key.path)
        if old is None:
            did = ADDED
        elif new.serial == old.serial:
            did = KNOWN
        else:
            did = RENEWED if new.serial > old.serial else OLDER
        if did in {ADDED, RENEWED}:
            trust.store_key(_with_former(trust, key)._replace(made=now))
        done.append(Joined(did, new, 0))
    return done


def _with_former(trust: Trust, key: KeyFile) -> KeyFile:
    """The key with the one that it takes the place of."""
    old = trust.key(key.role, key.path)
    if old is None or old == key.key:
        return key._replace(former=trust.former(key.role, key.path)) if old else key
    return key._replace(former=old)


def _authority(directory: Directory, zone: str) -> Certificate:
    roster = directory.roster(zone)
    found = directory.by_key(roster.issuer) if roster else None
    return found or directory.root


def _another_root(trust: Trust, directory: Directory, path: Path) -> RefusedError:
    here = trust.directory.root
    return RefusedError(
        "this home believes another root",
        expected=f"a file by the root {shown_id(here.key_id)} ({here})",
        found=f"root {shown_id(directory.root.key_id)} ({directory.root})",
        where=str(path),
        hint="Where the whole installation got a new root, and this file came to you on a way that you trust: "
        "tabard join --new-root FILE",
    )
