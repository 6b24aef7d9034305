"""A home's ``trust/``: its keys, its pinned root, and the rosters that it knows.

=========================  ================================================================
``root``                   the pinned certificate of the root
``rosters/ZONE``           the newest roster of a zone, its path joined by ``+``
``keys/ROLE.NAME.key``     a key of this home with its certificates, see `keyfiles`
=========================  ================================================================

Each file is written whole or not at all, mode 0600 in a directory of mode 0700; ``trust`` itself appears in one step. A key
that other users could have read is not used, and neither are files that they could have written.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final

from tabard import files
from tabard.brokers.trust import reasons
from tabard.brokers.trust.authority import Authority, Wanted, certify_root
from tabard.brokers.trust.certificates import MAX_CERTIFICATE, ZONE, Certificate, read
from tabard.brokers.trust.directory import Directory
from tabard.brokers.trust.keyfiles import MAX_KEY_FILE, KeyFile, decode_key, encode_key
from tabard.brokers.trust.keys import PrivateKey
from tabard.brokers.trust.locking import lock
from tabard.brokers.trust.private import check_private, read_private, unsafe
from tabard.brokers.trust.rosters import MAX_ROSTER, read_roster
from tabard.clock import Clock, SystemClock
from tabard.errors import RefusedError, TrustError
from tabard.home import Home

ROOT: Final = "root"
ROSTERS: Final = "rosters"
KEYS: Final = "keys"
SUFFIX: Final = ".key"
_JOINT: Final = "+"
"""Stands for the / of a zone in a file's name; no name has one."""
_REJOIN: Final = "Put it back from a backup, or join a file with newer rosters: tabard keys roster"
MAX_FILES: Final = 10_000


