"""What can be wrong with a mail, before and after it is queued."""

from __future__ import annotations

from tabard.errors import TabardError


class MailError(TabardError):
    """Raised when a mail cannot be composed or queued: nothing of it was kept."""


class QueueFull(MailError):
    """Raised when the queue holds as much as it may: a later try can succeed."""
