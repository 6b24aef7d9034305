"""A policy made ready: which records of a node it withholds, and what it redacts of the others.

What cannot be judged, since it has not the form of a record, is withheld.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from fnmatch import translate
from typing import Any, Final

from tabard.brokers.policy.document import (
    ATTRIBUTE,
    ATTRIBUTE_KIND,
    FIELD,
    MAX_LEVEL_KEY,
    MIN_LEVEL,
    NODE,
    Matcher,
    Policy,
    Redaction,
)
from tabard.brokers.policy.patterns import compiled
from tabard.brokers.wire.streams import LOGS, STREAM_NAMES
from tabard.records import LOG_INDEX, LOG_WIDTH, clean_text

_SEVERITY: Final = LOG_INDEX["severity"]
_ATTRIBUTES: Final = LOG_INDEX["attributes"]
REDACTED: Final = "redacted"
REDACTED_BY: Final = "redacted_by"
"""Attributes of a redacted record: what of it, and by which policies (ID@NUMBER)."""
_KEPT: Final = 4_096
"""Short texts of which is remembered whether a glob fits: services and loggers come again and again."""

Test = Callable[[Any, Any], bool]
"""Of a record and its attributes."""


class Rules:
    """One policy; `stream` and `node` are looked at once for many batches, records one by one."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._nodes = [_glob(each) for each in policy.up_nodes]
        self._reached = [_glob(each) for each in policy.down_nodes]
        self._kinds = frozenset(policy.up_kinds)
        self._redactions = [_Rule(rule) for rule in policy.redact]
        self._judges: dict[tuple[int, str], Callable[[Any], Any] | None] = {}

    def reaches(self, node: str) -> bool:
        """Whether something may descend to a node."""
        return not self._reached or any(glob(node) for glob in self._reached)

    def withholds_all(self, stream: int, node: str) -> bool:
        """Whether nothing that a node says in a stream may pass."""
        if STREAM_NAMES[stream] not in self._kinds:
            return True
        return bool(self._nodes) and not any(glob(node) for glob in self._nodes)

    def judge(self, stream: int, node: str) -> Callable[[Any], Any] | None:
        """What tells of each record what passes: itself, None when it is withheld, or another one. None: all pass."""
        matchers = [
            test for each in self.policy.withhold if (test := _matcher(each, stream, node)) is not None
        ]
        if stream != LOGS:
            return _sample_judge if matchers else None
        if not (matchers or self._redactions or self.policy.up_level):
            return None
        return self._log_judge(matchers)

    def _log_judge(self, matchers: list[Test]) -> Callable[[Any], Any]:
        lowest, rules = self.policy.up_level, self._redactions
        needs = any(rule.of_attribute for rule in rules) or any(
            key.startswith(ATTRIBUTE) for each in self.policy.withhold for key, _value in each
        )

        def judge(record: Any) -> Any:
            if type(record) is not tuple or len(record) != LOG_WIDTH:
                return None
            severity = record[_SEVERITY]
            if type(severity) is not int or severity < lowest:
                return None
            attributes = _attributes(record) if needs and record[_ATTRIBUTES] is not None else {}
            for test in matchers:
                if test(record, attributes):
                    return None
            return self._redacted(record, attributes) if rules else record

        return judge

    def _redacted(self, record: Any, attributes: dict[str, Any] | None) -> Any:
        changed: list[Any] | None = None
        said: list[str] = []
        for rule in self._redactions:
            after = rule.apply(record if changed is None else changed, attributes)
            if after is not None:
                changed = after
                said.append(str(rule.rule))
                if rule.of_attribute:
                    attributes = _attributes(changed)
        if changed is None:
            return record
        found = _attributes(changed) or {}
        for key, more in ((REDACTED, said), (REDACTED_BY, [self.policy.name])):
            before = found.get(key)
            kept = [each for each in before if type(each) is str] if type(before) is list else []
            found[key] = list(dict.fromkeys([*kept, *more]))
        changed[_ATTRIBUTES] = _written(found)
        return tuple(changed)


