"""What an application declares: its options, and the few that every application has."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Final

from tabard.errors import SettingsError, TabardError, UsageError
from tabard.masking import secret_name
from tabard.settings.kinds import Kind, Level, Text
from tabard.settings.schema import Schema
from tabard.settings.schema import Setting as Option

_SERVICE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_SERVICE_FORM: Final = "1 to 63 of A-Z a-z 0-9 . _ - beginning with a letter or digit"
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,62}\.[a-z][a-z0-9_]{0,62}")
_NAME_FORM: Final = "section.key, each of a-z 0-9 _ beginning with a letter"
_LANGUAGE: Final = re.compile(r"[A-Za-z]{2}")
_MOST: Final = 1_000


def _language(text: str) -> str:
    if _LANGUAGE.fullmatch(text) is None:
        raise TabardError("not a language")
    return text.upper()


LEVEL: Final = "global.logging"
LANGUAGE: Final = "global.pattern_language"
COMMON: Final = (
    Option(LEVEL, Level(), "INFO", "Lowest level that is recorded; the stage's unless given.", reload=True),
    Option(
        LANGUAGE,
        Text("a language of two letters, such as EN or DE", check=_language, limit=2, name="language"),
        "EN",
        "Language of templates for mail, shell and log.",
        reload=True,
    ),
    Option("global.herald_url", Text(empty=True), "", "Where people find herald, for links.", reload=True),
)
"""Options of every application, as they stood in the section [GLOBAL] of the old INI files."""


class Checked(Kind):
    """A kind with a further condition: ``check`` returns the value, changed or not, or raises ValueError.

    ``form`` completes the sentence "expected ..." for people who broke the condition.
    """

    def __init__(self, kind: Kind, check: Callable[[Any], Any], form: str) -> None:
        self.name, self.reach, self.form = kind.name, kind.reach, form
        self._kind = kind
        self._check = check

    def read(self, raw: object) -> Any:
        """The value of a decoded TOML value."""
        return self._checked(self._kind.read(raw), raw)

    def read_text(self, text: str) -> Any:
        """The value of text from outside the file."""
        return self._checked(self._kind.read_text(text), text)

    def show(self, value: Any) -> str:
        """As a person would write it."""
        return self._kind.show(value)

    def toml(self, value: Any) -> str:
        """As it stands in the file."""
        return self._kind.toml(value)

    def _checked(self, value: Any, raw: object) -> Any:
        try:
            return self._check(value)
        except (ValueError, TabardError) as error:
            raise self.refuse(raw) from error


def check_service(service: str) -> str:
    """``service`` itself when an application may be called so. Raises UsageError."""
    if _SERVICE.fullmatch(service) is None:
        raise UsageError(
            "this service name does not do",
            expected=_SERVICE_FORM,
            found=repr(service),
            hint="It becomes part of file names",
        )
    return service


def schema_of(service: str, options: Iterable[Option]) -> Schema:
    """The schema of an application: what it declares, and what it does not declare itself of `COMMON`.

    A name that means a secret makes an option one. Raises UsageError for a declaration that cannot work.
    """
    own = [option._replace(secret=option.secret or secret_name(option.name)) for option in options]
    names = [option.name for option in own]
    for option in own:
        _check(option, names)
    every = (*(option for option in COMMON if option.name not in names), *own)
    if len(every) > _MOST:
        raise UsageError("too many options", expected=f"at most {_MOST}", found=str(len(every)))
    schema = Schema(
        {option.name.partition(".")[0]: "" for option in every},
        every,
        (),
        {"global.level": LEVEL, "global.language": LANGUAGE, "log.level": LEVEL},
        prefix=re.sub(r"[^A-Z0-9]", "_", service.upper()),
    )
    variables: dict[str, str] = {}
    for option in every:
        other = variables.setdefault(schema.variable(option.name), option.name)
        if other != option.name:
            raise UsageError(
                f"two options are set by {schema.variable(option.name)}",
                found=f"{other} and {option.name}",
                hint="Give one another name",
            )
    return schema


def _check(option: Option, names: list[str]) -> None:
    if _NAME.fullmatch(option.name) is None:
        raise UsageError("this option's name does not do", expected=_NAME_FORM, found=repr(option.name))
    if option.name.startswith("stage."):
        raise UsageError(
            "no option can be in the section stage", found=option.name, hint="[stage.NAME] are the stages"
        )
    if names.count(option.name) > 1:
        raise UsageError("an option is declared twice", found=option.name)
    if not option.help.strip():
        raise UsageError("an option says nothing about itself", found=option.name, hint="Give it a help")
    if option.default is not None:
        try:
            option.default_value()
        except TabardError as error:
            found = None if option.secret else error.found
            raise SettingsError(
                "its default is not of its kind", key=option.name, expected=error.expected, found=found
            ) from None
