"""Jinja as it is used here: sandboxed, strict about what is missing, with errors that name file and line.

The only module that imports Jinja, and imported only to render.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import jinja2
from jinja2 import meta
from jinja2.compiler import CodeGenerator, Frame
from jinja2.nodes import AssignBlock, FilterBlock, Template
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from tabard.templates.errors import TemplateError
from tabard.templates.words import BadValue, Marks, Option, Unquoted, marked

LIMIT: Final = 1_048_576
"""Characters that one part may have when it is rendered."""
_UNDEFINED: Final = re.compile(r"'([^']+)' is undefined")
_NOT_ROUND: Final = "in a command a filter stands with its value, {{ value|filter }}, and not round a block"
_HARMLESS: Final = frozenset({"default", "d", "trim", "safe", "string"})
"""Filters that leave the marks in a text as they are."""
_MARKS: Final = "marks of this rendering"
"""Where the marks are in the context; a template cannot name it, since it is not one word."""


class Engine:
    """Renders files of one use. ``escape`` writes values into HTML, ``words`` marks them for a command."""

    def __init__(
        self, folders: Sequence[str], *, escape: bool, tidy: Callable[[str], str] | None, words: bool
    ) -> None:
        self._folders = tuple(folders)
        self._loader = jinja2.FileSystemLoader(folders)
        self._environment = ImmutableSandboxedEnvironment(
            loader=self._loader,
            undefined=jinja2.StrictUndefined,
            autoescape=escape,
            finalize=_marking if words else _tidying(tidy, keep_markup=escape),
            trim_blocks=True,
            lstrip_blocks=True,
        )
        if words:
            self._environment.code_generator_class = _WordsGenerator
            for name in self._environment.filters.keys() - _HARMLESS:
                self._environment.filters[name] = _of_values(name, self._environment.filters[name])
            self._environment.filters["unquoted"] = Unquoted
            self._environment.filters["option"] = Option

    def render(self, inner: str, values: Mapping[str, Any], marks: Marks | None = None) -> str:
        """The text of a file with these values. Raises TemplateError."""
        try:
            template = self._environment.get_template(inner)
            return _bounded(template.generate({**values, _MARKS: marks}), template.filename or inner)
        except TemplateError:
            raise
        except Exception as error:
            raise self._told(error, inner, values) from error

    def needs(self, inner: str) -> set[str]:
        """The names a file, or one that it includes by name, uses without giving them a value itself.

        An included file that is not there needs nothing: rendering tells. Raises TemplateError for a malformed one.
        """
        names: set[str] = set()
        ahead, seen = [inner], {inner}
        while ahead:
            tree = self._tree(ahead.pop(), inner)
            names |= meta.find_undeclared_variables(tree)
            included = {name for name in meta.find_referenced_templates(tree) if name is not None}
            ahead += included - seen
            seen |= included
        return names - self._environment.globals.keys()

    def _tree(self, name: str, inner: str) -> Template:
        """What is written in the file ``name``, which ``inner`` includes or is; nothing where that is not there."""
        try:
            source, file, _ = self._loader.get_source(self._environment, name)
            self._environment.compile(
                source, name, file
            )  # finds more than reading does: a filter that is not there
            return self._environment.parse(source, name, file)
        except jinja2.TemplateNotFound as error:
            if name != inner:
                return self._environment.parse("")
            raise self._told(error, inner, {}) from error
        except Exception as error:
            raise self._told(error, name, {}) from error

    def _told(self, error: Exception, inner: str, values: Iterable[str]) -> TemplateError:
        """What went wrong, where, and what would have been right."""
        file, line = self._place(error, inner)
        if isinstance(error, jinja2.TemplateSyntaxError):
            return TemplateError(
                f"not a template: {error.message}", template=error.filename or file, line=error.lineno
            )
        if isinstance(error, jinja2.TemplateNotFound):
            return TemplateError(f"there is no {error.name} to include", template=file, line=line)
        if isinstance(error, jinja2.UndefinedError):
            return _missing(error, file, line, sorted(values))
        if isinstance(error, BadValue):
            return TemplateError(f"not a word of a command: {error}", template=file, line=line)
        if isinstance(error, jinja2.exceptions.SecurityError):
            return TemplateError(f"not allowed in a template: {error}", template=file, line=line)
        what = " ".join(f"{type(error).__name__}: {error}".split())[:500]
        return TemplateError(f"cannot be rendered: {what}", template=file, line=line)

    def _place(self, error: Exception, inner: str) -> tuple[str, int]:
        """The innermost template that was being rendered, and its line: Jinja puts both into the traceback."""
        paths = (os.path.join(folder, inner) for folder in self._folders)
        file, line = next(filter(os.path.exists, paths), inner), 0
        trace = error.__traceback__
        while trace is not None:
            code = trace.tb_frame.f_code.co_filename
            if code.endswith(".j2") and code.startswith(self._folders):
                file, line = code, trace.tb_lineno
            trace = trace.tb_next
        return file, line


def _bounded(parts: Iterable[str], inner: str) -> str:
    text: list[str] = []
    length = 0
    for part in parts:
        length += len(part)
        if length > LIMIT:
            raise TemplateError("too long", template=inner, expected=f"at most {LIMIT} characters")
        text.append(part)
    return "".join(text)


def _missing(error: jinja2.UndefinedError, file: str, line: int, known: Sequence[str]) -> TemplateError:
    match = _UNDEFINED.search(str(error))
    if match is None:
        return TemplateError(f"no such value: {error}", template=file, line=line)
    import difflib  # only on the way to an error

    close = difflib.get_close_matches(match[1], known, n=1)
    return TemplateError(
        f"no value for {match[1]}",
        template=file,
        line=line,
        name=match[1],
        expected=f"one of {', '.join(known)}" if known else "a value",
        hint=f"Did you mean {close[0]}?"
        if close
        else "Give it with the call, or write {{ name|default('') }}",
    )


@jinja2.pass_context
def _marking(context: Context, value: Any) -> Any:
    """Put a mark in the place of every value."""
    if isinstance(value, jinja2.Undefined):
        return value  # it raises where it is written
    marks = context.get(_MARKS)
    if not isinstance(marks, Marks):
        raise BadValue("expected macros in the file that uses them, found one imported without its context")
    return marks.mark(value)


def _of_values(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that refuses what a macro or a block gives, which has marks in the place of values."""

    @functools.wraps(function)  # also what Jinja has noted on it
    def checked(*args: Any, **more: Any) -> Any:
        if any(marked(value) for value in args):
            raise BadValue(
                f"expected a value before |{name}, found what a macro or a block gives: {_NOT_ROUND}"
            )
        return function(*args, **more)

    return checked


class _WordsGenerator(CodeGenerator):
    """Refuses what would work on the marks that stand for values, and not on the values: it would change neither rightly."""

    def visit_FilterBlock(self, node: FilterBlock, frame: Frame) -> None:  # noqa: N802, ARG002 -- Jinja calls it so
        """``{% filter %}``."""
        self.fail(_NOT_ROUND, node.lineno)

    def visit_AssignBlock(self, node: AssignBlock, frame: Frame) -> None:  # noqa: N802 -- the name is Jinja's
        """``{% set %}`` with a filter."""
        if node.filter is not None:
            self.fail(_NOT_ROUND, node.lineno)
        super().visit_AssignBlock(node, frame)


def _tidying(tidy: Callable[[str], str] | None, *, keep_markup: bool) -> Callable[[Any], Any]:
    """What is done with each value that is written: None is a mistake, text is made harmless.

    So is the text of anything else, such as an exception. With ``keep_markup`` what is HTML already stays so.
    """

    def finalize(value: Any) -> Any:
        if value is None:
            raise ValueError("expected a value, found nothing (None)")
        if tidy is None or (keep_markup and hasattr(value, "__html__")):
            return value
        return tidy(str(value))

    return finalize
