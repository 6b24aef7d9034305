"""Getting from one page to the next."""

from __future__ import annotations

import re

from playwright.sync_api import Page


def arrive(page: Page, address: str) -> None:
    """Wait until the page whose address has this pattern in it is there whole; to be called after what leads to it.

    A click ends when the way to another page has begun: what is read at once is of the old page, or of what has been
    parsed of the new one by then, and a key that is pressed before its scripts have run is lost.
    """
    page.wait_for_url(re.compile(address), wait_until="load")
