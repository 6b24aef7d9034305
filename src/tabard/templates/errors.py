"""What can be wrong with a template or its values."""

from __future__ import annotations

from tabard.errors import TabardError


class TemplateError(TabardError):
    """Raised when a template is missing, malformed or cannot be rendered with these values.

    ``template`` is its file or name, ``line`` counts from 1 (0 where none can be told), ``name`` is the value it
    is about, if it is about one.
    """

    def __init__(
        self,
        what: str,
        *,
        template: str,
        line: int = 0,
        name: str = "",
        expected: str | None = None,
        found: str | None = None,
        hint: str | None = None,
    ) -> None:
        where = f"{template}, line {line}" if line else template
        super().__init__(what, expected=expected, found=found, where=where, hint=hint)
        self.template = template
        self.line = line
        self.name = name
