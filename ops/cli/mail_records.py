"""What `tabard mail` hands over, refuses and gives up, as records: those of service ``tabard-mail``."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from tabard.settings import Settings


@contextlib.contextmanager
def recorded(settings: Settings) -> Iterator[None]:
    """Send what Tabard's loggers say within to the agent; without one to the spool and ``log/mail.log``.

    Nothing of it is printed: under cron it would be mailed, by the server that it may be about.
    """
    from tabard.applog import role_handler  # cron flushes all day, mostly when nothing waits

    handler = role_handler("mail", settings.home)
    log = logging.getLogger("tabard")
    log.setLevel(settings.str("log.level"))
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        handler.close()
