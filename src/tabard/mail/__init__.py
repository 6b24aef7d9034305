"""Mail: composed, queued on disk, handed to an SMTP server, again and again while that is away.

``with Mailer.of(config) as mailer: mailer.send(subject=..., text=...)``. A mail that ``send`` took is handed over
at least once, or ends in the list of those given up, with the reason. ``smtplib`` and ``email`` are loaded when used.
"""

from tabard.mail.addresses import Address, address
from tabard.mail.compose import Attachment
from tabard.mail.errors import MailError, QueueFull
from tabard.mail.flush import Report
from tabard.mail.mailer import Mailer
from tabard.mail.queue import Entry, Limits, Queue
from tabard.mail.retry import Retry
from tabard.mail.server import Server

__all__ = [
    "Address",
    "Attachment",
    "Entry",
    "Limits",
    "MailError",
    "Mailer",
    "Queue",
    "QueueFull",
    "Report",
    "Retry",
    "Server",
    "address",
]
