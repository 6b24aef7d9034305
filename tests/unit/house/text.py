"""Reading the repository's own text: its tracked files, its Markdown headings and links."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_FENCE: Final = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_LINK: Final = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_HEADING: Final = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)
_TEXT: Final = {
    ".cfg",
    ".css",
    ".html",
    ".ini",
    ".js",
    ".mako",
    ".md",
    ".py",
    ".sh",
    ".toml",
    ".txt",
    ".svg",
    "",
}


def tracked(root: Path) -> list[Path]:
    """Every file of the repository, relative to its top: tracked, or new and not ignored."""
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    paths = [Path(name) for name in listed.split("\0") if name]
    return sorted(path for path in paths if (root / path).exists() or (root / path).is_symlink())


def texts(root: Path) -> Iterator[tuple[Path, str]]:
    """Each text file of the repository with what it says; vendored libraries speak for themselves."""
    for path in tracked(root):
        full = root / path
        if full.is_symlink() or path.suffix not in _TEXT or "vendor" in path.parts:
            continue
        yield path, full.read_text(encoding="utf-8")


def prose(markdown: str) -> str:
    """The text without its fenced blocks."""
    return _FENCE.sub("", markdown)


def links(markdown: str) -> list[str]:
    """The targets of all links, as written."""
    return _LINK.findall(prose(markdown))


def headings(markdown: str) -> list[str]:
    """All headings, in order."""
    return _HEADING.findall(prose(markdown))


def anchor(heading: str) -> str:
    """The fragment that a forge gives a heading."""
    plain = re.sub(r"[^\w\- ]", "", heading.strip().lower().replace("`", ""))
    return plain.replace(" ", "-")
