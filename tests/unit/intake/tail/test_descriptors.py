"""The limit of open files is used as far as it goes, and shared with what is no file."""

from __future__ import annotations

import resource

import pytest

from tabard.agents.intake.tail.descriptors import ENOUGH, most_open, raise_limit


@pytest.fixture
def limit(monkeypatch):
    """A limit of this process that a test may change without that the process feels it."""
    now = [1_024, 524_288]
    monkeypatch.setattr(resource, "getrlimit", lambda _which: tuple(now))
    monkeypatch.setattr(resource, "setrlimit", lambda _which, limits: now.__setitem__(slice(None), limits))
    return now


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((1_024, 524_288), (ENOUGH, 524_288)),
        ((1_024, 1_024), (1_024, 1_024)),
        ((256, resource.RLIM_INFINITY), (ENOUGH, resource.RLIM_INFINITY)),
        ((65_536, 524_288), (65_536, 524_288)),
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), (resource.RLIM_INFINITY, resource.RLIM_INFINITY)),
    ],
)
def test_the_soft_limit_is_raised_as_far_as_is_of_use(limit, before, after):
    """Towards the hard one, never lowered, never beyond what an agent could need."""
    limit[:] = before
    raise_limit()
    assert tuple(limit) == after


def test_files_leave_descriptors_to_the_rest(limit):
    """Clients and journals still get theirs; a few files are always followed."""
    limit[0] = 1_024
    assert most_open() == 624
    limit[0] = 200
    assert most_open() == 16
    limit[0] = resource.RLIM_INFINITY
    assert most_open() == 1_024
