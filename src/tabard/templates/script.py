"""A shell script with marks for values: put in quoted where that is safe, refused where no quoting would be."""

from __future__ import annotations

import re
from typing import Any, Final, NoReturn

from tabard.templates.words import BadValue, Marks, dash

_REFUSED: Final = {
    "`": "backquotes, which read their content twice: use $( )",
    "<<": "a here-document: use printf and a pipe",
    "((": "arithmetic, in which a value could be a command: compute it in Python",
    "$'": "$'...', which shells read differently",
    '$"': '$"...", which shells read differently',
}
"""What may not stand in a script that has values, outside of single quotes."""
_REREADERS: Final = frozenset({"eval", "[["})
"""What reads its words again, wherever it stands."""
_LATER: Final = frozenset({"trap", "alias", "let"})
"""Commands that read their own words again, now or later."""
_BEFORE_COMMANDS: Final = frozenset({"!", "{", "if", "then", "elif", "else", "while", "until", "do", "time", "command", "builtin", "exec"})  # fmt: skip
_ASSIGNMENT: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=.*", re.ASCII | re.DOTALL)
_QUOTES: Final = str.maketrans("", "", "\\'\"")
_VARIABLE: Final = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}", re.ASCII)
_SNIPPET: Final = 24
_WORD_ENDS: Final = " \t\n;|&()<>"
_COMMAND_ENDS: Final = "\n;|&("


def script(text: str, marks: Marks) -> str:
    """The script with all values in it, each quoted. Raises BadValue where one stands where quoting does not help."""
    marks.check(text)
    if marks.pattern.search(text) is None:
        return text
    return _Reader(text, marks).read()


def quoted(value: str) -> str:
    """``value`` as one word. Always in quotes: a bare ``if`` or ``A=1`` would be more than a word."""
    return "'" + value.replace("'", "'\"'\"'") + "'"


class _Reader:
    """Reads as a POSIX shell does, as far as quotes, comments and words go."""

    def __init__(self, text: str, marks: Marks) -> None:
        self._text = text
        self._marks = marks
        self._at = 0
        self._out: list[str] = []
        self._word = ""
        """What the current word has so far, a value as one character."""
        self._words = 0
        """Words of the current command before it."""
        self._command = ""
        """The first of them that is no assignment and no key word."""
        self._dashes = False
        """Whether one of them was ``--``, after which nothing is an option."""
        self._braces = 0

    def read(self) -> str:
        """The whole."""
        while self._at < len(self._text):
            self._plain()
        self._end_word()
        return "".join(self._out)

    def _plain(self) -> None:
        match = self._marks.pattern.match(self._text, self._at)
        if match:
            self._value(match)
            return
        for refused, why in _REFUSED.items():
            if self._text.startswith(refused, self._at):
                self._refuse(f"expected none of it in a script with values, found {why}")
        char = self._text[self._at]
        if char == "\\":
            self._escape()
        elif char == "'":
            self._quoted(self._text.find("'", self._at + 1))
        elif char == '"':
            self._quoted(self._closing())
        elif char == "#" and not self._word:
            self._comment()
        else:
            self._step(char)

    def _step(self, char: str) -> None:
        if char == "$" and self._text.startswith("${", self._at):
            self._braces += 1
        elif char == "}" and self._braces:
            self._braces -= 1
        if char in _WORD_ENDS:
            self._end_word()
            if char in _COMMAND_ENDS:
                self._words, self._dashes, self._command = 0, False, ""
        else:
            self._word += char
        self._take(1)

    def _value(self, match: re.Match[str]) -> None:
        if self._braces:
            self._refuse("expected no value inside ${ }, found one")
        if self._word.endswith("$"):
            self._refuse("expected no $ before a value, found one: shells would read both together")
        if self._command in _LATER:
            self._refuse(
                f"expected no value behind {self._command}, found one: it reads it again, as a command"
            )
        value: Any = self._marks.value(match)
        if not self._word and self._words and not self._dashes and self._marks.risky(value):
            self._refuse(dash(value))
        if isinstance(value, list):
            after = self._text[match.end() : match.end() + 1]
            if self._word or (after and after not in _WORD_ENDS):
                self._refuse("expected one value within a word, found a list: let it stand alone")
            self._out.append(" ".join(map(quoted, value)))
        else:
            self._out.append(quoted(value))
        self._word += "\ue000"
        self._at = match.end()

    def _escape(self) -> None:
        if self._marks.pattern.match(self._text, self._at + 1):
            self._refuse("expected a value without a backslash before it, found one: it is quoted already")
        if self._text[self._at + 1 : self._at + 2] != "\n":
            self._word += self._text[self._at : self._at + 2]
        self._take(2)

    def _quoted(self, end: int) -> None:
        """Copy a quoted piece, which must not hold a value: its quotes would end at those of the value."""
        if end < 0:
            self._refuse("expected a closing quote, found none")
        piece = self._text[self._at : end + 1]
        if self._marks.pattern.search(piece):
            self._refuse("expected a value outside of quotes, found one inside: it is quoted already")
        self._word += piece
        self._take(len(piece))

    def _closing(self) -> int:
        """Where a double quote ends; nothing in it may open another level."""
        at = self._at + 1
        while at < len(self._text) and self._text[at] != '"':
            nested = self._text[at] == "`" or self._text.startswith("$(", at)
            if nested or (self._text.startswith("${", at) and not _VARIABLE.match(self._text, at)):
                self._refuse(
                    "expected no command inside double quotes, found one: give it to a variable first"
                )
            at += 2 if self._text[at] == "\\" else 1
        return at if at < len(self._text) else -1

    def _comment(self) -> None:
        end = self._text.find("\n", self._at)
        piece = self._text[self._at : end if end >= 0 else len(self._text)]
        if self._marks.pattern.search(piece):
            self._refuse("expected no value in a comment, found one: a line end in it would end the comment")
        self._take(len(piece))

    def _end_word(self) -> None:
        bare = self._word.translate(_QUOTES)
        if bare in _REREADERS and (self._word == bare or not self._command):
            self._refuse(f"expected no {bare} in a script with values, found it: it reads them again")
        if self._word:
            self._words += 1
            if not self._command and bare not in _BEFORE_COMMANDS and not _ASSIGNMENT.fullmatch(self._word):
                self._command = bare
            self._dashes = self._dashes or self._word == "--"
        self._word = ""

    def _take(self, count: int) -> None:
        self._out.append(self._text[self._at : self._at + count])
        self._at += count

    def _refuse(self, why: str) -> NoReturn:
        around = self._text[max(self._at - _SNIPPET, 0) : self._at + 2 * _SNIPPET]
        near = self._marks.pattern.sub("{{ }}", around).partition("\ue000")[0].strip()
        raise BadValue(f"{why} (near {near!r})")
