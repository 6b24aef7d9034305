"""What a policy makes of records: which it withholds, what it redacts, and what of a body stays byte for byte."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tabard.brokers.policy.applying import apply
from tabard.brokers.policy.document import Policy, Redaction, check
from tabard.brokers.policy.matching import Rules
from tabard.brokers.wire.attested import part, stub
from tabard.brokers.wire.batch import DATA, Header
from tabard.brokers.wire.body import decode_groups
from tabard.brokers.wire.codec import pack
from tabard.brokers.wire.streams import LOGS, SAMPLES
from tabard.errors import WireError
from tabard.records import LOG_INDEX, LOG_WIDTH, MAX_BODY

NOON = 1_700_000_000_000_000_000


def log(message: str = "hello", severity: int = 9, **fields: Any) -> tuple[Any, ...]:
    """A log record."""
    record: list[Any] = [None] * LOG_WIDTH
    record[0], record[1], record[LOG_INDEX["message"]] = NOON, severity, message
    for name, value in fields.items():
        record[LOG_INDEX[name]] = json.dumps(value) if isinstance(value, dict) else value
    return tuple(record)


def rules(**said: Any) -> Rules:
    """A policy made ready."""
    policy = Policy("edge", 1, "hq", "hq", **said)
    check(policy)
    return Rules(policy)


def judged(record: tuple[Any, ...], node: str = "web1", **said: Any) -> Any:
    """What passes of a log record."""
    judge = rules(**said).judge(LOGS, node)
    return record if judge is None else judge(record)


def head(count: int, stream: int = LOGS) -> Header:
    """A header, of which only the range counts here."""
    return Header(stream, DATA, b"e" * 16, b"", 11, count, bytes(32), bytes(32))


SECRET = log("login of anna", 5, service="vault", user1="anna", attributes={"token": "t0", "n": 1})


@pytest.mark.parametrize(
    ("matcher", "fits"),
    [
        ({"service": "vault"}, True),
        ({"service": "va*"}, True),
        ({"service": "VAULT"}, False),
        ({"service": "vaul"}, False),
        ({"message": "*anna*"}, True),
        ({"logger": "*"}, False),
        ({"node": "web?"}, True),
        ({"node": "db*"}, False),
        ({"node": "web1", "service": "other"}, False),
        ({"service": "vault", "user1": "a*", "max_level": 8}, True),
        ({"max_level": 5}, True),
        ({"max_level": 4}, False),
        ({"min_level": 5}, True),
        ({"min_level": 6}, False),
        ({"attribute.token": "t*"}, True),
        ({"attribute.n": "1"}, True),
        ({"attribute.n": "2"}, False),
        ({"attribute.other": "*"}, False),
    ],
    ids=str,
)
def test_a_matcher_fits_if_all_of_it_does(matcher: dict[str, Any], fits: bool) -> None:
    """Globs on fields, with the case they have; severities; attributes as JSON writes them."""
    found = judged(SECRET, withhold=(tuple(matcher.items()),))
    assert (found is None) == fits
    assert fits or found is SECRET


def test_one_matcher_of_several_is_enough() -> None:
    """They are alternatives."""
    assert judged(SECRET, withhold=((("service", "no"),), (("user1", "anna"),))) is None


def test_the_lowest_level() -> None:
    """A record that says none counts as 0."""
    for severity, passes in ((0, False), (8, False), (9, True), (24, True)):
        assert (judged(log(severity=severity), up_level=9) is not None) == passes


@pytest.mark.parametrize(
    "record",
    [
        (NOON, 9),
        (*log(), "more"),
        [*log()],
        "text",
        log(severity="high"),  # type: ignore[arg-type]
        log(severity=True),
    ],
    ids=lambda record: repr(record)[:20],
)
def test_what_is_no_record_is_withheld(record: Any) -> None:
    """Nobody can say what is in it."""
    assert judged(record, withhold=((("service", "no"),),)) is None


@pytest.mark.parametrize("attributes", ["{", "[1]", "5", '{"a": 1e999999'])
def test_attributes_that_cannot_be_read(attributes: str) -> None:
    """They are withheld where a matcher asks for one, and replaced as a whole where one is redacted."""
    record = log(attributes=attributes)
    assert judged(record, withhold=((("attribute.token", "x"),),)) is None
    passed = judged(record, redact=(Redaction("attribute", "token"),))
    assert json.loads(passed[-1]) == {
        "token": "[redacted]",
        "redacted": ["token"],
        "redacted_by": ["edge@1"],
    }


def test_a_redacted_record_says_what_and_by_which_policy() -> None:
    """All else of it stays."""
    passed = judged(
        SECRET,
        redact=(
            Redaction("field", "user1", text="someone"),
            Redaction("attribute", "token"),
            Redaction("pattern", "message", "of [a-z]+", "of X"),
            Redaction("pattern", "exception", "anna"),
            Redaction("field", "user2"),
        ),
    )
    attributes = {
        "token": "[redacted]",
        "n": 1,
        "redacted": ["user1", "token", "message (pattern)"],
        "redacted_by": ["edge@1"],
    }
    expected = log("login of X", 5, service="vault", user1="someone", attributes=attributes)
    assert (passed[:-1], json.loads(passed[-1])) == (expected[:-1], attributes)


def test_what_stands_for_a_redacted_text_is_taken_as_it_is() -> None:
    """A backslash in it is no group."""
    passed = judged(SECRET, redact=(Redaction("pattern", "message", "anna", r"\1\g<0>"),))
    assert passed[LOG_INDEX["message"]] == r"login of \1\g<0>"


def test_redacting_twice_changes_nothing_more() -> None:
    """So a second boundary with the same rules lets the batch go on as it is."""
    said: dict[str, Any] = {"redact": (Redaction("field", "user1"), Redaction("attribute", "token"))}
    once = judged(SECRET, **said)
    assert once is not SECRET
    assert judged(once, **said) is once


def test_a_second_policy_adds_its_name() -> None:
    """And what the application itself says under these names is not taken for a list."""
    once = judged(SECRET, redact=(Redaction("field", "user1"),))
    other = Rules(Policy("second", 3, "hq", "hq", redact=(Redaction("attribute", "token"),)))
    judge = other.judge(LOGS, "web1")
    assert judge is not None
    attributes = json.loads(judge(once)[-1])
    assert (attributes["redacted"], attributes["redacted_by"]) == (["user1", "token"], ["edge@1", "second@3"])
    own = judged(log(user1="anna", attributes={"redacted": "yes"}), redact=(Redaction("field", "user1"),))
    assert json.loads(own[-1])["redacted"] == ["user1"]


def test_half_a_character_in_an_attribute_does_not_break_the_batch() -> None:
    """JSON can write what no text can hold."""
    record = log(user1="anna", attributes='{"a": "\\ud800"}')
    passed = judged(record, redact=(Redaction("field", "user1"),))
    assert pack(passed)


def test_samples_are_known_by_their_node_only() -> None:
    """A matcher that asks for more fits none of them, and nothing in them is redacted."""
    asks = rules(
        withhold=((("service", "*"),), (("max_level", 24),)),
        redact=(Redaction("field", "user1"),),
        up_level=5,
    )
    assert asks.judge(SAMPLES, "web1") is None
    judge = rules(withhold=((("node", "web*"),),)).judge(SAMPLES, "web1")
    assert judge is not None
    assert judge((NOON, "host", {})) is None
    assert rules(withhold=((("node", "web*"),),)).judge(SAMPLES, "db1") is None


# --- bodies -----------------------------------------------------------------------------------------


def test_a_body_of_which_nothing_changes_stays() -> None:
    """Nobody packs it again."""
    body = pack([("s", 1, "o", [log(), log()])])
    assert apply(rules(withhold=((("service", "no"),),)), head(2), "web1", body) is None
    assert apply(rules(up_nodes=("web*",)), head(2), "web1", body) is None
    assert apply(rules(up_kinds=("logs",)), head(2), "web1", body) is None


def test_stubs_stand_in_the_places_of_what_is_withheld() -> None:
    """A group of which nothing is left does not say any more where it came from."""
    body = pack(
        [("file /a", 1, "o", [log("x"), log("hide"), log("y")]), ("file /secret", 2, "p", [log("hide")])]
    )
    changed = apply(rules(withhold=((("message", "hide"),),)), head(4), "web1", body)
    assert changed is not None
    assert (changed.withheld, changed.redacted) == (2, 0)
    groups = decode_groups(LOGS, changed.body, 4)
    assert groups[1] == ("", None, None, (stub(14, "edge@1"),))
    found = part(groups, 11, ["edge@1"])
    assert found.groups == (("file /a", 1, "o", (log("x"), log("y"))),)
    assert (found.seqs, found.withheld) == ((11, 13), ((12, 1, "edge@1"), (14, 1, "edge@1")))


@pytest.mark.parametrize("said", [{"up_kinds": ("samples",)}, {"up_nodes": ("db*", "w")}], ids=str)
def test_a_kind_or_a_node_that_does_not_pass(said: dict[str, Any]) -> None:
    """All of it is withheld, whatever it is."""
    for body in (pack([("s", 1, "o", [log(), log()])]), b"\xc1"):
        changed = apply(rules(**said), head(2), "web1", body)
        assert changed is not None
        assert decode_groups(LOGS, changed.body, 2) == (
            ("", None, None, (stub(11, "edge@1"), stub(12, "edge@1"))),
        )


@pytest.mark.threat("stub-in-a-record")
@pytest.mark.parametrize("fresh", [True, False])
def test_what_only_looks_like_a_stub_does_not_pass(fresh: bool) -> None:
    """In a body that nobody changed yet it is a node's; in another one at least its number has to be right."""
    false = stub(11 if fresh else 7, "SECRET")
    body = pack([("s", 1, "o", [false, log()])])
    changed = apply(rules(withhold=((("message", "no"),),)), head(2), "web1", body, fresh=fresh)
    assert changed is not None
    assert b"SECRET" not in changed.body
    assert part(decode_groups(LOGS, changed.body, 2), 11, ["edge@1"]).withheld == ((11, 1, "edge@1"),)
    sample = pack([("s", 1, "o", [false])])
    changed = apply(rules(withhold=((("node", "web*"),),)), head(1, SAMPLES), "web1", sample, fresh=fresh)
    assert changed is not None
    assert b"SECRET" not in changed.body


