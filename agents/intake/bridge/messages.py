"""Syslog messages on their way from a socket to the batcher."""

from __future__ import annotations

from typing import Final

from tabard.agents.intake.bridge.gather import Gatherer
from tabard.agents.intake.bridge.syslog import SyslogParser
from tabard.agents.intake.cutting import add_attributes
from tabard.records import LOG_INDEX

ENDS: Final = b"\r\n\0"
"""What senders put behind a message, also where nothing has to be."""
_ATTRIBUTES: Final = LOG_INDEX["attributes"]


class Messages:
    """Hands messages to a gatherer as log records."""

    def __init__(self, gatherer: Gatherer, parser: SyslogParser) -> None:
        self._gatherer = gatherer
        self._parser = parser

    def take(self, raw: bytes, note: str = "") -> None:
        """One message, with or without the characters that ended it; an empty one is none.

        ``note`` goes into the attributes: what is wrong with the message.
        """
        raw = raw.rstrip(ENDS)
        if not raw:
            return
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            text = raw.decode("utf-8", "backslashreplace")
        record = self._parser.read(text)
        if note:
            values = list(record)
            values[_ATTRIBUTES] = add_attributes(values[_ATTRIBUTES], {"intake": note})
            record = tuple(values)
        self._gatherer.add(record, len(raw), sure=b"\0" not in raw)
