"""The parameters of the log page."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.datastructures import MultiDict
from werkzeug.urls import iri_to_uri

from tabard.web.params import ID_FIELDS, PARAMETERS, format_key, parse_key, read_log_params

NOW = 1_793_721_600_000_000_000


def read(**items):
    return read_log_params(items.items(), now=NOW, page_size=100)


def test_every_id_is_a_filter():
    """Each id asks for equality under its own name."""
    params = read(**{name: f"its {name}" for name in ID_FIELDS})
    assert not params.problems
    assert all(getattr(params.query, name) == f"its {name}" for name in ID_FIELDS)


def test_empty_parameters_ask_for_nothing():
    """A form that was sent as it stood asks for the newest records."""
    params = read(q="", since=" ", service="", min="", n="")
    assert params.raw == {}
    assert params.query == read().query
    assert not params.problems


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("since", "soon", "how long ago"),
        ("until", "2026-99-99", "how long ago"),
        ("min", "loud", "trace, debug"),
        ("min", "25", "0 to 24"),
        ("order", "sideways", "new, old"),
        ("n", "0", "1 to 1000"),
        ("n", "many", "1 to 1000"),
        ("n", "-5", "1 to 1000"),
        ("n", "9" * 30, "1 to 1000"),
        ("before", "12", "TIME.ID"),
        ("after", "1.2.3", "TIME.ID"),
        ("before", f"{2**63}.1", "TIME.ID"),
        ("tz", "Mars/Olympus", "Europe/Berlin"),
        ("facets", "maybe", "1, 0"),
        ("servce", "nginx", "service"),
        ("q", "x" * 1001, "1000 characters"),
    ],
)
def test_a_faulty_parameter_is_left_out_and_explained(name, value, expected):
    """Each fault names its parameter, what was expected and what was found; the others hold."""
    params = read(**{name: value, "node": "web1"})
    (problem,) = params.problems
    assert problem.parameter == name
    assert expected in problem.expected
    assert problem.found
    assert params.query.node == "web1"


def test_a_range_that_ends_before_it_begins_is_explained():
    """`until` must come after `since`."""
    params = read(since="1h", until="2h")
    assert [problem.parameter for problem in params.problems] == ["until"]
    assert params.query.until is None
    assert params.query.since is not None


def test_only_one_place_within_the_log_can_be_asked_for():
    """`before` and `after` exclude each other."""
    params = read(before="5.1", after="4.1")
    assert [problem.parameter for problem in params.problems] == ["after"]
    assert params.query.before == (5, 1)


def test_a_changed_filter_forgets_the_place():
    """The place within the log means nothing under other filters; a link to a place keeps them."""
    params = read(service="nginx", before="5.1", since="15m")
    assert params.search(node="web1") == "service=nginx&since=15m&node=web1"
    assert params.search(service=None) == "since=15m"
    assert params.search(before="9.-2") == "service=nginx&before=9.-2&since=15m"


def test_only_the_newest_page_is_live():
    """A page that new records do not belong on top of does not follow along."""
    assert read().live
    assert read(since="1h", service="nginx").live
    assert not read(order="old").live
    assert not read(before="5.1").live
    assert not read(after="5.1").live
    assert not read(until="1m").live


@given(st.integers(0, 2**63 - 1), st.integers(-(2**62), 2**63 - 1))
def test_a_place_survives_the_url(time, number):
    """Those of gaps have large ids."""
    assert parse_key(format_key((time, number))) == (time, number)


@given(st.dictionaries(st.sampled_from(PARAMETERS), st.text(max_size=30)))
def test_no_parameter_crashes_the_page(items):
    """Whatever the URL says, there is a query, and what it keeps can stand in a URL again."""
    params = read_log_params(MultiDict(items).items(multi=True), now=NOW, page_size=100)
    assert 1 <= params.query.limit <= 1000
    assert iri_to_uri("/logs?" + params.search())
