"""Orders left for an agent: each is carried out once it can be, in the order given, and nothing else is believed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tabard.agents import orders
from tabard.agents.orders import RESTORE, RETIRE, Order
from tabard.errors import JournalError
from tabard.home import Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path).ensure()


def test_orders_are_carried_out_in_the_order_given(home: Home) -> None:
    """Each file is gone once it is done."""
    given = [
        Order(RETIRE, "plant", "ada", 1),
        Order(RESTORE, "plant", "ada", 2),
        Order(RETIRE, "hq", "bob", 3),
    ]
    for order in reversed(given):
        path = orders.give(home, order)
        assert path.stat().st_mode & 0o777 == 0o600
    done: list[Order] = []
    orders.carry_out(home, done.append)
    assert done == given
    orders.carry_out(home, done.append)
    assert len(done) == 3


def test_one_that_cannot_be_done_now_stays(home: Home) -> None:
    """And so do those behind it: they may rest on it."""
    orders.give(home, Order(RETIRE, "plant", "ada", 1))
    orders.give(home, Order(RESTORE, "plant", "ada", 2))

    def refuse(order: Order) -> None:
        raise JournalError(f"no room to note {order.sink}")

    orders.carry_out(home, refuse)
    done: list[Order] = []
    orders.carry_out(home, done.append)
    assert [order.what for order in done] == [RETIRE, RESTORE]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"what": "retire"}',
        '{"what": "explode", "sink": "main", "who": "x", "since": 1}',
        '{"what": "retire", "sink": "../x", "who": "x", "since": 1}',
        '{"what": "retire", "sink": "main", "who": 7, "since": 1}',
        '{"what": "retire", "sink": "main", "who": "x", "since": "now"}',
        '{"what": "retire", "sink": "main", "who": "' + "x" * 5000 + '", "since": 1}',
    ],
)
def test_what_is_no_order_is_removed_and_said(
    home: Home, caplog: pytest.LogCaptureFixture, content: str
) -> None:
    """It would be met again every two seconds, for ever."""
    path = orders.give(home, Order(RETIRE, "plant", "ada", 1))
    path.write_text(content)
    done: list[Order] = []
    orders.carry_out(home, done.append)
    assert done == []
    assert "no order of Tabard" in caplog.text
    assert list(orders.waiting(home)) == []


def test_a_home_without_orders_has_none(home: Home) -> None:
    """The directory is made with the first one."""
    assert list(orders.waiting(home)) == []
