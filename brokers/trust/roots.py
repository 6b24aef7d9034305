"""The root that is pinned, those before it, and how a home comes from one to the next. Pure.

A root certifies itself, so nobody above it can replace its key. The old key does: the *succession* is a certificate of the root's
own zone for the new key, issued by the old one, with the word of the new key as any certificate has it. It stands among the members of
the first roster that the new key signs, with what each root says of itself, and in each one after that; so it travels as rosters do.

* A home follows from the root that it has, step by step, to the one that signed the roster, and pins that. It never goes back:
  what an old root signs afterwards, another succession above all, counts for nothing.
* What an old root certified is believed as long as its certificate holds and the new root does not revoke it: hosts may
  come over one by one.
* Whoever has an old root's key could have named a successor before its owner did. Then only beginning anew helps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from tabard.brokers.trust import reasons
from tabard.brokers.trust.certificates import (
    ZONE,
    Certificate,
    Encoded,
    check_succession,
    check_time,
    read,
    verify_root,
)
from tabard.errors import TrustError

MOST: Final = 64
"""Roots of one installation, one after the other."""


class Known(NamedTuple):
    """A certificate that was verified, as such and as it travels."""

    certificate: Certificate
    encoded: bytes


class Roots:
    """Of one home."""

    def __init__(self, root: bytes, now: int) -> None:
        """Pin ``root``. Raises TrustError when it does not certify itself, or is not valid now."""
        found = read(root)
        verify_root(found)
        check_time(found.certificate, now)
        self.now = Known(found.certificate, root)
        self.former: tuple[Known, ...] = ()

    @property
    def zone(self) -> str:
        """The zone that they are of."""
        return self.now.certificate.zone

    def all(self) -> list[Certificate]:
        """The pinned one first."""
        return [self.now.certificate, *(each.certificate for each in self.former)]

    def was(self, key_id: bytes) -> bool:
        """Whether it is the key of a root before the pinned one."""
        return any(each.certificate.key_id == key_id for each in self.former)

    def is_root(self, certificate: Certificate) -> bool:
        """Whether it is of the root's own zone, which no zone certifies."""
        return certificate.role == ZONE and certificate.zone == self.zone

    def followed(self, members: Sequence[bytes], issuer: bytes, now: int) -> Roots | None:
        """The roots of whoever goes from the pinned one to that with the key ``issuer``, by the successions among ``members``.

        None when they do not lead there. Raises TrustError for one on the way that is forged or does not hold now.
        """
        said = [read(each) for each in members]
        mine = [each for each in said if self.is_root(each.certificate)]
        at, passed = self.now, [*self.former]
        while at.certificate.key_id != issuer:
            step = next((each for each in mine if _goes_on(each, at.certificate, passed)), None)
            own = step and next((each for each in mine if _is_own(each, step.certificate)), None)
            if step is None or own is None or len(passed) >= MOST:
                return None
            check_time(at.certificate, now)
            check_succession(step, at.certificate)
            check_time(step.certificate, now)
            verify_root(own)
            check_time(own.certificate, now)
            passed.insert(0, at)
            at = Known(own.certificate, members[said.index(own)])
        found = Roots.__new__(Roots)
        found.now, found.former = at, tuple(passed)
        return found

    def with_former(self, members: Sequence[bytes]) -> Roots:
        """The same, with the former roots that a roster of the pinned one names. Raises TrustError for what is none."""
        known = {each.certificate.key_id for each in (self.now, *self.former)}
        former = list(self.former)
        for encoded in members:
            found = read(encoded)
            own = found.certificate.issuer == found.certificate.key_id
            if not self.is_root(found.certificate) or not own or found.certificate.key_id in known:
                continue
            verify_root(found)
            known.add(found.certificate.key_id)
            former.append(Known(found.certificate, encoded))
        if len(former) > MOST:
            raise TrustError(
                "too many roots", reason=reasons.CROWDED, expected=f"at most {MOST}", found=f"{len(former)}"
            )
        again = Roots.__new__(Roots)
        again.now, again.former = self.now, tuple(former)
        return again


def _goes_on(found: Encoded, root: Certificate, passed: Sequence[Known]) -> bool:
    key_id = found.certificate.key_id
    back = any(each.certificate.key_id == key_id for each in passed)
    return found.certificate.issuer == root.key_id and key_id != root.key_id and not back


def _is_own(found: Encoded, successor: Certificate) -> bool:
    return found.certificate.issuer == found.certificate.key_id == successor.key_id
