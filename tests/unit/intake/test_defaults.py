"""Product and system of the node for records that name none."""

from __future__ import annotations

import msgpack
import pytest

from tabard.agents.intake.admission import admit
from tabard.agents.intake.defaults import NO_DEFAULTS, Defaults
from tabard.agents.intake.grouping import encode_groups
from tabard.agents.intake.protocol import Line, Parser
from tabard.records import LOG_INDEX, MAX_RECORD
from tests.unit.intake.samples import log_record

PRODUCT, SYSTEM = LOG_INDEX["product"], LOG_INDEX["system"]
SHOP = Defaults(product="shop", system="orders")


def told(raw):
    """Product and system of the records in an encoded array."""
    return [(record[PRODUCT], record[SYSTEM]) for record in msgpack.unpackb(raw)]


@pytest.mark.parametrize("count", [1, 20], ids=["few", "many"])
def test_a_frame_is_filled_where_it_names_nothing(count):
    """What a record says itself stays; filling is no repair."""
    records = [log_record(), log_record(product="bank"), log_record(system="")] * count
    admitted = admit(msgpack.packb(records), SHOP)
    assert told(admitted.records) == [("shop", "orders"), ("bank", "orders"), ("shop", "orders")] * count
    assert (admitted.total, admitted.repaired) == (3 * count, 0)


@pytest.mark.parametrize(
    ("defaults", "record"),
    [
        (NO_DEFAULTS, log_record()),
        (Defaults(product="shop"), log_record(product="bank")),
        (SHOP, log_record(product="bank", system="ledger")),
    ],
)
def test_a_frame_that_lacks_nothing_goes_on_unchanged(defaults, record):
    """The client's own bytes, not encoded again."""
    payload = msgpack.packb([record])
    assert admit(payload, defaults).records is payload


def test_a_record_that_does_not_fit_is_repaired_and_filled():
    """Both, and counted as repaired once."""
    admitted = admit(msgpack.packb([[0, 0, None], log_record(message=5)]), SHOP)
    assert told(admitted.records) == [("shop", "orders")] * 2
    assert admitted.repaired == 2


def test_a_record_that_filling_makes_too_large_is_cut():
    """The bound of a record holds after filling."""
    spare = MAX_RECORD - len(msgpack.packb(log_record(message="")))
    payload = msgpack.packb([log_record(message="x" * (spare - 10))])
    admitted = admit(payload, Defaults(product="p" * 100))
    assert len(admitted.records) <= MAX_RECORD + 1
    assert told(admitted.records) == [("p" * 100, None)]
    assert admitted.repaired == 1


def test_lines_are_filled():
    """Those of files, and JSON lines."""
    (group,) = encode_groups([log_record(), log_record(system="mail")], SHOP)
    assert told(group.records) == [("shop", "orders"), ("shop", "mail")]
    assert group.repaired == 0
    (line,) = Parser(lambda: 1, SHOP).feed(b'{"message": "hello", "product": ""}\n')
    assert isinstance(line, Line)
    (group,) = encode_groups([line.record], SHOP)
    assert told(group.records) == [("shop", "orders")]


def test_every_id_of_a_node_fills_the_field_of_its_name():
    """Sub-systems and user fields as well."""
    ids = {
        name: f"its {name}" for name in ("product", "system", "subsystem", "subsubsystem", "user1", "user2")
    }
    (record,) = msgpack.unpackb(admit(msgpack.packb([log_record(user1="own")]), Defaults(**ids)).records)
    assert {name: record[LOG_INDEX[name]] for name in ids} == {**ids, "user1": "own"}
