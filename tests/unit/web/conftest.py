"""A real store, a recorder's hand to fill it, and herald on top of it."""

from __future__ import annotations

import pytest

from tabard.consumers.store.read import Reader
from tabard.web.app import create_app
from tests.unit.web.seed import Clock, Seeder


@pytest.fixture
def clock():
    """Stands at noon of a known day until a test moves it."""
    return Clock()


@pytest.fixture
def seeder(tmp_path):
    """Writes into the store as a recorder does."""
    seeder = Seeder(tmp_path / "store")
    yield seeder
    seeder.close()


@pytest.fixture
def make_app(clock):
    """Makes herald over a reader; the time zone is UTC unless a test says otherwise."""

    def make(reader, **settings):
        given = {"timezone": "utc", "page_size": 100, "clock": clock, **settings}
        return create_app(reader, **given)

    return make


@pytest.fixture
def client(seeder, tmp_path, make_app):
    """A client of herald over the store that `seeder` fills."""
    with Reader(tmp_path / "store") as reader:
        yield make_app(reader).test_client()