class Trust:
    """The keys of a home, and whom it believes. Read again by `reload`; written by `store_key` and `store_roster`."""

    def __init__(self, home: Home, clock: Clock) -> None:
        self.home: Final = home
        self._clock: Final = clock
        self._keys: dict[tuple[str, str], KeyFile] = {}
        self._seen: dict[str, tuple[int, int, int]] = {}
        self._root = b""
        """The file `ROOT` as it was read."""
        self.directory: Directory
        self.edition = 0
        """Rises whenever something is different, for whoever shares this with others."""
        self.faults: tuple[TrustError, ...] = ()
        """What was read and does not hold at the moment: a certificate that has expired, a roster by who is no authority."""

    @classmethod
    def load(cls, home: Home, clock: Clock | None = None) -> Trust | None:
        """The trust of a home; None when it has no keys.

        Raises TrustError for files that are damaged, or that other users could have read or written. Whatever only does
        not hold at the moment is in `faults`: a clock that is not set yet keeps nobody from journaling.
        """
        if not os.path.lexists(home.trust):
            return None
        trust = cls(home, clock or SystemClock())
        trust._read(trust._stat())
        return trust

    def reload(self) -> bool:
        """Read again what changed on disk; whether anything did. Raises TrustError and keeps what was known before."""
        seen = self._stat()
        if seen == self._seen and not self.faults:
            return False
        before = self._seen, self.faults
        self._read(seen)
        if before[0] == seen and len(before[1]) == len(self.faults):
            return False
        self.touch()
        return True

    def touch(self) -> None:
        """Something was taken into the directory that is not on disk yet."""
        self.edition += 1

    def key(self, role: str, name: str) -> PrivateKey | None:
        """The key of a role of this home, None when it has none. ``name`` is a zone's path for the role ``zone``."""
        file = self._keys.get((role, name))
        return file.key if file else None

    def former(self, role: str, name: str) -> PrivateKey | None:
        """The key before the last rotation, as long as it is kept."""
        file = self._keys.get((role, name))
        return file.former if file else None

    def chain(self, role: str, name: str) -> tuple[bytes, ...]:
        """The certificates of a key from below the root down, renewed ones if a roster has them; empty without a key."""
        file = self._keys.get((role, name))
        if file is None:
            return ()
        certificate = self.directory.by_key(file.key.public.key_id)
        if certificate is None or (certificate.role, certificate.path) != (role, name):
            return file.chain
        try:
            return self.directory.chain(certificate, self._clock.wall())
        except TrustError:
            return file.chain

    def certificate(self, role: str, name: str) -> Certificate | None:
        """The certificate of a key of this home; None without one. A root's is the pinned one."""
        chain = self.chain(role, name)
        if chain:
            return read(chain[-1]).certificate
        return self.directory.root if (role, name) in self._keys else None

    def owned(self) -> list[KeyFile]:
        """All keys of this home, by role and name."""
        return [self._keys[which] for which in sorted(self._keys)]

    def authority(self, zone: str) -> Authority:
        """The authority of a zone. Raises RefusedError when its key is not in this home."""
        key, certificate = self.key(ZONE, zone), self.certificate(ZONE, zone)
        if key is not None and certificate is not None and key.public != certificate.key:
            key = self.former(ZONE, zone)  # a rotation of the root's key was begun and not finished
            key = key if key is not None and key.public == certificate.key else None
        if key is None or certificate is None:
            here = ", ".join(file.path for file in self.owned() if file.role == ZONE) or "none"
            raise RefusedError(
                f"the authority of {zone} is not in this home",
                expected="its key, which tabard init or tabard zone add made",
                found=f"keys of these zones: {here}",
                where=str(self.home.trust),
                hint="Run it where that key is",
            )
        return Authority(certificate, key, self.directory)

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Hold the lock of the home's trust while the body changes it, and read it again before and after.

        Raises AlreadyRunning when another command holds it, TrustError as `reload`.
        """
        with lock(self.home):
            self.reload()
            yield
            self.reload()

    def store_key(self, file: KeyFile) -> None:
        """Write a key. Raises OSError, leaving what was there."""
        folder = self.home.trust / KEYS
        files.write(folder / f"{file.role}.{_flat(file.path)}{SUFFIX}", encode_key(file))
        files.sync(folder)

    def store_roster(self, roster: bytes) -> None:
        """Write a roster. Raises OSError, leaving what was there."""
        folder = self.home.trust / ROSTERS
        files.write(folder / _flat(read_roster(roster).roster.zone), roster)
        files.sync(folder)

    def store_root(self) -> None:
        """Write which root is pinned. Raises OSError, leaving what was there."""
        files.write(self.home.trust / ROOT, self.directory.pinned)
        files.sync(self.home.trust)

    def write_roster(self, zone: str) -> None:
        """Write the newest roster of a zone that is known here or on disk, unless it is there; nobody is waited for.

        What is on disk and is refused for now stays unless its number is lower: it may revoke a key.
        Raises AlreadyRunning when another process changes the trust just now, HomeError, TrustError, OSError.
        """
        path = self.home.trust / ROSTERS / _flat(zone)
        with lock(self.home, patience=0.0):
            written = read_private(path, MAX_ROSTER) if os.path.lexists(path) else None
            older = True
            if written is not None:
                try:
                    self.directory.take_roster(written, self._clock.wall(), own=True)
                except TrustError as error:
                    version = read_roster(written).roster.version if error.reason not in reasons.VOID else 0
                    older = version < self.directory.version(zone)
            roster = self.directory.rosters().get(zone)
            if roster is not None and written != roster and older:
                self.store_roster(roster)
            self.reload()

    def drop_key(self, role: str, name: str) -> None:
        """Remove a key from this home. Raises OSError."""
        folder = self.home.trust / KEYS
        files.remove(folder / f"{role}.{_flat(name)}{SUFFIX}")
        files.sync(folder)

    # --- reading --------------------------------------------------------------------------------------

    def _read(self, seen: dict[str, tuple[int, int, int]]) -> None:
        folder = self.home.trust
        now = self._clock.wall()
        root = read_private(folder / ROOT, MAX_CERTIFICATE)
        faults: list[TrustError] = []
        rosters = [
            (path, read_private(path, MAX_ROSTER))
            for path in sorted(
                _listed(folder / ROSTERS), key=lambda path: (path.name.count(_JOINT), path.name)
            )
        ]
        keys = {path: self._key_file(path) for path in _listed(folder / KEYS) if path.name.endswith(SUFFIX)}
        # All of it was read: what follows only adds to what is known.
        directory = self._directory(root, now)
        for path, roster in rosters:
            _held(faults, path, partial(directory.take_roster, roster, now, own=True))
        for path, file in keys.items():
            known = directory.by_key(file.key.public.key_id)
            if file.chain and not (known is not None and directory.holds(known, now)):
                _held(faults, path, partial(directory.take, file.chain, now))
            elif file.chain:
                with suppress(TrustError):  # rosters say more of it by now
                    directory.take(file.chain, now)
            elif file.key.public != directory.root.key:
                faults.append(_no_root(path, file))
        self.directory, self._seen, self.faults, self._root = directory, seen, tuple(faults), root
        signed = directory.rosters().get(directory.root.zone)
        if directory.pinned != root and any(roster == signed for _path, roster in rosters):
            # The root that was pinned has named another one, and what proves it is on disk.
            with suppress(OSError):
                self.store_root()
        self._keys = {(file.role, file.path): file for file in keys.values()}

    def _directory(self, root: bytes, now: int) -> Directory:
        """The one that is known, with what it learned off the wire, unless the root is another one."""
        if self._seen and root in {self._root, self.directory.pinned}:
            return self.directory
        pinned = read(root).certificate
        return Directory(root, min(max(now, pinned.since), pinned.until - 1))

    @staticmethod
    def _key_file(path: Path) -> KeyFile:
        return decode_key(read_private(path, MAX_KEY_FILE), str(path))

    def _stat(self) -> dict[str, tuple[int, int, int]]:
        folder = self.home.trust
        check_private(folder)
        found = {}
        try:
            for path in (folder / ROOT, *_listed(folder / ROSTERS), *_listed(folder / KEYS)):
                with suppress(FileNotFoundError):
                    state = path.lstat()
                    found[str(path)] = (state.st_mtime_ns, state.st_ino, state.st_mode)
        except OSError as error:  # as when strangers have taken all descriptors
            raise TrustError(
                "the keys of this home cannot be looked at",
                reason=reasons.UNSAFE,
                expected="a directory that can be read",
                found=error.strerror or str(error),
                where=str(folder),
            ) from error
        return found


def found(home: Home, zone: str, members: Sequence[Wanted], clock: Clock | None = None) -> Trust:
    """Make the root authority of ``zone`` and keys for ``members`` of it and of zones below, which get authorities too.

    Raises RefusedError when the home has keys already, TrustError for a member outside of the zone, OSError.
    """
    clock = clock or SystemClock()
    home.ensure()
    with lock(home):
        _refuse_second(home)
        now = clock.wall()
        key = PrivateKey.generate()
        root = certify_root(zone, key, now)
        made = [KeyFile(ZONE, zone, now, key, ())]
        rosters: list[bytes] = []
        directory = Directory(root, now)
        for path in _zones(zone, members):
            above = (
                Authority(directory.root, key, directory)
                if path == zone
                else _child(made, directory, path, now)
            )
            wanted = [each for each in members if each.zone == path and each.role != ZONE]
            below = [
                Wanted(ZONE, each, each) for each in _zones(zone, members) if each.rpartition("/")[0] == path
            ]
            added = []
            for each in (*below, *wanted):
                own = PrivateKey.generate()
                certificate, encoded = above.certify(each, own, now)
                chain = (*(directory.chain(above.certificate, now)), encoded)
                directory.take(chain, now)
                made.append(KeyFile(certificate.role, certificate.path, now, own, chain))
                added.append(encoded)
            rosters.append(above.roster(now, added))
            directory.take_roster(rosters[-1], now)
        write_all(home, root, rosters, made)
    loaded = Trust.load(home, clock)
    assert loaded is not None  # it was written just now
    return loaded


def write_all(home: Home, root: bytes, rosters: Sequence[bytes], made: Sequence[KeyFile]) -> None:
    """Write a whole ``trust/``, which appears in one step. The caller holds the lock. Raises OSError."""
    temporary = home.path / f".trust.{os.getpid()}"
    files.remove_folder(temporary)
    try:
        for folder in (temporary, temporary / ROSTERS, temporary / KEYS):
            folder.mkdir(mode=0o700)
        files.write(temporary / ROOT, root)
        for roster in rosters:
            files.write(temporary / ROSTERS / _flat(read_roster(roster).roster.zone), roster)
        for file in made:
            files.write(temporary / KEYS / f"{file.role}.{_flat(file.path)}{SUFFIX}", encode_key(file))
        for folder in (temporary / ROSTERS, temporary / KEYS, temporary):
            files.sync(folder)
        temporary.rename(home.trust)
        files.sync(home.path)
    except OSError:
        files.remove_folder(temporary)
        raise


def _refuse_second(home: Home) -> None:
    if os.path.lexists(home.trust):
        raise RefusedError(
            "this home has keys already",
            expected="a home without keys",
            found=str(home.trust),
            hint="See them with: tabard keys list. To begin anew, move that directory away: "
            "nothing that it certified is believed by the new root's hosts",
        )


def _zones(root: str, members: Sequence[Wanted]) -> list[str]:
    """The root's zone and all on the way to those of the members, outer ones last. Raises TrustError."""
    needed = {root}
    for member in members:
        zone = member.zone
        while zone != root:
            needed.add(zone)
            zone = zone.rpartition("/")[0]
            if not zone:
                raise TrustError(
                    "a member outside of the root's zone",
                    reason=reasons.EXCEEDS,
                    expected=f"a zone within {root}",
                    found=f"{member.role} {member.name} of {member.zone}",
                )
    return sorted(needed, key=lambda path: (path.count("/"), path))


