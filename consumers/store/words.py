"""What a word is, and what an index has to hold so that it finds every record a search means.

A word is found where the text occurs and no letter or digit adjoins it: ``17`` is in ``order-17`` and not in ``170``,
``10.0.0.1`` is in ``10.0.0.1:80`` and not in ``110.0.0.1``. Letters and digits are those of ASCII and whatever is neither
ASCII nor among the separators below: a table of our own, because each engine knows another one, by its locale at that.

An index answers with candidates: with all records that are meant, and perhaps with others. The conditions of `filters`
decide on each of them, so that a search finds the same with an index and without. What keeps the promise of all:

* a word of the index (a token) is a run of letters and digits, of which a word that is searched has whole ones only;
* the index of substrings holds every three neighbouring characters;
* a text beyond ASCII is indexed twice, as it is and folded, since it is searched in both ways.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import Final
from unicodedata import normalize

MOST_WORDS: Final = 16
"""Words of one search; further ones are refused."""
MOST_TRIGRAMS: Final = 24
"""Of one text that are looked up: a longer text is found by some of its own."""

_ASCII_SEPARATORS: Final = ((0x00, 0x2F), (0x3A, 0x40), (0x5B, 0x60), (0x7B, 0x7F))
_OTHER_SEPARATORS: Final = (
    (0x80, 0xA9), (0xAB, 0xB4), (0xB6, 0xB9), (0xBB, 0xBF), (0xD7, 0xD7), (0xF7, 0xF7),
    (0x2000, 0x2BFF),  # punctuation, arrows, boxes, symbols
    (0x2E00, 0x2E7F), (0x3000, 0x3004), (0x3008, 0x3020), (0x3030, 0x3030),
    (0xD800, 0xF8FF), (0xFE10, 0xFE1F), (0xFE30, 0xFE6F), (0xFEFF, 0xFF0F), (0xFF1A, 0xFF20), (0xFF3B, 0xFF40),
    (0xFF5B, 0xFF65), (0xFFE0, 0xFFFF), (0x1F000, 0x1FAFF),
)  # fmt: skip


def fold(text: str | None) -> str | None:
    """The text without regard to case, and with each accented letter in its one-character form."""
    return None if text is None else normalize("NFC", normalize("NFC", text).casefold())


def _ranges(escape: str, long: str, first: int) -> str:
    """The separators within a bracket expression of a dialect, from the character `first` on."""

    def written(code: int) -> str:
        return escape.format(code) if code < 0x1_0000 else long.format(code)

    ranges = ((max(low, first), high) for low, high in (*_ASCII_SEPARATORS, *_OTHER_SEPARATORS))
    return "".join(f"{written(low)}-{written(high)}" for low, high in ranges)


SEPARATORS: Final = "[" + _ranges(r"\u{:04x}", r"\U{:08x}", 0) + "]"
"""One character that belongs to no word, as a regular expression of Python."""
_RUN: Final = re.compile(f"[^{SEPARATORS[1:]}+")
_LETTERS: Final = re.compile(f"[0-9A-Za-z]+|[^\\x00-\\x7f{SEPARATORS[1:-1]}]+")
_SEPARATOR: Final = re.compile(f"{SEPARATORS}+")
# Surrogates are no characters there, and U+0000 is none of a text.
SEPARATORS_POSTGRESQL: Final = (
    "[" + _ranges(r"\u{:04x}", r"\U{:08x}", 1).replace(r"\ud800-", r"\ue000-") + "]"
)
"""The same as PostgreSQL writes it."""

_ASCII_PARTING: Final = [code for code in range(1, 128) if not chr(code).isalnum()]
ASCII_POSTGRESQL: Final = "".join(f"\\x{code:02x}" for code in _ASCII_PARTING)
"""The separators of ASCII within E'...'."""
ASCII_SEPARATORS: Final = len(_ASCII_PARTING)


def split(text: str) -> tuple[str, ...]:
    """The words of what a person typed: parted by white space, each once."""
    return tuple(dict.fromkeys(text.split()))


def has_word(text: str | None, word: str) -> bool:
    """Whether the text has that word, in any case of its letters; see `LogQuery.words`."""
    if text is None:
        return False
    if not word.isascii():
        return _folded_pattern(word).search(fold(text) or "") is not None
    if not text.isascii():
        return _ascii_pattern(word).search(text) is not None
    # Nearly all texts are of ASCII, and here is where a search for a frequent word spends its time.
    form, wanted, size = text.lower(), word.lower(), len(word)
    at = form.find(wanted)
    while at >= 0:
        end = at + size
        if not (form[at - 1 : at].isalnum() or form[end : end + 1].isalnum()):
            return True
        at = form.find(wanted, at + 1)
    return False


@functools.lru_cache(maxsize=256)
def _ascii_pattern(word: str) -> re.Pattern[str]:
    return re.compile(_bounded(word), re.IGNORECASE | re.ASCII)


@functools.lru_cache(maxsize=256)
def _folded_pattern(word: str) -> re.Pattern[str]:
    return re.compile(_bounded(fold(word) or ""))


def _bounded(word: str) -> str:
    letter = f"[^{SEPARATORS[1:]}"
    return f"(?<!{letter}){re.escape(word)}(?!{letter})"


# --- what is indexed ------------------------------------------------------------------------------------


def indexed_words(text: str) -> str:
    """A text beyond ASCII as the index of words takes it, which parts at what is an ASCII separator only."""
    return _SEPARATOR.sub(" ", f"{text} {fold(text)}")


def indexed_text(text: str) -> str:
    """A text beyond ASCII as the index of substrings takes it."""
    return f"{text}\n{fold(text)}"


# --- what is looked up ----------------------------------------------------------------------------------


def said(text: str) -> str:
    """A text that is searched, in the form in which the index has it."""
    return text.lower() if text.isascii() else fold(text) or ""


def tokens(word: str) -> list[str]:
    """The whole runs of letters and digits of a word; without any the index of words cannot find it."""
    return list(dict.fromkeys(_RUN.findall(said(word))))


def runs(word: str) -> list[str]:
    """The whole runs of letters and digits of a word, as they were given."""
    return _RUN.findall(word)


def letters(text: str) -> list[str]:
    """The runs of ASCII letters and digits in a text, and those of other letters."""
    return _LETTERS.findall(text)


def trigrams(text: str) -> list[str]:
    """Neighbouring characters, three each, spread over the text; without any the index cannot find it."""
    form = said(text)
    found = list(dict.fromkeys(form[at : at + 3] for at in range(len(form) - 2)))
    if len(found) <= MOST_TRIGRAMS:
        return found
    return [found[place * (len(found) - 1) // (MOST_TRIGRAMS - 1)] for place in range(MOST_TRIGRAMS)]


def matching(kind: str, text: str | None, words: Sequence[str]) -> str:
    """What FTS5 is asked for the candidates; "" when an index of that kind does not narrow the search.

    `kind` is ``words`` or ``trigram``.
    """
    if kind == "words":
        found = [token for word in words for token in tokens(word)]
    else:
        found = [part for each in ((text,) if text else ()) + tuple(words) for part in trigrams(each)]
    return " AND ".join('"' + part.replace('"', '""') + '"' for part in dict.fromkeys(found))


def advice(how: str, text: str | None) -> str:
    """What to tell somebody whose search took long, by how it went; see `results.LogPage.index`."""
    if how == "partly":
        return "the search index is still being built; what is not in it yet had to be read"
    if text is not None and len(said(text)) < 3:
        return "no index finds a text of less than three characters: every record had to be read"
    kind = "words" if text is None else "trigram"
    return f'every record had to be read; a search index finds it at once: store.index = "{kind}"'
