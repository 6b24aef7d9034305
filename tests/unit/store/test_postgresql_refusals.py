"""A server that refuses is asked again later and later, and at once with another password."""

from __future__ import annotations

import itertools

import pytest

from tabard.consumers.store.layout import RECORDS
from tabard.consumers.store.postgresql.read import PostgresReader
from tabard.consumers.store.postgresql.refusals import LONGEST, Refusals
from tabard.consumers.store.postgresql.server import Server
from tabard.consumers.store.postgresql.store import PostgresStore
from tabard.errors import StoreAway, StoreError
from tabard.ops.bench.postgres import Postgres
from tests.passwords import asking

NO = StoreError("the server cannot be reached", found="FATAL: no", where="store.url", hint="Mend it")


class Clock:
    """Moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Of one test."""
    return Clock()


@pytest.fixture
def refusals(clock: Clock) -> Refusals:
    """Empty."""
    return Refusals(clock)


def tries(refusals: Refusals, clock: Clock, seconds: int, password: str = "wrong") -> list[float]:
    """When somebody who tries each second asked the server, which refuses."""
    asked = []
    for _ in range(seconds):
        try:
            refusals.check("url", password)
        except StoreError:
            pass
        else:
            asked.append(clock.now)
            refusals.note("url", password, NO)
        clock.now += 1
    return asked


def test_it_is_asked_less_and_less_often(refusals: Refusals, clock: Clock) -> None:
    """Down to once a minute, and never given up."""
    asked = tries(refusals, clock, 600)
    pauses = [later - earlier for earlier, later in itertools.pairwise(asked)]
    assert pauses[:7] == [1, 1, 2, 4, 8, 16, 32]
    assert set(pauses[7:]) == {LONGEST}


def test_another_password_is_tried_at_once(refusals: Refusals, clock: Clock) -> None:
    """And what was said of the old one is forgotten."""
    tries(refusals, clock, 100)
    with pytest.raises(StoreError):
        refusals.check("url", "wrong")
    refusals.check("url", "right")
    refusals.note("url", "right", None)
    tries(refusals, clock, 100, "third")
    refusals.check("url", "wrong")


@pytest.mark.parametrize("came", [None, StoreAway("nobody answers")])
def test_whoever_was_let_in_or_met_nobody_begins_anew(
    refusals: Refusals, clock: Clock, came: StoreError | None
) -> None:
    """A server that is away refuses nobody."""
    tries(refusals, clock, 100)
    clock.now += LONGEST
    refusals.note("url", "wrong", came)
    assert tries(refusals, clock, 3)[:2] == [clock.now - 3, clock.now - 2]


def test_what_was_said_is_said_again_with_when_it_is_asked(refusals: Refusals, clock: Clock) -> None:
    """And other servers are not concerned."""
    for _ in range(3):
        refusals.note("url", "wrong", NO)
    with pytest.raises(StoreError) as caught:
        refusals.check("url", "wrong")
    assert str(caught.value) == (
        "store.url: the server cannot be reached: found FATAL: no (asked again in 2 s, at once for another password)."
        " Mend it"
    )
    refusals.check("another", "wrong")


def test_a_process_asks_a_server_as_one(server: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it opens, and however often: the server's log has a few lines of it; the right password is taken at once."""
    url = asking(server, "keeper", "right")
    PostgresStore.open(url, password="right").close()
    said = ["wrong"]
    reader = PostgresReader(url, lambda: said[0])
    writer = Server(RECORDS, url, password=lambda: said[0])
    for _ in range(40):
        with pytest.raises(StoreError, match="password authentication failed"):
            reader.last_id()
        with pytest.raises(Exception, match="tabard store password"):
            writer.connection.cursor()
    log = (server.socket / "log").read_text()
    asked = log.count("password authentication failed")
    assert 2 <= asked <= 12, asked
    said[0] = "right"
    assert reader.last_id() == 0
    with writer.connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    reader.close()
    writer.close()
