"""Mail servers, clocks and queues for the tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tabard.mail import Mailer, Retry
from tests.unit.mail.post import Post


class Hands:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 1_800_000_000_000_000_000

    def monotonic(self) -> float:
        """Seconds."""
        return self.now / 1e9

    def wall(self) -> int:
        """Nanoseconds; no two readings are the same, as with a real one."""
        self.now += 1
        return self.now

    def pass_by(self, seconds: float) -> None:
        """Move it."""
        self.now += round(seconds * 1e9)


@pytest.fixture
def clock() -> Hands:
    return Hands()


@pytest.fixture
def make_post() -> Iterator[Callable[..., Post]]:
    """Makes servers that are ended with the test."""
    made: list[Post] = []

    def make(**options: Any) -> Post:
        post = Post(**options)
        made.append(post)
        post.start()
        return post

    yield make
    for post in made:
        post.close()


@pytest.fixture
def post(make_post: Callable[..., Post]) -> Post:
    """A server that wants STARTTLS and a login."""
    return make_post()


@pytest.fixture
def make_mailer(tmp_path: Path, clock: Hands) -> Callable[..., Mailer]:
    """Makes mailers on one queue, without a thread unless asked for."""

    def make(post: Post, *, server: dict[str, Any] | None = None, **options: Any) -> Mailer:
        given = {
            "sender": "Shop <shop@example.org>",
            "to": ["ops@example.org"],
            "retry": Retry(10.0, 100.0, 86_400.0),
            "background": False,
            "clock": clock,
            **options,
        }
        return Mailer(tmp_path / "mail", post.server(tmp_path, **(server or {})), **given)

    return make


@pytest.fixture
def mailer(make_mailer: Callable[..., Mailer], post: Post) -> Mailer:
    return make_mailer(post)
