"""Host names."""

from __future__ import annotations

import pytest

from tabard.web.security import host_name, is_loopback


@pytest.mark.parametrize(
    ("header", "name"),
    [("localhost:8024", "localhost"), ("LOCALHOST", "localhost"), ("127.0.0.1:8024", "127.0.0.1"), ("[::1]:8024", "::1"),
     ("localhost.:80", "localhost"), ("", ""), ("[::1", "::1"), ("evil.example:8024", "evil.example")],
)  # fmt: skip
def test_a_host_header_is_read_without_its_port(header, name):
    """Case, port, brackets and the root's dot do not matter."""
    assert host_name(header) == name


@pytest.mark.parametrize("name", ["localhost", "tabard.localhost", "127.0.0.1", "127.8.9.1", "::1"])
def test_loopback_names_mean_this_machine(name):
    """These cannot be rebound to it by anybody else, because they are it."""
    assert is_loopback(name)


@pytest.mark.threat("foreign-site")
@pytest.mark.parametrize(
    "name",
    [
        "",
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "10.0.0.1",
        "0.0.0.0",
        "2130706433",
    ],
)
def test_other_names_do_not(name):
    """What only resolves to loopback is not loopback."""
    assert not is_loopback(name)
