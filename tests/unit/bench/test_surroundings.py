"""What a bench needs of its machine."""

from __future__ import annotations

import socket

import pytest

from tabard.ops.bench.surroundings import free_port


def test_no_port_is_given_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system names one again that nobody has taken since: two ends of a bench would bind the same."""
    first = free_port()
    asked: list[int] = []
    plain = socket.socket.bind

    def bind(self: socket.socket, address: tuple[str, int]) -> None:
        asked.append(address[1])
        plain(self, (address[0], first if len(asked) == 1 else address[1]))

    monkeypatch.setattr(socket.socket, "bind", bind)
    assert free_port() != first
    assert len(asked) > 1
