"""Records that are too large are cut where it hurts least, and say so."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tabard.agents.intake.cutting import CUT, add_attributes, cut_record
from tabard.agents.intake.grouping import encode_groups
from tabard.brokers.wire.codec import pack, unpack
from tabard.records import INT_FIELDS, LOG_FIELDS, LOG_INDEX, MAX_BODY, MAX_RECORD, normalise_log
from tests.unit.intake.samples import log_record

ATTRIBUTES = LOG_INDEX["attributes"]


def cut_of(record):
    return json.loads(record[ATTRIBUTES])[CUT]


def test_the_longest_text_is_shortened():
    """The others stay as they are."""
    record = cut_record(log_record(message="m" * 1_000, stack="s" * 20_000), 5_000)
    assert len(pack(record)) <= 5_000
    assert record[LOG_INDEX["message"]] == "m" * 1_000
    assert record[LOG_INDEX["stack"]].startswith("sss")
    assert cut_of(record) == {"stack": 20_000}


def test_attributes_stay_json_or_go():
    """They are never cut in the middle; small ones stay and get the note."""
    large = json.dumps({"a": "x" * 20_000})
    record = cut_record(log_record(attributes=large), 5_000)
    assert cut_of(record) == {"attributes": len(large)}
    record = cut_record(log_record(message="m" * 20_000, attributes='{"a":1}'), 5_000)
    assert json.loads(record[ATTRIBUTES]) == {"a": 1, CUT: {"message": 20_000}}


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        (None, {"n": 1}),
        ("", {"n": 1}),
        ("{}", {"n": 1}),
        (' {"a": 1e5} ', {"a": 100000.0, "n": 1}),
        ("text", {"text": "text", "n": 1}),
        ("[1]", {"text": "[1]", "n": 1}),
        ("{", {"text": "{", "n": 1}),
    ],
)
def test_notes_are_added_to_whatever_attributes_there_are(attributes, expected):
    """An object gets another member, anything else is kept as text beside it."""
    assert json.loads(add_attributes(attributes, {"n": 1})) == expected


TEXTS = st.text(max_size=30).flatmap(lambda text: st.integers(0, 400).map(lambda times: text * times))


@settings(max_examples=100)
@given(
    st.dictionaries(st.sampled_from(sorted(set(LOG_FIELDS) - INT_FIELDS)), TEXTS), st.integers(3_072, 9_000)
)
def test_any_record_can_be_cut_to_any_size(fields, most):
    """The result fits, is storable, and its attributes are a JSON object."""
    record = normalise_log(log_record(**fields))
    cut = cut_record(record, most)
    assert len(pack(cut)) <= most
    assert normalise_log(cut) == cut
    assert isinstance(json.loads(cut[ATTRIBUTES]), dict)


def test_groups_are_bounded_in_records_and_bytes():
    """Many small records or few large ones: every group fits a batch, and the order stays."""
    sizes = [10] * 600 + [200_000] * 7 + [400_000]
    records = [log_record(message=f"{number:04}" + "x" * size) for number, size in enumerate(sizes)]
    groups = list(encode_groups(records))
    found = []
    for group in groups:
        assert len(group.records) < MAX_BODY - 4_096
        decoded = unpack(group.records, limit=MAX_BODY)
        assert len(decoded) == group.total <= 256
        found += decoded
    assert [record[LOG_INDEX["message"]][:4] for record in found] == [f"{number:04}" for number in range(608)]
    assert found[:607] == records[:607]
    assert len(pack(found[607])) <= MAX_RECORD
    assert [group.repaired for group in groups][-1] == 1
