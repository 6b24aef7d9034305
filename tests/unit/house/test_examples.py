"""What a page tells the reader to write is right: each example of settings loads without an error."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from tabard.settings import examine
from tests.unit.house.text import texts

ROOT: Final = Path(__file__).parents[3]
_TOML: Final = re.compile(r"^```toml\n(.*?)^```", re.MULTILINE | re.DOTALL)
EXAMPLES: Final = [
    pytest.param(example, id=f"{path}-{number}")
    for path, text in texts(ROOT)
    if path.suffix == ".md"
    for number, example in enumerate(_TOML.findall(text), 1)
]


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_of_settings_is_valid(tmp_path: Path, example: str) -> None:
    """Copied into tabard.toml, it is accepted as it stands, without a warning."""
    (tmp_path / "tabard.toml").write_text(example, encoding="utf-8")
    found = [str(finding.error) for finding in examine(tmp_path, env={}).findings]
    assert found == []


def test_there_are_examples() -> None:
    """The fences are still found: the pages show how to chain brokers and how to tail files."""
    assert len(EXAMPLES) >= 5
