"""``Templates``: what an application asks for by name."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tabard.errors import TabardError
from tabard.settings.given import Application, language_said, settings_of
from tabard.settings.values import Settings
from tabard.templates.catalogue import Catalogue, Found, language_of
from tabard.templates.errors import TemplateError
from tabard.templates.script import script
from tabard.templates.words import BadValue, Marks, argv

if TYPE_CHECKING:
    from tabard.templates.engine import Engine

SHELL: Final = "/bin/sh"
LANGUAGE: Final = "en"
Folder = str | os.PathLike[str]


class MailText(NamedTuple):
    """What a mail says."""

    subject: str
    text: str
    html: str | None = None


class Templates:
    """The templates below some folders, in one language and for one stage.

    A template that is not there in ``language`` is taken in ``default_language``. Files are read anew when they
    change. Safe to use in several threads. Raises TemplateError for what is missing, malformed or without a value.
    """

    def __init__(
        self,
        folders: Sequence[Folder],
        *,
        language: str = LANGUAGE,
        default_language: str = LANGUAGE,
        stage: str = "",
    ) -> None:
        self.catalogue: Final = Catalogue(folders)
        self.language: Final = language_of(language)
        self.default_language: Final = language_of(default_language)
        self.stage: Final = stage.lower()
        self._engines: dict[str, Engine] = {}

    @classmethod
    def of(
        cls, given: Settings | Application | None = None, *folders: Folder, language: str | None = None
    ) -> Templates:
        """The templates of a home, its own folder first, then those an application brings along.

        The home, its stage and language are those of settings, of a ``tabard.Config``, or of this user. A Config for
        which somebody has said a language speaks that one.
        """
        settings = settings_of(given)
        language = language or language_said(given)
        own = settings.str("templates.path") or os.path.join(settings.home, "templates")
        return cls(
            [own, *folders],
            language=language or settings.str("templates.language"),
            default_language=settings.str("templates.default_language"),
            stage=settings.str("node.stage"),
        )

    def speaking(self, language: str) -> Templates:
        """The same templates in another language."""
        return Templates(
            self.catalogue.folders,
            language=language,
            default_language=self.default_language,
            stage=self.stage,
        )

    def find(self, use: str, name: str) -> Found:
        """Which files the template ``name`` consists of here."""
        return self.catalogue.find(use, name, (self.language, self.default_language), self.stage)

    def mail(self, name: str, /, **values: Any) -> MailText:
        """Subject (one line), text, and HTML where the template has it, in which every value is escaped."""
        found = self.find("mail", name)
        html = found.parts.get("html")
        return MailText(
            " ".join(self._render(found, "subject", values).split()),
            self._render(found, "text", values).rstrip("\n") + "\n",
            self._render(found, "html", values) if html else None,
        )

    def log(self, name: str, /, **values: Any) -> str:
        """A log message: control characters in values are shown as escapes, so that one message stays one."""
        return self._render(self.find("log", name), "text", values).strip()

    def command(self, name: str, /, **values: Any) -> list[str]:
        """A command for ``shell``: each value is one word, or part of one, whatever it contains.

        A template ``sh`` becomes a call of ``/bin/sh``, with every value quoted; one that puts a value where no
        quoting helps is refused.
        """
        found = self.find("shell", name)
        marks = Marks()
        part = "argv" if "argv" in found.parts else "sh"
        text = self._render(found, part, values, marks)
        try:
            return argv(text, marks) if part == "argv" else [SHELL, "-c", script(text.strip(), marks), name]
        except BadValue as error:
            raise TemplateError(f"not a safe command: {error}", template=found.parts[part].path) from error

    def needs(self, found: Found) -> list[str]:
        """The names a template and the files it includes use and do not give a value to themselves."""
        names: set[str] = set()
        for part, file in found.parts.items():
            names |= self._engine(found.use, part).needs(file.inner)
        return sorted(names)

    def _render(self, found: Found, part: str, values: Mapping[str, Any], marks: Marks | None = None) -> str:
        return self._engine(found.use, part).render(found.parts[part].inner, values, marks)

    def _engine(self, use: str, part: str) -> Engine:
        """One for each way of writing values: an HTML part that includes a text part escapes there too."""
        kind = part if use == "mail" else use
        engine = self._engines.get(kind)
        if engine is None:
            try:
                from tabard.templates.engine import Engine
            except ImportError as error:
                raise TabardError(
                    "templates need Jinja, which is not installed",
                    hint="Install it with Tabard: pip install 'tabard[app]'",
                ) from error
            tidy = {"subject": _one_line, "log": _one_line, "text": _no_controls, "html": _no_controls}.get(
                kind
            )
            folders = [os.path.join(folder, use) for folder in self.catalogue.folders]
            engine = Engine(folders, escape=kind == "html", tidy=tidy, words=use == "shell")
            self._engines[kind] = engine
        return engine


def _one_line(text: str) -> str:
    """``text`` with every control or invisible character written as an escape."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def _no_controls(text: str) -> str:
    """``text`` without control characters, but for line ends and tabs."""
    return "".join(char for char in text if char in "\n\t" or char >= " ")