class _Rule:
    """A redaction made ready."""

    def __init__(self, rule: Redaction) -> None:
        self.rule = rule
        self.of_attribute = rule.kind == ATTRIBUTE_KIND
        self._place = _ATTRIBUTES if self.of_attribute else LOG_INDEX[rule.name]
        self._pattern = compiled(rule.pattern) if rule.pattern else None

    def apply(self, record: Any, attributes: dict[str, Any] | None) -> list[Any] | None:
        """The record with what the rule says in it; None where it says nothing of it."""
        value = record[self._place]
        if value is None:
            return None
        text = self.rule.text
        if self.of_attribute:
            if attributes is None:  # no object, so nobody can say what is in it
                value = _written({self.rule.name: text})
            elif self.rule.name in attributes and attributes[self.rule.name] != text:
                value = _written({**attributes, self.rule.name: text})
            else:
                return None
        elif self.rule.kind == FIELD:
            if value == text:
                return None
            value = text
        else:
            assert self._pattern is not None
            before = value if type(value) is str else str(value)
            value, times = self._pattern.subn(lambda _found: text, before)
            if not times or value == before:
                return None
        changed = list(record)
        changed[self._place] = value
        return changed


def _sample_judge(record: Any) -> None:
    """A matcher that fits a sample names its node only, so all of them."""
    del record


def _matcher(matcher: Matcher, stream: int, node: str) -> Test | None:
    """What looks at a record; None where it can be none of this stream and node."""
    tests: list[Test] = []
    for key, value in matcher:
        if key == NODE:
            if not _glob(str(value))(node):
                return None
        elif stream != LOGS:
            return None
        elif key in (MIN_LEVEL, MAX_LEVEL_KEY):
            tests.append(_level(int(value), lowest=key == MIN_LEVEL))
        elif key.startswith(ATTRIBUTE):
            tests.append(_attribute(key.removeprefix(ATTRIBUTE), _glob(str(value))))
        else:
            tests.append(_field(LOG_INDEX[key], _glob(str(value))))
    if len(tests) == 1:
        return tests[0]
    return lambda record, attributes: all(test(record, attributes) for test in tests)


def _level(bound: int, *, lowest: bool) -> Test:
    if lowest:
        return lambda record, _attributes: record[_SEVERITY] >= bound
    return lambda record, _attributes: record[_SEVERITY] <= bound


def _field(place: int, fits: Callable[[str], bool]) -> Test:
    def test(record: Any, _attributes: Any) -> bool:
        value = record[place]
        return value is not None and fits(value if type(value) is str else str(value))

    return test


def _attribute(name: str, fits: Callable[[str], bool]) -> Test:
    def test(_record: Any, attributes: Any) -> bool:
        if attributes is None:  # no object, so nobody can say what is in it
            return True
        if name not in attributes:
            return False
        value = attributes[name]
        return fits(value if type(value) is str else _written(value))

    return test


def _attributes(record: Any) -> dict[str, Any] | None:
    """The attributes of a record, None when they are no JSON object, or one that says a name twice: readers differ in which counts."""
    value = record[_ATTRIBUTES]
    if value is None:
        return {}
    try:
        found = json.loads(value, object_pairs_hook=_unique)
    except (ValueError, TypeError, RecursionError):
        return None
    return found if type(found) is dict else None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Raises ValueError for a name that comes twice."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name comes twice")
    return found


def _written(value: Any) -> str:
    """As JSON, without what cannot travel: an escape can stand for half a character."""
    return clean_text(json.dumps(value, ensure_ascii=False))


def _glob(pattern: str) -> Callable[[str], bool]:
    """Whether a text fits a glob, remembered for short ones. Takes a time that grows with the text and no more."""
    match = re.compile(translate(pattern)).match
    known: dict[str, bool] = {}

    def fits(text: str) -> bool:
        found = known.get(text)
        if found is None:
            found = match(text) is not None
            if len(text) <= 128:
                if len(known) >= _KEPT:
                    known.clear()
                known[text] = found
        return found

    return fits
