"""The keys of one role: its own pair, whom it lets in at which end, and by which keys it knows whom it dials.

Answers come from the directory as it is now. What was answered is remembered until the next look that finds the directory changed, or
the time come at which a certificate begins or ends: so a revoked, removed or expired key has no say a second later, and where thousands
are connected a look costs nothing.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import Final, NamedTuple

from tabard.brokers import expected, rights
from tabard.brokers.expected import NOBODY, Expectations
from tabard.brokers.loop import Loop
from tabard.brokers.trust.certificates import RECORDER, Certificate
from tabard.brokers.trust.directory import Directory
from tabard.brokers.trust.files import Trust
from tabard.clock import Clock, SystemClock
from tabard.errors import RefusedError, TabardError, TrustError
from tabard.home import Home

LOOK_EVERY: Final = 1.0
"""Seconds between two looks whether keys or rosters changed, or somebody's certificate has ended."""
GRACE: Final = 86_400 * 1_000_000_000
"""Nanoseconds for which a role goes on with the key before at its connections, if that holds: neighbours who know of no other one
hear of the new key over those, and only so."""


_log = logging.getLogger(__name__)


class Changes(NamedTuple):
    """What a look found."""

    own: bool
    """The role's own key is another one: every connection has to be made anew."""
    ends: frozenset[str]
    """Ends at which somebody was let in who would not be now."""


class _Steady(NamedTuple):
    """What a directory said, and when it may say something else: it takes something in, or a time comes."""

    directory: Directory | None = None
    generation: int = -1
    since: int = 0
    until: int = 0


