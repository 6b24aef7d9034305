"""Reads herald's pages as a browser would: elements and texts, not character sequences."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "link", "input", "img", "br", "line", "rect", "path"}


@dataclass
class Element:
    """One element with what is in it."""

    tag: str
    attributes: dict[str, str]
    children: list[Element] = field(default_factory=list)
    own: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All text below it, white space folded."""
        return " ".join(" ".join(self.pieces()).split())

    def pieces(self) -> Iterator[str]:
        """The texts below it, in about their order."""
        yield from self.own
        for child in self.children:
            yield from child.pieces()

    def walk(self) -> Iterator[Element]:
        """Every element below it."""
        for child in self.children:
            yield child
            yield from child.walk()

    def all(self, tag: str, name: str = "") -> list[Element]:
        """The elements with that tag and class."""
        return [
            element
            for element in self.walk()
            if element.tag == tag and (not name or name in element.attributes.get("class", "").split())
        ]


class _Builder(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.root = Element("", {})
        self._open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self._open[-1].children.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open[-1].children.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        for depth in range(len(self._open) - 1, 0, -1):
            if self._open[depth].tag == tag:
                del self._open[depth:]
                return

    def handle_data(self, data: str) -> None:
        self._open[-1].own.append(data)


def parse(text: str) -> Element:
    """The page as a tree."""
    builder = _Builder()
    builder.feed(text)
    builder.close()
    return builder.root


def messages(text: str) -> list[str]:
    """The messages of the log rows on a page, in order; gaps and doubts by their kind."""
    shown = []
    for row in parse(text).all("tr"):
        if "gap" in row.attributes.get("class", "").split():
            shown.append(row.all("strong")[0].text)
        else:
            shown += [element.text for element in row.all("div", "msg")]
    return shown
