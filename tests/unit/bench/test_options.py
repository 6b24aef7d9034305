"""A bench goes by the options that it is given, or refuses them."""

from __future__ import annotations

import ast
from importlib.util import find_spec
from pathlib import Path

import pytest

from tabard import exits
from tabard.ops.bench.table import BENCHES, Options, heeding
from tabard.ops.cli.bench import WORDS
from tests.unit.ops_reading.conftest import run_on


def test_the_table_says_what_each_bench_reads() -> None:
    """An option that its module never looks at is not in its row, and one that it looks at is."""
    for name, bench in BENCHES.items():
        spec = find_spec(bench.module)
        assert spec is not None
        assert spec.origin is not None
        tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
        read = {
            node.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "options"
        }
        assert read == bench.heeds, name


def test_every_option_has_a_word_and_a_bench() -> None:
    """So that an error can name both."""
    assert set(WORDS) == set(Options._fields)
    assert all(heeding(field) for field in Options._fields)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("search", "--records", "10"),
            "takes no --records: expected --records with ingest, retention, intake, logging and peers",
        ),
        (
            ("search", "--seconds", "10"),
            "takes no --seconds: expected --seconds with ingest, retention, agent and peers",
        ),
        (("retention", "--rounds", "2"), "takes no --rounds"),
        (("agent", "--records", "10"), "takes no --records"),
        (
            ("agent", "--store", "postgresql"),
            "takes no --store: expected --store with ingest, retention and search",
        ),
        (("agent", "pyzmq"), "takes no PEER: expected PEER with peers"),
        (("agent", "--long"), "takes no --long: expected --long with peers"),
        (("ingest", "--rows", "5000"), "takes no --rows: expected --rows with search"),
        (("ingest", "--index", "words"), "takes no --index: expected --index with search"),
        (("ingest", "--fresh"), "takes no --fresh: expected --fresh with search"),
    ],
)
def test_an_option_that_a_bench_does_not_heed_is_refused(
    tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    """Before anything is measured: no figure is of something else than was asked for."""
    done = run_on(tmp_path, "bench", *words)
    assert done.returncode == exits.WRONG_USE
    assert f"the bench {words[0]} {said}" in done.stderr
