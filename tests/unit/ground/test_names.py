"""Names that become topic parts and paths."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabard.errors import TabardError
from tabard.names import check_node, check_sink, check_zone, clean_node, zone_within


@pytest.mark.parametrize("name", ["a", "web1", "db-1.example_x", "0", "a" * 63])
def test_node_and_sink_names_are_accepted(name: str) -> None:
    """What a host may be called is a node name."""
    assert check_node(name) == name
    assert check_sink(name) == name


@pytest.mark.threat("path-as-name")
@pytest.mark.parametrize("name", ["", "Web1", "-a", ".a", "a/b", "a b", "a\n", "ä", "a" * 64])
def test_other_names_are_refused(name: str) -> None:
    """Nothing enters a topic that could mean something else there."""
    with pytest.raises(TabardError, match="not a node name"):
        check_node(name)
    with pytest.raises(TabardError, match="not a sink name"):
        check_sink(name)


@pytest.mark.parametrize("path", ["hq", "hq/dmz", "/".join("abcdefgh")])
def test_zone_paths_are_accepted(path: str) -> None:
    """A zone path has one to eight names."""
    assert check_zone(path) == path


@pytest.mark.threat("path-as-name")
@pytest.mark.parametrize(
    "path", ["", "/", "hq/", "/hq", "hq//dmz", "hq/DMZ", "/".join("abcdefghi"), "hq/dmz\n"]
)
def test_other_zone_paths_are_refused(path: str) -> None:
    """Empty parts, wrong characters and a ninth level are errors."""
    with pytest.raises(TabardError, match="not a zone path"):
        check_zone(path)


@given(st.text(max_size=100))
def test_every_hostname_gives_a_node_name(hostname: str) -> None:
    """The default node name is always valid, whatever the host calls itself."""
    assert check_node(clean_node(hostname))


@pytest.mark.parametrize(
    ("zone", "outer", "inside"),
    [
        ("hq", "hq", True),
        ("hq/dmz", "hq", True),
        ("hq/dmz/a", "hq", True),
        ("hq/dmz/a", "hq/dmz", True),
        ("hq", "hq/dmz", False),
        ("hq2", "hq", False),
        ("hq-dmz", "hq", False),
        ("hq/dmz2", "hq/dmz", False),
        ("dmz/hq", "hq", False),
    ],
)
def test_a_zone_is_within_itself_and_all_above_it(zone: str, outer: str, inside: bool) -> None:
    """By whole names, not by letters."""
    assert zone_within(zone, outer) is inside