def _child(made: Sequence[KeyFile], directory: Directory, path: str, now: int) -> Authority:
    file = next(each for each in made if (each.role, each.path) == (ZONE, path))
    return Authority(directory.take(file.chain, now), file.key, directory)


def _listed(folder: Path) -> list[Path]:
    """The files of a folder but hidden ones: those were being written when the power went. Raises TrustError."""
    check_private(folder)
    found = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    if len(found) > MAX_FILES:
        raise unsafe(folder, f"at most {MAX_FILES} files", f"{len(found)}")
    return found


def _held(faults: list[TrustError], path: Path, take: Callable[[], object]) -> None:
    """Take something in; what does not hold becomes a fault."""
    try:
        take()
    except TrustError as error:
        if error.reason in {
            reasons.MALFORMED,
            reasons.FORGED,
        }:  # a roster that cannot be read may revoke a key
            raise TrustError(
                error.what,
                reason=error.reason,
                expected=error.expected,
                found=error.found,
                where=str(path),
                hint=_REJOIN,
            ) from error
        faults.append(error)


def _flat(path: str) -> str:
    return path.replace("/", _JOINT)


def _no_root(path: Path, file: KeyFile) -> TrustError:
    return TrustError(
        f"a key of {file.role} {file.path} without certificates",
        reason=reasons.FOREIGN,
        expected="the key of the pinned root, or certificates",
        found="neither",
        where=str(path),
    )
