"""The one tree of errors. Every one says what was expected, what was found, where, and what to do.

The classes differ by what the caller does next; the facts are kept as attributes, so that a caller
never has to parse a sentence. ``str(error)`` is that sentence.
"""

from __future__ import annotations

from typing import ClassVar

from tabard import exits


class TabardError(Exception):
    """Raised when Tabard cannot go on, for a reason a user can act on. The root of the tree.

    ``what`` is the fact in a few words. ``expected`` and ``found`` describe the difference, ``where``
    is the place (a file and line, an address, a key), ``hint`` is what to do about it.
    """

    exit_code: ClassVar[int] = exits.FAILED
    """What a command that ends by this error returns to its shell."""

    def __init__(
        self,
        what: str,
        *,
        expected: str | None = None,
        found: str | None = None,
        where: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.expected = expected
        self.found = found
        self.where = where
        self.hint = hint

    def __reduce__(self) -> tuple[object, ...]:
        """So that it comes back whole from another process: a pool of workers would wait for ever for one that does not."""
        return _made_again, (type(self), self.args), self.__dict__

    def __str__(self) -> str:
        sentence = f"{self.where}: {self.what}" if self.where else self.what
        difference = []
        if self.expected is not None:
            difference.append(f"expected {self.expected}")
        if self.found is not None:
            difference.append(f"found {self.found}")
        if difference:
            sentence += ": " + ", ".join(difference)
        if self.hint:
            sentence += f". {self.hint}"
        return sentence


def _made_again(kind: type[TabardError], args: tuple[object, ...]) -> TabardError:
    return kind.__new__(kind, *args)


class SettingsError(TabardError):
    """Raised when a setting is unknown, malformed or contradicts another.

    ``file`` is the settings file (or the environment variable or option the value came from), ``key``
    the dotted name of the setting, ``line`` its line in the file, counted from 1.
    """

    def __init__(
        self,
        what: str,
        *,
        file: str | None = None,
        key: str | None = None,
        line: int | None = None,
        expected: str | None = None,
        found: str | None = None,
        hint: str | None = None,
    ) -> None:
        place = f"{file}, line {line}" if file and line else file
        where = ": ".join(part for part in (place, key) if part)
        super().__init__(what, expected=expected, found=found, where=where or None, hint=hint)
        self.file = file
        self.key = key
        self.line = line


class WrongSetting(SettingsError):
    """Raised when a setting that was given on the command line is wrong."""

    exit_code = exits.WRONG_USE


class UsageError(TabardError):
    """Raised when a command or an interface was used in a way it does not have."""

    exit_code = exits.WRONG_USE


class HomeError(TabardError):
    """Raised when the home directory cannot be made, entered or trusted."""


class UnsafeHome(HomeError):
    """Raised when somebody else could have planted what the home directory holds."""

    exit_code = exits.REFUSED


class AlreadyRunning(TabardError):
    """Raised when another process holds the lock of this role. ``pid`` is that process, 0 if unknown."""

    exit_code = exits.REFUSED

    def __init__(self, what: str, *, pid: int, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(what, where=where, hint=hint)
        self.pid = pid


class WireError(TabardError):
    """Raised when a message breaks the protocol; it is counted and dropped, the connection may go on."""


class TrustError(WireError):
    """Raised when a certificate, a roster, a chain or a file of keys is not to be believed.

    ``reason`` is the kind of distrust in one word of ``tabard.brokers.trust.reasons``: what a count is kept by.
    """

    exit_code = exits.REFUSED

    def __init__(
        self,
        what: str,
        *,
        reason: str,
        expected: str | None = None,
        found: str | None = None,
        where: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(what, expected=expected, found=found, where=where, hint=hint)
        self.reason = reason


class JournalError(TabardError):
    """Raised when the journal cannot keep a record: the caller must not acknowledge it."""


class StoreError(TabardError):
    """Raised when the store cannot be opened, read or written."""


class StoreAway(StoreError):
    """Raised when the store's server does not answer or takes nobody in just now, or a file is held: it is worth trying again."""


class StoreMissing(StoreError):
    """Raised when there is no store where one is looked for: none was made, or what was there is away."""


class NewerStore(StoreError):
    """Raised when a newer Tabard wrote the store: this one could only spoil it."""

    exit_code = exits.REFUSED


class ForeignStore(StoreError):
    """Raised when the store is that of another sink: records of two sinks in one could not be told apart."""

    exit_code = exits.REFUSED


class ClosedStore(StoreError):
    """Raised when a store is not to be used: it was moved to another place, or is not filled yet."""

    exit_code = exits.REFUSED


class IntakeError(TabardError):
    """Raised when records cannot be handed to an agent: none listens, or it refused them."""


class RefusedError(TabardError):
    """Raised when a request was understood and is not allowed."""

    exit_code = exits.REFUSED
