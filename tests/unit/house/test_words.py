"""The words of the house: each defined once, none left open, none of another house."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from tests.unit.house.text import headings, prose, texts

TERMS: Final = """
    zone, node, agent, broker, link, tunnel, lane, record, batch, stream, journal, epoch, seq, cursor, credit, sink,
    gap, stub, beacon, recorder, command, neelix, rule, reaction, silence, acknowledgement, eventor, program, run,
    event, step, association, sequence, task, attempt, recovery, service, domain, name, instance, parent, producer,
    consumer, action, component, stage, intake, mark, session, hello, frame, segment, outbox, quarantine, fail-point,
    herald, store, home, spool, doubt, publisher, shard, attach, poison, machine, state, template,
    lease, fence, takeover, lab, key, authority, certificate, roster, tombstone
"""
# Another word for a thing that has one already, and the word that the glossary gives it.
STRANGERS: Final = {
    r"master|slave|minion": "recorder, broker or node",
    r"blacklist|whitelist": "refused, allowed",
    r"heart-beat": "beacon or heartbeat",
    r"dead.?letter(?: queue)?": "quarantine",
    r"watermark": "high-water mark",
}
OPEN_ENDS: Final = re.compile(
    r"\b(?:TODO|FIXME|XXX|HACK|TBD)\b|lorem ipsum|coming soon|\bplaceholder\b", re.IGNORECASE
)
# A path into someone's home directory says on whose machine a file was written.
MACHINE_PATHS: Final = re.compile(r"(?<![\w.~])/(?:home|Users)/(?!you\b|USER\b|<)\w+|(?<![\w.])/root/\w")
HERE: Final = Path("tests/unit/house")


def test_the_glossary_defines_every_term_once(root: Path) -> None:
    """Each word of the house has exactly one heading in the glossary, in lower case."""
    found = headings((root / "docs/glossary.md").read_text(encoding="utf-8"))
    terms = [term.strip() for term in TERMS.split(",")]
    assert [term for term in terms if found.count(term) != 1] == []


def test_the_glossary_is_in_alphabetical_order(root: Path) -> None:
    """The reader finds a word where the alphabet puts it."""
    terms = headings((root / "docs/glossary.md").read_text(encoding="utf-8"))[1:]
    assert terms == sorted(terms)


def test_every_definition_says_something(root: Path) -> None:
    """Each term is followed by at least a sentence of its own."""
    sections = re.split(r"^## ", (root / "docs/glossary.md").read_text(encoding="utf-8"), flags=re.MULTILINE)[
        1:
    ]
    thin = [section.partition("\n")[0] for section in sections if len(section.partition("\n")[2].split()) < 8]
    assert thin == []


def test_no_page_uses_a_second_word_for_the_same_thing(root: Path) -> None:
    """What the glossary names one way is not called another way in prose."""
    found = [
        f"{path}: {match.group()}: say {better}"
        for path, text in texts(root)
        if path.suffix == ".md"
        for stranger, better in STRANGERS.items()
        for match in re.finditer(rf"\b(?:{stranger})s?\b", prose(text), re.IGNORECASE)
    ]
    assert found == []


def test_nothing_is_left_open(root: Path) -> None:
    """No file promises to be finished later. HTML and CSS have an attribute of one of these names."""
    found = [
        f"{path}:{number}: {line.strip()[:80]}"
        for path, text in texts(root)
        if path.parent != HERE
        for number, line in enumerate(text.splitlines(), 1)
        if OPEN_ENDS.search(line.replace("placeholder=", "").replace("::placeholder", ""))
    ]
    assert found == []


def test_no_file_names_a_path_of_somebodys_machine(root: Path) -> None:
    """Paths in code, tests and pages hold on every machine."""
    found = [
        f"{path}: {match.group()}"
        for path, text in texts(root)
        if path.parent != HERE
        for match in MACHINE_PATHS.finditer(text)
    ]
    assert found == []