class Keyring:
    """The keys of one role of a home.

    Args:
        trust: the home's keys and rosters.
        role: what the key is for: ``node``, ``broker`` or ``recorder``.
        name: whose it is; of a recorder the sink, since its key may bear any name.
        zone: the zone that the settings say it is in.
        clock: tells the time that certificates are compared with.
        brokers: whom it dials.
    """

    def __init__(
        self, trust: Trust, role: str, name: str, zone: str, clock: Clock, brokers: Expectations
    ) -> None:
        self._trust = trust
        self._role = role
        self._name = name
        self.zone: Final = zone
        self._clock = clock
        self._brokers = brokers
        self.counters: Counter[str] = Counter()
        self._peers: dict[str, Certificate | None] = {}
        self._admitted: dict[str, set[bytes]] = {}
        self._known: dict[bytes, Certificate] = {}
        self._known_at = -1
        self._told = ""
        self._steady = _Steady()
        self._pairs = self._read_pairs()

    def _read_pairs(self) -> tuple[tuple[bytes, bytes], ...]:
        """The pair to be shown, and after it another one that holds as well: the key before, or the new one while that lingers."""
        mine = [file for file in self._trust.owned() if self._is_mine(file.certificate)]
        if not mine:
            return ()
        file = max(mine, key=lambda file: file.made)
        former = file.former
        now = self._clock.wall()
        old = self._trust.directory.by_key(former.public.key_id) if former is not None else None
        if former is None or not self._is_mine(old) or not self._holds(old, now):
            return (file.key.curve_pair(),)
        pairs = (file.key.curve_pair(), former.curve_pair())
        return pairs[::-1] if abs(now - file.made) < GRACE else pairs

    def _holds(self, certificate: Certificate | None, now: int) -> bool:
        return certificate is not None and self._trust.directory.holds(certificate, now)

    def _is_mine(self, own: Certificate | None) -> bool:
        if own is None or own.role != self._role:
            return False
        return self._name in own.sinks if own.role == RECORDER else own[1:3] == (self._name, self.zone)

    @property
    def trust(self) -> Trust:
        """The home's keys and rosters."""
        return self._trust

    def pair(self, endpoint: str) -> tuple[bytes, bytes]:
        """Public and secret key of the role, in Z85.

        Raises:
            RefusedError: the home has none for this role.
        """
        return self.pairs(endpoint)[0]

    def pairs(self, endpoint: str) -> tuple[tuple[bytes, bytes], ...]:
        """The same, and the other key that the role has, if there is one that holds. Raises RefusedError."""
        if not self._pairs:
            who = (
                f"a recorder of sink {self._name}" if self._role == RECORDER else f"{self._role} {self._name}"
            )
            raise RefusedError(
                f"no key of {who}",
                expected=f"a key of {who} of {self.zone} in this home",
                found="keys of others only",
                where=endpoint,
                hint=f"Where the authority of {self.zone} is kept: tabard node add; then here: tabard join FILE",
            )
        return self._pairs

    # --- who comes -------------------------------------------------------------------------

    def judge(self, end: str, key: bytes) -> bool:
        """Whether a key (Z85) may connect to an end; refusals are counted by their reason."""
        peer = self._trust.directory.by_curve(key, self._clock.wall())
        reason = self._why_not(key) if peer is None else rights.refusal(end, peer, self.zone)
        if reason is not None:
            self.counters[f"{end} refused: {reason}"] += 1
            return False
        self._admitted.setdefault(end, set()).add(key)
        return True

    def _why_not(self, key: bytes) -> str:
        """Why a key does not hold, in words for a counter."""
        directory = self._trust.directory
        if self._known_at != directory.generation:
            self._known = {each.key.curve: each for each in directory.every()}
            self._known_at = directory.generation
        known = self._known.get(key)
        if known is None:
            return rights.UNKNOWN_KEY
        try:
            directory.check(known, self._clock.wall())
        except TrustError as error:
            return rights.ENDED.get(error.reason, rights.UNKNOWN_KEY)
        return rights.UNKNOWN_KEY

    def peer(self, user: str) -> Certificate | None:
        """Whose key a connection has that was let in; None when it does not hold any more."""
        try:
            return self._peers[user]
        except KeyError:
            peer = self._trust.directory.by_curve(user.encode(), self._clock.wall())
            self._peers[user] = peer
            return peer

    # --- who is dialled --------------------------------------------------------------------

    def served_by(self, endpoint: str) -> list[Certificate]:
        """The certificates that the broker at an endpoint may show, the newest first. Raises TabardError."""
        asked = self._brokers.get(endpoint, NOBODY)
        try:
            return expected.found(asked, self.zone, self._trust.directory, self._clock.wall())
        except TabardError as error:
            raise RefusedError(
                error.what, expected=error.expected, found=error.found, where=endpoint, hint=error.hint
            ) from error

    # --- what changes ----------------------------------------------------------------------

    def look(self) -> Changes:
        """Read again what changed on disk, and see who is not to be heard any more."""
        try:
            self._trust.reload()
        except TrustError as error:  # what was known before still holds
            if str(error) != self._told:
                _log.error("%s", error)
            self._told = str(error)
        else:
            self._told = ""
        pairs = self._read_pairs()
        own = bool(pairs) and pairs[:1] != self._pairs[:1]
        if pairs:
            self._pairs = pairs
        return Changes(own, self._ended(self._trust.directory, self._clock.wall()))

    def _ended(self, directory: Directory, now: int) -> frozenset[str]:
        """Ends with somebody who would not be let in now. Asked again about each only when that can have changed."""
        steady = self._steady
        same = steady.directory is directory and steady.generation == directory.generation
        if same and steady.since <= now < steady.until:
            return frozenset()
        self._steady = _Steady(directory, directory.generation, now, directory.steady_until(now))
        self._peers.clear()
        return frozenset(
            end for end, keys in self._admitted.items() if any(self._is_out(end, key, now) for key in keys)
        )

    def _is_out(self, end: str, key: bytes, now: int) -> bool:
        peer = self._trust.directory.by_curve(key, now)
        return peer is None or rights.refusal(end, peer, self.zone) is not None

    def forget(self, end: str) -> None:
        """Everybody at an end was cut off."""
        self._admitted.pop(end, None)


def keys_of(
    home: Home, role: str, name: str, zone: str, brokers: Expectations, loop: Loop
) -> tuple[Keyring, Loop] | None:
    """What `Sockets` takes as keys of a role of this home; None where the home has none. Raises TrustError."""
    clock = SystemClock()
    trust = Trust.load(home, clock)
    return None if trust is None else (Keyring(trust, role, name, zone, clock, brokers), loop)
