"""What a node's own settings let it do: which kinds of commands, which named actions, whose approval."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

from tabard.brokers.wire.command import ACTION, Document
from tabard.errors import RefusedError
from tabard.settings import Settings

ACTIONS: Final = "actions"
RUNS: Final = "run"
BUILT_IN: Final = frozenset({"ping", "noop"})
"""They answer and do nothing, so they are done as soon as they are accepted."""
MOST_FITTED: Final = 255
"""Characters of an argument that is held against an expression: so an unlucky one takes no time."""
MOST_SHOWN: Final = 63
_PLACE: Final = re.compile(r"\{([1-9]|\*)\}")


class Rules(NamedTuple):
    """What holds now."""

    accept: frozenset[str]
    actions: Mapping[str, tuple[str, ...]]
    """By name, the words of a program with places for arguments: `{1}` to `{9}`, or `{*}` as a word for all further ones."""
    approvals: int
    running: int
    output: int
    """Bytes of output of one command that are sent."""
    limits: Mapping[str, tuple[re.Pattern[str], ...]] = MappingProxyType({})
    """By name of an action, what an argument in each place has to be, and last what each further one; not named: anything."""
    file: str = "tabard.toml"
    """Where this node says all that: who is refused is told, so that there is something to do about it."""

    @classmethod
    def of(cls, settings: Settings) -> Rules:
        """Those that the settings say."""
        return cls(
            frozenset(settings.strings("commands.accept")),
            {action.name: tuple(action.run) for action in settings.actions},
            settings.int("commands.approvals"),
            settings.int("commands.max_running"),
            settings.bytes("commands.output"),
            {each.name: tuple(map(re.compile, each.args)) for each in settings.actions if each.args},
            str(settings.home.settings_file),
        )

    def words(self, document: Document) -> tuple[str, ...] | None:
        """The program that a document means, word by word; None for what is built in. Raises RefusedError."""
        wanted = ACTIONS if document.kind == ACTION else RUNS
        if wanted not in self.accept:
            raise RefusedError(
                f"this node takes no {'named actions' if wanted == ACTIONS else 'command lines'}: that is said by commands.accept in {self.file} there",
                expected=", ".join(sorted(self.accept)) or "no commands at all",
                found=document.kind,
            )
        if document.kind != ACTION:
            return document.words
        name, *arguments = document.words
        if name in self.actions:
            words = filled(name, self.actions[name], arguments)
            check_arguments(name, self.limits.get(name, ()), arguments)
            return words
        if name in BUILT_IN:
            return None
        raise RefusedError(
            f"there is no such action on this node: [[action]] in {self.file} there names them",
            expected="one of " + ", ".join(sorted({*self.actions, *BUILT_IN})),
            found=name[:63],
        )


def places(template: tuple[str, ...]) -> tuple[int, bool]:
    """The highest numbered place of a template, and whether it takes further arguments."""
    found = [place for word in template for place in _PLACE.findall(word)]
    return max((int(place) for place in found if place != "*"), default=0), "{*}" in template


def filled(name: str, template: tuple[str, ...], arguments: list[str]) -> tuple[str, ...]:
    """The words of an action with arguments in their places; each stays within its word. Raises RefusedError for a wrong number."""
    least, more = places(template)
    if len(arguments) < least or (len(arguments) > least and not more):
        raise RefusedError(
            f"the action {name} takes other arguments",
            expected=f"{least} or more" if more else str(least),
            found=str(len(arguments)),
        )
    words: list[str] = []
    for word in template:
        if word == "{*}":
            words += arguments[least:]
        else:
            words.append(_PLACE.sub(lambda match: _argument(match[1], arguments), word))
    return tuple(words)


def check_arguments(name: str, limits: Sequence[re.Pattern[str]], arguments: Sequence[str]) -> None:
    """See that each argument of an action fits as a whole; the last limit holds for all further ones. Raises RefusedError."""
    if not limits:
        return
    for number, argument in enumerate(arguments, 1):
        limit = limits[min(number, len(limits)) - 1]
        if len(argument) > MOST_FITTED or not limit.fullmatch(argument):
            shown = repr(argument if len(argument) <= MOST_SHOWN else argument[:MOST_SHOWN] + "...")
            raise RefusedError(
                f"argument {number} of the action {name} does not fit: {shown}",
                expected=f"at most {MOST_FITTED} characters that fit {limit.pattern}",
                found=f"{len(argument)} characters",
            )


def _argument(place: str, arguments: list[str]) -> str:
    return "{*}" if place == "*" else arguments[int(place) - 1]
