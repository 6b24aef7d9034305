"""The search bench, small: its bare SQL asks for what the product finds, and a store is kept for the next run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tabard.consumers.store.engines import open_reader
from tabard.consumers.store.place import Place
from tabard.consumers.store.readonly import Connections
from tabard.consumers.store.results import LogPage
from tabard.ops.bench import library, search
from tabard.ops.bench.searched_server import served
from tabard.ops.bench.searching import questions
from tabard.ops.bench.table import Options


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("index", search.KINDS)
def test_the_bare_sql_finds_the_same(cache: Path, index: str) -> None:
    """Otherwise the two would not be compared."""
    directory = cache / "store"
    book = library.build(directory, 3_000, index, lambda _words: None)
    with open_reader(Place(str(directory))) as reader, Connections(directory).use() as connection:
        for question in questions("sqlite", index, book, (book.began + library.SPAN // 2, 0), 3):
            answer = question.ask(reader)
            rows = connection.execute(*question.bare).fetchall()
            if isinstance(answer, LogPage):
                assert [row.id for row in answer.rows] == [row[0] for row in rows], question.name
                assert answer.rows, question.name
            else:
                assert answer.records == rows[0][0]


@pytest.mark.usefixtures("postgres")
def test_the_bare_sql_finds_the_same_on_a_server() -> None:
    """There too."""
    with served(3_000, "trigram", lambda _words: None) as (place, book, bare), open_reader(place) as reader:
        for question in questions("postgresql", "trigram", book, (book.began + library.SPAN // 2, 0), 3):
            answer = question.ask(reader)
            rows = bare(*question.bare)
            if isinstance(answer, LogPage):
                assert [row.id for row in answer.rows] == [row[0] for row in rows], question.name
            else:
                assert answer.records == rows[0][0]


def test_a_store_is_kept_until_it_is_not_wanted(cache: Path) -> None:
    """It is built once; `fresh` removes what there is, and nothing else of the user's cache."""
    other = cache / "tabard" / "other"
    other.parent.mkdir()
    other.write_text("mine")
    said: list[str] = []
    options = Options(rows=2_000, rounds=2, search_index="words")
    measured = search.run(options, said.append)
    assert measured.results["rows"] == 2_000
    assert measured.results["rare_word"]["by"] == "index"
    assert measured.results["substring"]["by"] == "scan"
    assert set(measured.results["ingest"]) == set(search.KINDS)
    names = {aim.name for aim in measured.aims}
    assert "rare_word p95" in names
    assert not any(name.startswith("substring") for name in names)
    assert any("builds a store" in words for words in said)
    said.clear()
    search.run(options, said.append)
    assert any("built before" in words for words in said)
    said.clear()
    search.run(options._replace(fresh=True, rows=1_000), said.append)
    assert any("builds a store" in words for words in said)
    assert other.read_text() == "mine"
    assert len(list(library.shelf().iterdir())) == 1
