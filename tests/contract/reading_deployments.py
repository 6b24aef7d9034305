"""Configuration records become deployments: noted once, in the transaction of their rows, and found without a search."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from tabard.brokers.delivery.ports import NodeKey, SinkStore
from tabard.consumers.store import deployed
from tabard.consumers.store.ports import StoreReader
from tests.contract.chain import NOON, SECOND, Chain, log
from tests.contract.engine import Contract

HOUR = 3600 * SECOND
NOW = NOON + 4 * HOUR


def start(time: int = NOW, **said: Any) -> tuple[Any, ...]:
    """The record of a start."""
    given = {
        "service": "shop",
        "package": "shop",
        "version": "1.0",
        "stage": "TESTING",
        "reason": "start",
        "changed": [],
        "digest": "aa" * 16,
        "rule": "salted",
        "values": {"a.b": "1"},
        "secrets": {},
        "left_out": 0,
    }
    attributes = json.dumps({"configuration": {**given, **said}})
    return log("shop starts", time=time, logger="tabard.config", attributes=attributes)


class Noted:
    """Writes log records of nodes into a store."""

    def __init__(self, store: SinkStore) -> None:
        self._store = store
        self._chains: dict[NodeKey, Chain] = {}

    def logs(self, records: Sequence[Any], *, node: str = "web1", zone: str = "hq") -> None:
        """Store log records, in order, as one batch."""
        key = NodeKey(node, zone)
        chain = self._chains.setdefault(key, Chain(key))
        self._store.commit([chain.work(records)], NOW)


HOSTILE: list[Any] = [
    None,
    "text",
    "[1, 2]",
    '{"configuration": 7}',
    '{"configuration": {"digest": "zz"}}',
    '{"configuration": "{"}',
    json.dumps({"configuration": {"service": "", "digest": "ab" * 8, "values": {}}}),
    json.dumps({"configuration": {"service": "x", "digest": "ab" * 8, "values": 3}}),
    json.dumps({"configuration": {"service": ["x"], "digest": "ab" * 8, "values": {}}}),
    '{"configuration": ' * 5000,
]


class DeploymentContract(Contract):
    """What every engine answers about versions and configurations."""

    @pytest.fixture
    def noted(self, store: SinkStore) -> Noted:
        """Fills an empty store."""
        return Noted(store)

    @pytest.mark.parametrize("others", [0, 3, 40])
    def test_a_start_is_noted_however_it_is_stored(
        self, noted: Noted, reader: StoreReader, others: int
    ) -> None:
        """Alone, in a small batch, in a large one: the log has the record, and the deployment is there."""
        noise = [log(f"line {number}", logger="shop") for number in range(others)]
        noted.logs([*noise, start(), *noise], node="web1", zone="hq")
        (found,) = reader.deployments()
        assert found._replace(configuration_id=0) == (
            "shop", "TESTING", "web1", "hq", "shop", "1.0", "aa" * 16, "salted", 0, NOW, NOW, 1, None,
        )  # fmt: skip
        assert reader.configuration(found) == ({"a.b": "1"}, {}, 0)
        assert reader.stats().streams["logs"].rows == 2 * others + 1

    def test_starts_that_change_nothing_are_one_stretch(self, noted: Noted, reader: StoreReader) -> None:
        """A job that cron starts every minute is one row that counts."""
        for minute in range(5):
            noted.logs([start(NOW + minute * SECOND)] * 3)
        (found,) = reader.deployments()
        assert (found.since, found.last, found.starts) == (NOW, NOW + 4 * SECOND, 15)
        assert len(reader.deployment_history()) == 1

    def test_a_new_version_or_configuration_begins_a_stretch(self, noted: Noted, reader: StoreReader) -> None:
        """Going back to an old one as well; each place has its own history."""
        noted.logs(
            [
                start(NOW, version="1.0"),
                start(NOW + 1 * HOUR, version="1.1"),
                start(NOW + 2 * HOUR, version="1.1", digest="bb" * 16),
                start(NOW + 3 * HOUR, version="1.0"),
                start(NOW + 3 * HOUR, version="9", stage="PRODUCTION"),
            ]
        )
        noted.logs([start(NOW + 4 * HOUR, version="1.1")], node="web2")
        assert [(each.stage, each.node, each.version) for each in reader.deployments()] == [
            ("PRODUCTION", "web1", "9"),
            ("TESTING", "web1", "1.0"),
            ("TESTING", "web2", "1.1"),
        ]
        history = reader.deployment_history(stage="TESTING", node="web1")
        assert [(each.version, each.digest[:2], each.since, each.until) for each in history] == [
            ("1.0", "aa", NOW + 3 * HOUR, None),
            ("1.1", "bb", NOW + 2 * HOUR, NOW + 3 * HOUR),
            ("1.1", "aa", NOW + 1 * HOUR, NOW + 2 * HOUR),
            ("1.0", "aa", NOW, NOW + 1 * HOUR),
        ]
        assert reader.deployments(service="till") == []
        assert len(reader.deployments(service="shop", stage="TESTING")) == 2

    def test_what_arrives_late_finds_its_place(self, noted: Noted, reader: StoreReader) -> None:
        """After an outage old starts come behind new ones: the present stays, the past is filled in."""
        noted.logs([start(NOW + 5 * HOUR, version="2")])
        noted.logs(
            [start(NOW + 3 * HOUR, version="2"), start(NOW + 4 * HOUR, version="2"), start(NOW, version="1")]
        )
        (found,) = reader.deployments()
        assert found.version == "2"
        history = reader.deployment_history()
        assert [(each.version, each.since, each.until, each.starts) for each in history] == [
            ("2", NOW + 3 * HOUR, None, 3),
            ("1", NOW, NOW + 3 * HOUR, 1),
        ]

    @pytest.mark.parametrize("attributes", HOSTILE)
    def test_what_is_not_in_the_form_stays_in_the_log(
        self, noted: Noted, reader: StoreReader, attributes: Any
    ) -> None:
        """Nothing of it is noted, and nothing is refused for it."""
        noted.logs([log(logger="tabard.config", attributes=attributes)] * 10)
        assert reader.deployments() == []
        assert reader.stats().streams["logs"].rows == 10
        assert reader.stats().quarantined == 0

    def test_what_no_column_takes_is_cleaned_and_bounded(self, noted: Noted, reader: StoreReader) -> None:
        """Escapes of JSON can say what no text may hold; sizes are cut; a way that makes text of extras is understood."""
        odd = {"a\0": "\ud800", **{f"k{n}": "v" * 241 for n in range(1_001)}}
        noted.logs(
            [start(service="s" * 500, version="1\0\ud800", values=odd, left_out=-3, digest="ab" * 8)] * 9
        )
        plain = json.loads(start()[-1])["configuration"]
        noted.logs([log(logger="tabard.config", attributes=json.dumps({"configuration": json.dumps(plain)}))])
        assert reader.stats().quarantined == 0
        shop, long = sorted(reader.deployments(), key=lambda each: len(each.service))
        assert (shop.service, len(long.service), long.version) == ("shop", 128, "1␀\ufffd")
        assert len(json.dumps(reader.configuration(long))) <= 65_536

    def test_a_batch_of_inventions_costs_a_bounded_number_of_notes(
        self, noted: Noted, reader: StoreReader
    ) -> None:
        """Who invents services fills no table; the log has every record."""
        noted.logs([start(service=f"s{number}") for number in range(200)])
        assert len(reader.deployments()) == deployed.MOST_IN_A_BATCH
        assert reader.stats().streams["logs"].rows == 200

    def test_a_service_that_changes_all_the_time_has_a_bounded_history(
        self, noted: Noted, reader: StoreReader
    ) -> None:
        """The oldest stretches go first."""
        for number in range(deployed.HISTORY + 30):
            noted.logs([start(NOW + number, version=str(number))])
        history = reader.deployment_history()
        assert len(history) == deployed.HISTORY
        assert (history[0].version, history[-1].version) == (str(deployed.HISTORY + 29), "30")

    @pytest.mark.parametrize("wrong", [NOW + 1_000 * HOUR, 5 * SECOND])
    def test_a_clock_that_was_wrong_once_says_nothing_for_ever(
        self, noted: Noted, reader: StoreReader, wrong: int
    ) -> None:
        """Ahead, or not set at all: such a start is dated by its arrival, and the next one follows it."""
        noted.logs([start(NOW - HOUR, version="1.0")])
        noted.logs([start(wrong, version="1.1", digest="bb" * 16)])
        assert [(each.version, each.since) for each in reader.deployments()] == [("1.1", NOW)]
        noted.logs([start(NOW, version="1.2", digest="cc" * 16)])
        assert [each.version for each in reader.deployments()] == ["1.2"]
        assert [each.version for each in reader.deployment_history()] == ["1.2", "1.1", "1.0"]

    def test_what_version_came_when_outlives_thousands_of_starts(
        self, noted: Noted, reader: StoreReader
    ) -> None:
        """Two instances that cron starts in turn, with options of their own: bounded, and no version is forgotten."""
        noted.logs([start(NOW - 9 * HOUR, version="1.0"), start(NOW - 8 * HOUR, version="1.1")])
        for number in range(2 * deployed.HISTORY):
            digest = ("aa", "bb")[number % 2] * 16
            noted.logs([start(NOW - 7 * HOUR + number * SECOND, version="1.1", digest=digest)])
        history = reader.deployment_history()
        assert len(history) <= deployed.HISTORY
        began = {each.version: each.since for each in history}
        assert began == {"1.0": NOW - 9 * HOUR, "1.1": NOW - 8 * HOUR}
