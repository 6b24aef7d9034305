"""docs/protocol.md describes what is on the wire: every message, every field, every limit that the code has."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import pytest

from tabard import records
from tabard.brokers.policy import document, patterns
from tabard.brokers.trust import certificates, directory, rosters
from tabard.brokers.wire import (
    answers,
    attested,
    batch,
    command,
    credentials,
    messages,
    points,
    streams,
    tally,
    topics,
)
from tabard.brokers.wire import rosters as travelling

MESSAGES: Final[tuple[Any, ...]] = (
    certificates.Certificate,
    rosters.Revocation,
    rosters.Roster,
    rosters.Tombstone,
    document.Policy,
    document.Redaction,
    attested.Proof,
    batch.Header,
    command.Approval,
    command.Command,
    command.Document,
    command.Order,
    command.Parcel,
    messages.Beacon,
    messages.BeaconStream,
    messages.Cursor,
    messages.CursorStream,
    messages.Envelope,
    messages.Hello,
    messages.Message,
    messages.Retire,
    messages.Want,
    tally.Sent,
    tally.Tally,
    tally.Told,
    travelling.Ask,
    travelling.Part,
    travelling.Speaker,
    travelling.Version,
)


@pytest.fixture(scope="module")
def page(root: Path) -> str:
    return (root / "docs/protocol.md").read_text(encoding="utf-8")


def _says(page: str, word: str) -> bool:
    return re.search(rf"`[^`\n]*\b{re.escape(word)}\b[^`\n]*`|\*\*{re.escape(word)}\*\*", page) is not None


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.__name__)
def test_every_field_of_a_message_is_described(page: str, message: Any) -> None:
    """Each field stands on the page, marked as code: whoever writes another end needs no source."""
    assert [field for field in message._fields if not _says(page, field)] == []


def test_no_message_is_left_out() -> None:
    """A message type that is added to the wire has to be added to this test, and so to the page."""
    found = {
        value
        for module in (attested, batch, command, messages, tally, travelling)
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, tuple) and value.__module__ == module.__name__
    }
    trust = {each for each in MESSAGES if "trust" in each.__module__ or "policy" in each.__module__}
    parts = {batch.Batch, attested.AttestedBody, attested.Parted}
    assert found - parts == set(MESSAGES) - trust


def test_the_layouts_of_records_are_described(page: str) -> None:
    """Positions have names on the page: the fields of a log record and of a sample."""
    assert [name for name in (*records.LOG_FIELDS, *records.SAMPLE_FIELDS) if not _says(page, name)] == []


def test_what_a_node_answers_is_described(page: str) -> None:
    """Each kind of record in which a node says what became of a command."""
    assert [kind for kind in (*answers.STATE_OF, answers.OUTPUT) if not _says(page, kind)] == []


def test_streams_versions_and_limits_are_the_codes(page: str) -> None:
    """The page names the streams and states the limits that the code enforces, as numbers."""
    assert [name for name in streams.STREAM_NAMES.values() if not _says(page, name)] == []
    plain = page.replace(",", "").replace("_", "")
    limits = (
        records.MAX_RECORD,
        records.MAX_RECORDS,
        records.MAX_BODY,
        topics.SHARDS,
        messages.MAX_EPOCHS,
        certificates.MAX_SINKS,
        directory.MAX_CHAIN,
        rosters.MAX_MEMBERS,
        rosters.MAX_ROSTER,
        rosters.MAX_POLICIES,
        rosters.MAX_POLICY,
        document.MAX_RULES,
        document.MAX_TEXT,
        attested.MAX_PROOF,
        attested.MAX_PROOFS,
        attested.MAX_ALL_PROOFS,
        patterns.MAX_REPEAT,
        patterns.MAX_STEPS,
        credentials.MAX_CREDENTIALS,
        credentials.MAX_CERTIFICATE,
        credentials.MAX_CERTIFICATES,
        credentials.MAX_CHAINS,
        command.MAX_DOCUMENT,
        command.MAX_WORDS,
        command.MAX_WORD,
        command.MAX_APPROVALS,
        command.MAX_COMMAND,
        command.MAX_DAYS,
        int(command.MAX_TIMEOUT),
        points.MAX_POINTS,
    )
    assert [limit for limit in limits if not re.search(rf"\b{limit}\b", plain)] == []
    assert [role for role in certificates.ROLES if f"`{role}`" not in page] == []
    assert re.search(rf"[Vv]ersion:? {messages.MESSAGE_VERSION}\b", page)