@pytest.mark.threat("attribute-said-twice")
@pytest.mark.parametrize(
    "said",
    ['{"password":"hunter2","password":"[redacted]"}', '{"password":{"a":"hunter2","a":1},"n":1}'],
    ids=["above", "within"],
)
def test_attributes_that_say_a_name_twice_are_none(said: str) -> None:
    """Which of the two counts depends on who reads them."""
    record = log(attributes=said)
    assert judged(record, withhold=((("attribute.password", "no"),),)) is None
    passes = judged(record, redact=(Redaction("attribute", "password", "", "[redacted]"),))
    assert "hunter2" not in passes[LOG_INDEX["attributes"]]
    assert json.loads(passes[LOG_INDEX["attributes"]])["password"] == "[redacted]"


def test_stubs_of_a_boundary_below_stay_its_own() -> None:
    """What it withheld is not withheld again."""
    below = stub(11, "low@2")
    body = pack([("s", 1, "o", [below, log()])])
    for said in ({"up_kinds": ("samples",)}, {"withhold": ((("message", "hello"),),)}):
        changed = apply(rules(**said), head(2), "web1", body, fresh=False)
        assert changed is not None
        assert changed.withheld == 1
        assert part(decode_groups(LOGS, changed.body, 2), 11, ["low@2", "edge@1"]).withheld == (
            (11, 1, "low@2"),
            (12, 1, "edge@1"),
        )
    assert (
        apply(rules(up_kinds=("samples",)), head(1), "web1", pack([("", None, None, [below])]), fresh=False)
        is None
    )


@pytest.mark.threat("unreadable-body")
def test_a_body_that_nobody_can_read_is_withheld() -> None:
    """Its stream goes on, and nothing in it passes."""
    for body in (b"\xc1", b"", pack({}), pack([("s", 1, "o", [log()])])):
        changed = apply(rules(up_level=1), head(2), "web1", body)
        assert changed is not None
        assert changed.withheld == 2


def test_a_body_that_would_grow_too_large_is_withheld() -> None:
    """What stands for a text may be longer than that."""
    record = log("a" * 4_000)
    count = MAX_BODY // 4_100
    body = pack([("s", 1, "o", [record] * count)])
    assert len(body) <= MAX_BODY
    changed = apply(
        rules(redact=(Redaction("pattern", "message", "a", "b" * 20),)), head(count), "web1", body
    )
    assert changed is not None
    assert (changed.withheld, len(changed.body) < MAX_BODY) == (count, True)


def test_more_records_than_a_batch_can_have() -> None:
    """A header alone would make stubs without end."""
    with pytest.raises(WireError):
        apply(rules(up_kinds=()), head(257), "web1", b"")
