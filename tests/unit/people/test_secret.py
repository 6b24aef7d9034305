"""Passwords and random secrets."""

from __future__ import annotations

import threading

import pytest
from nacl import pwhash

from tabard.consumers.people import secret
from tabard.consumers.people.secret import (
    DECOY,
    MEMORY,
    OPERATIONS,
    Busy,
    Passwords,
    check_new,
    digest,
    fresh,
)
from tabard.errors import UsageError

GOOD = "correct horse battery"


@pytest.mark.threat("unknown-name")
def test_the_decoy_costs_what_a_password_costs() -> None:
    """Same way of hashing, same memory, same passes; no password is known that fits it."""
    own = Passwords().hash(GOOD)
    assert own.split("$")[:4] == DECOY.split("$")[:4]
    assert own.startswith("$argon2id$")
    assert f"m={MEMORY // 1024},t={OPERATIONS}," in own


def test_a_password_fits_itself_however_it_was_typed() -> None:
    """An accent may be one character or two; nothing else fits, the empty one neither."""
    passwords = Passwords()
    kept = passwords.hash("k\u00e4se und brot")
    assert passwords.fits(kept, "ka\u0308se und brot")
    assert not passwords.fits(kept, "kase und brot")
    assert not passwords.fits(kept, "")
    assert not passwords.fits("no hash at all", GOOD)


@pytest.mark.threat("unknown-name")
def test_for_nobody_as_much_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """One verification with the same parameters, for a name that there is and one that there is not; it never fits."""
    asked: list[bytes] = []

    def verify(kept: bytes, _given: bytes) -> bool:
        asked.append(kept)
        return True

    monkeypatch.setattr(pwhash.argon2id, "verify", verify)
    passwords = Passwords()
    assert not passwords.fits(None, GOOD)
    assert asked == [DECOY.encode()]


@pytest.mark.threat("login-flood")
def test_only_a_few_passwords_are_checked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each takes 64 MiB: who comes when all turns are taken is told so, and takes none."""
    begun, go_on = threading.Semaphore(0), threading.Event()

    def verify(_kept: bytes, _given: bytes) -> bool:
        begun.release()
        go_on.wait(60)
        return True

    monkeypatch.setattr(pwhash.argon2id, "verify", verify)
    passwords = Passwords(at_once=2, patience=0.0)
    threads = [threading.Thread(target=passwords.fits, args=(None, GOOD)) for _ in range(2)]
    for thread in threads:
        thread.start()
        assert begun.acquire(timeout=60)
    with pytest.raises(Busy):
        passwords.fits(None, GOOD)
    go_on.set()
    for thread in threads:
        thread.join()
    assert passwords.work == 2


@pytest.mark.parametrize("password", ["", "short", "x" * 300, "aaaaaaaaaaaa", "annann" * 2, "abababababab"])
def test_a_password_that_is_guessed_at_once_is_refused(password: str) -> None:
    """The error does not repeat it."""
    with pytest.raises(UsageError) as refused:
        check_new(password, "ann")
    assert not password or len(password) < 4 or password not in str(refused.value)


def test_random_secrets_differ_and_are_long() -> None:
    """256 bits, and 32 bytes of each are kept."""
    assert len({fresh() for _ in range(100)}) == 100
    assert len(fresh()) >= 43
    assert len(digest(fresh())) == 32
    assert secret.same("ä", "ä")
    assert not secret.same("a", "b")
    assert secret.derived("a", "x") != secret.derived("a", "y") != secret.derived("b", "y")
