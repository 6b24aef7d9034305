"""Statements: one description, and each engine's own text of it."""

from __future__ import annotations

import dataclasses
import re

import pytest
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.dialects.postgresql import psycopg2
from sqlalchemy.engine import Dialect

from tabard.consumers.store import statements
from tabard.consumers.store.layout import FILES, FileKind
from tabard.errors import StoreError

POSTGRES = [postgresql.dialect(paramstyle="format"), psycopg2.dialect(paramstyle="format")]


def texts(found: statements.Statements | statements.PresenceStatements) -> dict[str, str]:
    """Every text, by its name; those of one stream by the stream as well."""
    flat = {}
    for field in dataclasses.fields(found):
        value = getattr(found, field.name)
        for key, text in (value if isinstance(value, dict) else {"": value}).items():
            flat[f"{field.name} {key}"] = text
    return flat


def spare(text: str, mark: str) -> str:
    """A text with one kind of parameter mark, on one line, and without casts and table names that a dialect adds."""
    text = re.sub(r"RETURNING \w+\.", "RETURNING ", re.sub(r"::\w+", "", text))
    return " ".join(text.replace(mark, "?").split())


@pytest.mark.parametrize("dialect", POSTGRES, ids=lambda dialect: dialect.driver)
@pytest.mark.parametrize("kind", FILES, ids=lambda kind: kind.name)
def test_every_statement_has_a_text_for_postgresql(kind: FileKind, dialect: Dialect) -> None:
    """With the parameters of SQLite's, in the same order, so that one writer serves both."""
    ours = texts(statements.sqlite_statements(kind)) | texts(statements.sqlite_presence())
    theirs = texts(statements.statements(kind, dialect)) | texts(statements.presence_statements(dialect))
    assert theirs.keys() == ours.keys()
    for name, text in theirs.items():
        assert spare(text, "%s") == spare(ours[name], "?"), name


@pytest.mark.parametrize("kind", FILES, ids=lambda kind: kind.name)
def test_an_insert_answers_only_where_its_id_is_needed(kind: FileKind) -> None:
    """Of a million rows nobody wants to be told the ids."""
    found = texts(statements.statements(kind, POSTGRES[0]))
    assert {name for name, text in found.items() if "RETURNING" in text} == {
        "add_node ",
        "add_epoch ",
        "add_policy ",
    }


def test_another_engine_is_refused_with_a_sentence() -> None:
    """Not half supported; and a text whose parameters have names would be run with tuples."""
    with pytest.raises(StoreError, match="expected SQLite or PostgreSQL, found mysql"):
        statements.statements(FILES[0], mysql.dialect(paramstyle="format"))
    with pytest.raises(ValueError, match="by position"):
        statements.statements(FILES[0], postgresql.dialect(paramstyle="pyformat"))
