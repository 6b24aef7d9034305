"""The fact by which targets of commands name an operating system."""

from __future__ import annotations

import pytest

from tabard.agents.osname import named, os_name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('PRETTY_NAME="Debian GNU/Linux 12"\nID=debian\nVERSION_ID="12"\n', "debian 12"),
        ("ID='arch'\n# VERSION_ID=1\n", "arch"),
        ("nothing", ""),
    ],
)
def test_a_system_is_called_as_it_calls_itself(text: str, name: str) -> None:
    """With its version where it has one."""
    assert named(text) == name


def test_every_system_has_a_name() -> None:
    """Whatever this one says."""
    assert os_name()
