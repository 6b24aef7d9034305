"""Whatever a server does, each recipient of each mail has it, or is listed as given up, or is still waited for."""

from __future__ import annotations

import logging
import tempfile
from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tabard.mail import Entry, Queue, Retry, Server, session
from tabard.mail.compose import compose
from tabard.mail.flush import Flusher
from tabard.mail.session import Outcome, ServerAway, SessionLost
from tests.unit.mail.conftest import Hands

PEOPLE = ("a@example.org", "b@example.org", "c@example.org")


class Moody:
    """A server that does what it is told by a list of moods, and is kind when the list is over."""

    def __init__(self, moods: list[str]) -> None:
        self.moods = moods
        self.has: Counter[tuple[str, str]] = Counter()
        self.unsure: set[str] = set()
        """Mails whose connection broke after the server had them."""

    def mood(self) -> str:
        """The next one."""
        return self.moods.pop(0) if self.moods else "yes"

    def session(self, server: Server) -> Moody:
        """In the place of a Session."""
        if self.mood() == "away":
            raise ServerAway("no")
        return self

    broken = False

    def close(self) -> None:
        """Nothing to give back."""

    def hand_over(self, entry: Entry, raw: bytes) -> Outcome:
        """As a Session does it, one mood for each recipient and one for the answer to the mail."""
        outcome = Outcome()
        for recipient in entry.recipients:
            match self.mood():
                case "never":
                    outcome.refused[recipient] = "550 no"
                case "later":
                    outcome.later[recipient] = "450 later"
                case "lost":
                    raise SessionLost("gone")
                case _:
                    outcome.accepted.append(recipient)
        if not outcome.accepted:
            return outcome
        self.has.update((entry.id, recipient) for recipient in outcome.accepted)
        if self.mood() == "lost":
            self.unsure.add(entry.id)
            raise SessionLost("gone with it")
        return outcome


@settings(max_examples=60)
@given(
    st.lists(st.sampled_from(["yes", "never", "later", "lost", "away"]), max_size=40),
    st.lists(st.integers(1, 3), min_size=1, max_size=4),
    st.integers(),
)
def test_each_recipient_is_accounted_for(moods: list[str], mails: list[int], seed: int) -> None:
    """After every pass; at the end all have it or are given up, and twice only where nobody could know."""
    clock, moody = Hands(), Moody(list(moods))
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "Session", moody.session)
        queue = Queue(folder)
        retry = Retry(10.0, 100.0, 1e9)
        flusher = Flusher(queue, Server("x"), retry, clock, Random(seed), logging.getLogger("moody"))
        wanted = set()
        for people in mails:
            now = clock.wall()
            mail = compose(
                sender="s@example.org", to=PEOPLE[:people], subject="s", text="t", now=now, limit=10**6
            )
            queue.put(mail, now)
            wanted |= {(mail.id, recipient) for recipient in mail.recipients}
        waiting = wanted
        for _ in range(60):
            report = flusher.flush()
            waiting = {(entry.id, one) for entry in queue.entries() for one in entry.recipients}
            failed = {(entry.id, one) for entry in queue.entries(failed=True) for one in entry.recipients}
            assert set(moody.has) | waiting | failed == wanted
            assert not waiting & failed
            assert report.waiting == len(queue.entries())
            if not waiting:
                break
            clock.pass_by(100)
        assert not waiting
        assert not {name for (name, _), times in moody.has.items() if times > 1} - moody.unsure
