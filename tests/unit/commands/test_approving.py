"""How many operators have to approve a command, by what the setting says."""

from __future__ import annotations

import pytest

from tabard.consumers.commands.approving import needed, needs_of
from tabard.errors import TabardError
from tabard.settings import forms


@pytest.mark.parametrize(
    ("zone", "number"),
    [("hq", 1), ("hq/dmz", 2), ("hq/dmz/shop", 2), ("hq/lab", 1), ("branch", 0), ("hqx", 0)],
)
def test_a_zone_wants_what_any_zone_above_it_wants(zone: str, number: int) -> None:
    """The most of them: a zone cannot take away what one above it says."""
    assert needed(needs_of(["hq=1", "hq/dmz=2", "hq/lab=1"]), zone) == number


@pytest.mark.parametrize(
    "text", ["", "hq", "hq=", "hq=0", "hq=9", "hq=1.0", "=1", "HQ=1", "hq//x=1", "hq=\u0661"]
)
def test_nonsense_is_an_error_of_the_settings(text: str) -> None:
    """Before a dispatcher lets through what it should hold."""
    with pytest.raises(TabardError):
        forms.APPROVALS.read(text)
