"""Which files are templates, and which of them is meant: ``USE/NAME/PART[.LANGUAGE][@STAGE].j2``.

The language of a template is decided once, for all its parts, so that no mail has a German subject and an English
text: the language asked for, else the default one, else the parts that belong to no language; before a region's
language is given up for the next, that of no region. Within it, the file of the stage goes before the one of all
stages, and of two equals the one in the first folder.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from tabard.names import NAME, NAME_FORM
from tabard.templates.errors import TemplateError

USES: Final[Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "mail": (("subject", "text"), ("html",)),
    "shell": (("argv",), ("sh",)),
    "log": (("text",), ()),
}
"""The parts of a template of each use: those it must have, and others. A shell template has one of both."""
_FILE: Final = re.compile(
    r"([a-z]+)(?:\.([a-z]{2,3}(?:_[a-z0-9]{2,4})?))?(?:@([a-z0-9][a-z0-9._-]*?))?\.j2", re.ASCII
)
_LANGUAGE: Final = re.compile(r"([A-Za-z]{2,3}(?:[_-][A-Za-z0-9]{2,4})?)(?:\.[\w-]+)?(?:@\w+)?", re.ASCII)


class File(NamedTuple):
    """One file: a part of a template, in a language and for a stage where it says so."""

    folder: str
    use: str
    name: str
    part: str
    language: str
    stage: str

    @property
    def inner(self) -> str:
        """Its path below the folder of its use, the name by which templates include one another."""
        language = f".{self.language}" if self.language else ""
        stage = f"@{self.stage}" if self.stage else ""
        return f"{self.name}/{self.part}{language}{stage}.j2"

    @property
    def path(self) -> str:
        """Its path."""
        return os.path.join(self.folder, self.use, self.inner)


class Found(NamedTuple):
    """A template as it will be rendered: its parts, and the language that was decided on ("" for none)."""

    use: str
    name: str
    language: str
    parts: Mapping[str, File]


class Catalogue:
    """The templates below some folders, the first of which goes before the others. Reads the disk at every question."""

    def __init__(self, folders: Sequence[str | os.PathLike[str]]) -> None:
        if isinstance(folders, (str, bytes, os.PathLike)):  # the letters of a path are folders, too
            raise TemplateError("not a list of folders", template="folders", expected="a list", found=repr(folders)[:200])  # fmt: skip
        self.folders: Final = tuple(os.path.abspath(os.path.expanduser(folder)) for folder in folders)

    def find(self, use: str, name: str, languages: Sequence[str], stage: str) -> Found:
        """The template ``name`` in the first of ``languages`` it is there in. Raises TemplateError when it is not."""
        if use not in USES:
            raise TemplateError("no such use", template=repr(use), expected=f"one of {', '.join(USES)}")
        if NAME.fullmatch(name) is None:
            raise TemplateError(
                "not the name of a template", template=f"{use}/{name}"[:200], expected=NAME_FORM
            )
        files = list(self._files_of(use, name))
        for language in _tried(languages):
            parts = _parts(files, language, stage)
            if _whole(use, parts) and (
                not language or any(file.language == language for file in parts.values())
            ):
                return Found(use, name, language, parts)
        raise self._missing(use, name, files, stage)

    def names(self) -> list[tuple[str, str]]:
        """Use and name of all there are."""
        found = {
            (use, entry.name)
            for use in USES
            for folder in self.folders
            for entry in _entries(os.path.join(folder, use))
            if entry.is_dir() and NAME.fullmatch(entry.name)
        }
        return sorted(found)

    def files(self, use: str, name: str) -> list[File]:
        """Every file of a template."""
        return list(self._files_of(use, name))

    def strays(self) -> list[str]:
        """Files below the folders that will never be used, because their names say nothing."""
        found = []
        for folder in self.folders:
            for use in USES:
                for entry in _entries(os.path.join(folder, use)):
                    if not entry.is_dir() or NAME.fullmatch(entry.name) is None:
                        found.append(entry.path)
                    else:
                        found += [each.path for each in _entries(entry.path) if _part(use, each.name) is None]
        return found

    def _files_of(self, use: str, name: str) -> Iterator[File]:
        for folder in self.folders:
            for entry in _entries(os.path.join(folder, use, name)):
                match = _part(use, entry.name)
                if match is not None:
                    yield File(folder, use, name, match[1], match[2] or "", match[3] or "")

    def _missing(self, use: str, name: str, files: Sequence[File], stage: str) -> TemplateError:
        needed, others = USES[use]
        one = " or ".join if use == "shell" else " and ".join
        parts = one([*needed, *others] if use == "shell" else needed)
        if files:
            have = ", ".join(sorted({file.inner.partition("/")[2] for file in files}))
            return TemplateError(
                "no language has the template whole",
                template=f"{use}/{name}",
                expected=f"{parts} in one language" + (f" for the stage {stage} or for all" if stage else ""),
                found=have,
            )
        import difflib  # only on the way to an error

        known = [each for kind, each in self.names() if kind == use]
        close = difflib.get_close_matches(name, known, n=1)
        return TemplateError(
            "no such template",
            template=f"{use}/{name}",
            expected=f"a folder {use}/{name} with {parts} in {' or '.join(self.folders) or 'a folder of templates'}",
            hint=f"Did you mean {close[0]}?" if close else "`tabard template list` shows what there is",
        )


def language_of(text: str) -> str:
    """A language as file names have it. Raises TemplateError when it is none.

    DE and de are the same, and so are de-CH, de_CH and de_CH.UTF-8.
    """
    match = _LANGUAGE.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        expected = "two letters such as de or EN, with a region or without, such as de_CH"
        raise TemplateError("not a language", template="language", expected=expected, found=repr(text)[:200])
    return match[1].lower().replace("-", "_")


def _tried(languages: Sequence[str]) -> list[str]:
    """The languages in the order they are looked for: each with its region, then without; in the end none at all."""
    each = (tried for language in languages for tried in (language, language.partition("_")[0]))
    return list(dict.fromkeys((*each, "")))


def _part(use: str, name: str) -> re.Match[str] | None:
    """The parts of a file's name, None when it is no template of that use."""
    match = _FILE.fullmatch(name)
    needed, others = USES[use]
    return match if match and match[1] in (*needed, *others) else None


def _parts(files: Sequence[File], language: str, stage: str) -> dict[str, File]:
    """The best file for each part; files come in the order of their folders.

    A region needs to have only the parts that it says differently.
    """
    parts: dict[str, File] = {}
    ranks: dict[str, tuple[int, bool]] = {}
    order = ["", language.partition("_")[0], language]
    for file in files:
        if file.language not in order or file.stage not in {stage, ""}:
            continue
        rank = (order.index(file.language), file.stage == stage)
        if file.part not in parts or rank > ranks[file.part]:
            parts[file.part], ranks[file.part] = file, rank
    return parts


def _whole(use: str, parts: Mapping[str, File]) -> bool:
    needed, others = USES[use]
    if use == "shell":
        return any(part in parts for part in (*needed, *others))
    return all(part in parts for part in needed)


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(
                (entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name
            )
    except (FileNotFoundError, NotADirectoryError):
        return []
