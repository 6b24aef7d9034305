"""A policy: what the authority of a zone lets pass over one link of it, signed as one document.

`Policy.zone` is the zone whose broker enforces it, and whose authority signs it. The link is that to `below`: the zone itself for
what leaves it upwards, or a zone right below it for what comes up from there. Policies travel in the roster of their zone; of
an id the highest number holds. One that has `ended` lets everything pass, and is kept so that no number is given twice.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from tabard.brokers.policy.patterns import check_pattern
from tabard.brokers.trust import keys, reasons
from tabard.brokers.trust.certificates import decoded, is_time
from tabard.brokers.trust.keys import ID_BYTES, SIGNATURE_BYTES, PrivateKey, PublicKey
from tabard.brokers.wire.attested import MAX_DOCUMENT
from tabard.brokers.wire.codec import is_version, pack, shown
from tabard.brokers.wire.streams import CONTROL, STREAM_NAMES
from tabard.errors import TabardError, TrustError
from tabard.names import NAME, NAME_FORM, check_zone
from tabard.records import INT_FIELDS, LOG_FIELDS

POLICY_VERSION: Final = 1
"""Of what is said of the way up alone, as earlier editions know it."""
BOTH_WAYS: Final = 2
"""Of what is said of the way down as well: who cannot read that lets nothing pass."""
KINDS: Final = tuple(name for stream, name in STREAM_NAMES.items() if stream != CONTROL)
"""What a policy can hold back; the control stream always passes."""
CURSORS: Final = "cursors"
COMMANDS: Final = "commands"
DOWN_KINDS: Final = (CURSORS, COMMANDS)
"""What descends: what sinks say of what they have and want, and all else that is to a node."""
MAX_RULES: Final = 64
"""Matchers of a policy; as many redactions, and as many globs of nodes."""
MAX_TEXT: Final = 256
"""Characters of a glob, of a name and of what stands for a redacted text."""
MAX_LEVEL: Final = 24
MAX_RATE: Final = 2**40

TEXT_FIELDS: Final = tuple(name for name in LOG_FIELDS if name not in INT_FIELDS and name != "attributes")
"""Fields of a log record that a matcher can name and a redaction can replace."""
NODE: Final = "node"
MIN_LEVEL: Final = "min_level"
MAX_LEVEL_KEY: Final = "max_level"
ATTRIBUTE: Final = "attribute."
"""Stands in front of the name of an attribute, in a matcher."""
FIELD: Final = "field"
ATTRIBUTE_KIND: Final = "attribute"
PATTERN: Final = "pattern"
REDACTED: Final = "[redacted]"
"""Stands for what was redacted where the rule does not say otherwise."""


class Redaction(NamedTuple):
    """A rule that replaces a part of a log record."""

    kind: str
    """``field`` or ``attribute``: its whole value; ``pattern``: each place where the pattern fits."""
    name: str
    """Of the field or the attribute; of a pattern the field that it is looked for in."""
    pattern: str = ""
    text: str = REDACTED
    """What comes in its place."""

    def __str__(self) -> str:
        return f"{self.name} (pattern)" if self.kind == PATTERN else self.name


Matcher = tuple[tuple[str, str | int], ...]
"""Fields and what they must be, all of them: a glob for a text field, ``node`` or ``attribute.NAME``; a number for
``min_level`` and ``max_level``."""


class Policy(NamedTuple):
    """What may pass one link."""

    id: str
    number: int
    """From 1 on; rises with each that is made of an id."""
    zone: str
    below: str
    issuer: bytes = b""
    """Id of the key that signed; `sign` fills it in."""
    time: int = 0
    """When it was made, in nanoseconds since 1970: for people."""
    ended: bool = False
    up_kinds: tuple[str, ...] = KINDS
    up_nodes: tuple[str, ...] = ()
    """Globs; none: all."""
    up_level: int = 0
    """The lowest severity that passes; a record that says none does not, unless this is 0."""
    withhold: tuple[Matcher, ...] = ()
    redact: tuple[Redaction, ...] = ()
    rate: int = 0
    """Bytes a second upwards over this link; 0: as many as come."""
    down_kinds: tuple[str, ...] = DOWN_KINDS
    down_nodes: tuple[str, ...] = ()
    """Globs of the nodes to which something may descend; none: to all."""

    @property
    def name(self) -> str:
        """How it is named: ID@NUMBER."""
        return f"{self.id}@{self.number}"

    @property
    def changes(self) -> bool:
        """Whether it can withhold or redact anything."""
        return not self.ended and bool(
            self.up_nodes or self.up_level or self.withhold or self.redact or set(self.up_kinds) != set(KINDS)
        )

    @property
    def lowers(self) -> bool:
        """Whether it can hold back anything that descends."""
        return not self.ended and self._says_of_down

    @property
    def _says_of_down(self) -> bool:
        return bool(self.down_nodes) or set(self.down_kinds) != set(DOWN_KINDS)

    @property
    def plain(self) -> tuple[Any, ...]:
        """As it is signed: of the first version where nothing is said of the way down."""
        if self._says_of_down:
            return (BOTH_WAYS, *self)
        return (POLICY_VERSION, *self[:_UPWARD])

    @property
    def says(self) -> bool:
        """Whether it holds anything back: records, parts of them, bytes a second, or what descends."""
        return self.changes or self.lowers or bool(self.rate and not self.ended)


_UPWARD: Final = Policy._fields.index("down_kinds")
_WIDTHS: Final = {POLICY_VERSION: _UPWARD, BOTH_WAYS: len(Policy._fields)}


class EncodedPolicy(NamedTuple):
    """A policy as it travels, taken apart."""

    policy: Policy
    signed: bytes
    signature: bytes


def sign(policy: Policy, authority: PrivateKey) -> bytes:
    """The policy, signed by the authority of its zone. Raises TrustError for what no reader would take."""
    check(policy)
    signed = pack(policy._replace(issuer=authority.public.key_id).plain)
    encoded = pack((signed, authority.sign(keys.POLICY, signed)))
    read(encoded)
    return encoded


def verify(found: EncodedPolicy, authority: PublicKey) -> bool:
    """Whether that key signed it; whose key that is, is another matter."""
    return found.policy.issuer == authority.key_id and authority.verifies(
        keys.POLICY, found.signed, found.signature
    )


def read(encoded: bytes) -> EncodedPolicy:
    """Take a policy apart and check all of it; nothing is believed of it yet. Raises TrustError."""
    if type(encoded) is not bytes:
        raise _malformed("not a policy", "bytes", encoded)
    outer = decoded(encoded, MAX_DOCUMENT, 2, "a policy")
    if len(outer) != 2 or not all(type(part) is bytes for part in outer) or len(outer[1]) != SIGNATURE_BYTES:
        raise _malformed("not a policy", "content and a signature", outer)
    signed, signature = outer
    value = decoded(signed, MAX_DOCUMENT, MAX_RULES, "a policy")
    version = value[0] if value else None
    known = next((each for each in _WIDTHS if is_version(version, each)), None)
    if known is None or len(value) != 1 + _WIDTHS[known]:
        raise _malformed("not a policy of this version", f"version {' or '.join(map(str, _WIDTHS))}", value)
    *plain, withhold, redact, rate = value[1 : 1 + _UPWARD]
    if type(redact) is not tuple or not all(
        type(rule) is tuple and len(rule) == len(Redaction._fields) for rule in redact
    ):
        raise _malformed("malformed redactions", "lists of kind, name, pattern and text", redact)
    downward = value[1 + _UPWARD :] or (DOWN_KINDS, ())
    policy = Policy._make((*plain, withhold, tuple(Redaction(*rule) for rule in redact), rate, *downward))
    if type(policy.issuer) is not bytes or len(policy.issuer) != ID_BYTES:
        raise _malformed("not the id of a key", f"{ID_BYTES} bytes", policy.issuer)
    check(policy)
    return EncodedPolicy(policy, signed, signature)


def check(policy: Policy) -> None:
    """Raises TrustError, whose `where` names the field, unless a policy is one that every broker can apply."""
    if type(policy.id) is not str or NAME.fullmatch(policy.id) is None:
        raise _malformed("not the id of a policy", NAME_FORM, policy.id, "id")
    if not (is_time(policy.number) and policy.number):
        raise _malformed("a wrong number of a policy", "a number from 1 on", policy.number, "number")
    for key, zone in (("zone", policy.zone), ("below", policy.below)):
        _check_zone(key, zone)
    if policy.below != policy.zone and policy.below.rpartition("/")[0] != policy.zone:
        raise _malformed(
            "a policy for a link that its zone has not",
            f"{policy.zone} itself, or a zone right below it",
            policy.below,
            "below",
        )
    if not is_time(policy.time) or type(policy.ended) is not bool:
        raise _malformed("a malformed policy", "a time and a truth", (policy.time, policy.ended))
    for key, kinds, known in (
        ("up_kinds", policy.up_kinds, KINDS),
        ("down_kinds", policy.down_kinds, DOWN_KINDS),
    ):
        _check_texts(key, kinds)
        if unknown := set(kinds) - set(known):
            raise _malformed("unknown kinds", " and ".join(known), sorted(unknown), key)
    _check_texts("up_nodes", policy.up_nodes)
    _check_texts("down_nodes", policy.down_nodes)
    _check_number("up_level", policy.up_level, MAX_LEVEL)
    _check_number("rate", policy.rate, MAX_RATE)
    for number, matcher in enumerate(_listed("withhold", policy.withhold), 1):
        _check_matcher(f"withhold {number}", matcher)
    for number, rule in enumerate(_listed("redact", policy.redact), 1):
        _check_redaction(f"redact {number}", rule)


def newest(documents: tuple[EncodedPolicy, ...]) -> dict[str, EncodedPolicy]:
    """Of each id the policy with the highest number, by id; those that have ended among them."""
    found: dict[str, EncodedPolicy] = {}
    for each in documents:
        known = found.get(each.policy.id)
        if known is None or known.policy.number < each.policy.number:
            found[each.policy.id] = each
    return dict(sorted(found.items()))


def _check_matcher(where: str, matcher: Any) -> None:
    pairs = matcher if type(matcher) is tuple else ()
    if not 1 <= len(pairs) <= MAX_RULES or not all(type(pair) is tuple and len(pair) == 2 for pair in pairs):
        raise _malformed("a malformed matcher", "at least one field and what it must be", matcher, where)
    for key, value in pairs:
        if key in (MIN_LEVEL, MAX_LEVEL_KEY):
            _check_number(f"{where}: {key}", value, MAX_LEVEL)
            continue
        named = (
            type(key) is str
            and len(key) <= MAX_TEXT
            and (
                key == NODE or key in TEXT_FIELDS or (key.startswith(ATTRIBUTE) and len(key) > len(ATTRIBUTE))
            )
        )
        if not named:
            expected = (
                f"{NODE}, {MIN_LEVEL}, {MAX_LEVEL_KEY}, {ATTRIBUTE}NAME or one of {', '.join(TEXT_FIELDS)}"
            )
            raise _malformed("a matcher for what no record has", expected, key, where)
        _check_texts(f"{where}: {key}", (value,))
    if len({key for key, _value in pairs}) < len(pairs):
        raise _malformed("a field that is named twice", "each once", matcher, where)


def _check_redaction(where: str, rule: Any) -> None:
    if type(rule) is not Redaction or rule.kind not in (FIELD, ATTRIBUTE_KIND, PATTERN):
        raise _malformed("a malformed redaction", f"{FIELD}, {ATTRIBUTE_KIND} or {PATTERN}", rule, where)
    if type(rule.text) is not str or len(rule.text) > MAX_TEXT or not _is_clean(rule.text):
        raise _malformed("a wrong text", f"at most {MAX_TEXT} characters", rule.text, f"{where}: with")
    if rule.kind == ATTRIBUTE_KIND:
        _check_texts(f"{where}: {ATTRIBUTE_KIND}", (rule.name,))
    elif type(rule.name) is not str or rule.name not in TEXT_FIELDS:
        raise _malformed(
            "a redaction of what no record has", f"one of {', '.join(TEXT_FIELDS)}", rule.name, where
        )
    if type(rule.pattern) is not str or bool(rule.pattern) != (rule.kind == PATTERN):
        raise _malformed("a redaction with a wrong pattern", "one, where it is looked for", rule, where)
    if rule.pattern:
        check_pattern(rule.pattern, f"{where}: {PATTERN}")


def _check_texts(where: str, value: Any) -> None:
    for each in _listed(where, value):
        if type(each) is not str or not 1 <= len(each) <= MAX_TEXT or not _is_clean(each):
            raise _malformed("a wrong text", f"1 to {MAX_TEXT} characters", each, where)


def _listed(where: str, value: Any) -> tuple[Any, ...]:
    if type(value) is not tuple or len(value) > MAX_RULES:
        raise _malformed("a wrong list", f"at most {MAX_RULES}", value, where)
    return value


def _is_clean(text: str) -> bool:
    return "\0" not in text and text.isprintable()


def _check_number(where: str, value: Any, most: int) -> None:
    if type(value) is not int or not 0 <= value <= most:
        raise _malformed("a wrong number", f"0 to {most}", value, where)


def _check_zone(where: str, zone: Any) -> None:
    try:
        check_zone(zone)
    except (TabardError, TypeError, AttributeError) as error:  # the latter for what is no text
        raise _malformed("not a zone path", "names joined by /", zone, where) from error


def _malformed(what: str, expected: str, found: Any, where: str | None = None) -> TrustError:
    return TrustError(what, reason=reasons.MALFORMED, expected=expected, found=shown(found), where=where)
