"""The table itself: complete, consistent, documented."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabard.errors import TabardError
from tabard.settings import load
from tabard.settings.docs import reference
from tabard.settings.kinds import Choice, Kind, Text, quoted
from tabard.settings.schema import Setting, Table
from tabard.settings.stages import ROWS as STAGE_ROWS
from tabard.settings.table import SCHEMA

ROOT = Path(__file__).parents[3]
TABLES = [*SCHEMA.tables, *(inner for table in SCHEMA.tables for inner in table.inner)]
ROWS = [*SCHEMA.settings, *STAGE_ROWS, *(row for table in TABLES for row in table.rows)]


def test_names_are_unique_and_in_a_described_section() -> None:
    """Each setting is ``section.key`` in a section that says what it is for."""
    names = [row.name for row in SCHEMA.settings]
    assert len(set(names)) == len(names)
    assert {name.split(".")[0] for name in names} == set(SCHEMA.sections)
    variables = [SCHEMA.variable(row.name) for row in SCHEMA.settings]
    assert len(set(variables)) == len(variables)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_row_has_a_sentence_and_a_default_of_its_own_kind(row: Setting) -> None:
    """The help is a sentence; the default survives being shown, read and written to a file."""
    assert re.fullmatch(r"\S.*\.", row.help)
    if row.default is None:
        return
    value = row.default_value()
    if not (value == "" and isinstance(row.kind, Text)):
        assert row.kind.read_text(row.show(value)) == value
    assert row.kind.read(tomllib.loads(f"x = {row.kind.toml(value)}")["x"]) == value


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_a_repeated_table_and_its_type_have_the_same_fields(table: Table) -> None:
    """What mypy is told and what the file may hold cannot drift apart."""
    rows = [row.name for row in table.rows] + [inner.name for inner in table.inner]
    assert table.make(**dict.fromkeys(rows, ""))._fields == tuple(rows)


def test_moved_names_point_to_settings_and_are_none() -> None:
    """A hint that leads to another unknown name would be worse than none."""
    names = {row.name for row in SCHEMA.settings}
    assert set(SCHEMA.moved.values()) <= names
    assert not set(SCHEMA.moved) & names


def test_the_reference_is_what_the_table_generates() -> None:
    """Regenerate with ``python -m tabard.settings.docs docs/reference/settings.md``."""
    page = (ROOT / "docs" / "reference" / "settings.md").read_text(encoding="utf-8")
    assert page == reference()
    for row in ROWS:
        assert f"`{row.name}`" in page


def test_the_references_example_is_valid(tmp_path: Path) -> None:
    """The example file on the page loads, with its stage."""
    example = re.search(r"```toml\n(.*?)```", reference(), re.DOTALL)
    assert example is not None
    (tmp_path / "tabard.toml").write_text(example[1])
    settings = load(tmp_path, "test", env={})
    assert settings.seconds("retention.logs_age") == 86400


@given(st.data())
def test_what_is_shown_reads_back(data: st.DataObject) -> None:
    """Every value a kind accepts is shown so that the environment and the file read it the same."""
    kind: Kind = data.draw(st.sampled_from([row.kind for row in SCHEMA.settings if row.kind.name in RAW]))
    raw = data.draw(RAW[kind.name])
    try:
        value = kind.read(raw)
    except TabardError:
        return
    assert kind.read_text(kind.show(value)) == value
    assert kind.read(tomllib.loads(f"x = {kind.toml(value)}")["x"]) == value


RAW: dict[str, st.SearchStrategy[object]] = {
    "number": st.integers(-5, 70_000),
    "flag": st.booleans(),
    "duration": st.builds(
        "{}{}".format, st.integers(0, 2000), st.sampled_from(["us", "ms", "s", "m", "h", "d"])
    ),
    "size": st.one_of(
        st.integers(0, 2**46),
        st.builds("{}{}".format, st.integers(0, 99), st.sampled_from(["KiB", "MB", "GiB"])),
    ),
    "one of": st.sampled_from(["full", "normal", "off"]),
    "node": st.from_regex(r"[a-z0-9.]{1,10}", fullmatch=True),
    "list of": st.lists(st.from_regex(r"[a-z0-9.-]{1,10}", fullmatch=True), max_size=5),
}


@given(st.text(st.characters(exclude_categories=["Cc", "Cs", "Cn", "Co", "Cf", "Zl", "Zp"]), max_size=30))
def test_quoted_text_is_toml(text: str) -> None:
    """What is suggested for the file can be pasted into it."""
    assert tomllib.loads(f"x = {quoted(text)}")["x"] == text


def test_every_reader_asks_for_a_setting_that_exists_by_its_type() -> None:
    """A misspelt name or a wrong type would fail only when that line runs: here it fails at once."""
    kinds = {
        "int": {"number"},
        "seconds": {"duration"},
        "bytes": {"size"},
        "flag": {"flag"},
        "strings": {"list of"},
    }
    known = SCHEMA.by_name()
    asked = 0
    for folder in ("src/tabard", "agents", "brokers", "consumers", "web", "ops"):
        for file in (ROOT / folder).rglob("*.py"):
            for kind, name in re.findall(
                r"settings\.(str|int|seconds|bytes|flag|strings)\(\s*\"([^\"{]+)\"",
                file.read_text(encoding="utf-8"),
            ):
                asked += 1
                assert name in known, f"{file}: {name}"
                wanted = kinds.get(kind)
                found = known[name].kind.name
                assert found in wanted if wanted else isinstance(known[name].kind, (Text, Choice)), (
                    f"{file}: {name}"
                )
    assert asked > 10
