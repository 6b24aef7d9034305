"""A browser, and herald as it runs in production over a store with a small fleet in it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.browser.scene import beat, fill
from tests.ports import free_port
from tests.unit.web.seed import Seeder

# A page on a busy machine has time to show what is to come.
PATIENCE = 60_000  # ms
expect.set_options(timeout=PATIENCE)
SLOWED = float(os.environ.get("BROWSER_SLOWED", "1"))
"""How many times slower than this machine the browser's own work is made."""

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
)
PROGRAM = """
    import sys
    from tabard.clock import SystemClock
    from tabard.consumers.store.read import Reader
    from tabard.web.app import create_app
    from tabard.web.server import serve
    from tests.browser.zones_scene import look

    app = create_app(Reader(sys.argv[1]), timezone="utc", page_size=50, clock=SystemClock(), look=look)
    serve(app, "127.0.0.1", int(sys.argv[2]), 4, ready=lambda: print("ready", flush=True))
"""


@dataclass
class Herald:
    """A running herald, and the hand that fills its store."""

    address: str
    seeder: Seeder
    process: subprocess.Popen[str]

    def beat(self) -> None:
        """A node is heard now, as some node always is; half a minute without one is a recorder that writes nothing."""
        beat(self.seeder, "web1", "hq", time.time_ns())


@contextlib.contextmanager
def serving(store: Path, seeder: Seeder, program: str = PROGRAM) -> Iterator[Herald]:
    """Herald behind its production server, as a process of its own; ``program`` says once that it is ready."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), str(store), str(port)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield Herald(f"http://127.0.0.1:{port}", seeder, process)
    finally:
        process.terminate()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


@pytest.fixture(scope="session")
def herald(tmp_path_factory):
    """Over a store that all tests share."""
    store = tmp_path_factory.mktemp("herald") / "store"
    seeder = fill(store, now=time.time_ns())
    with serving(store, seeder) as herald:
        yield herald
    seeder.close()


@pytest.fixture
def own_herald(tmp_path):
    """Over a store of the test's own: it may be put aside, and another one in its place."""
    seeder = Seeder(tmp_path / "store")
    with serving(tmp_path / "store", seeder) as herald:
        yield herald
    herald.seeder.close()


@pytest.fixture(scope="module")
def browser(need):
    """Chromium as the system has it."""
    path = need("chromium", "chromium-browser", "google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield browser
        browser.close()


class Watch:
    """Looks over a context's shoulder: what its pages asked for, and what they complained about."""

    def __init__(self, context: BrowserContext) -> None:
        self.requested: list[str] = []
        self.complaints: list[str] = []
        context.on("request", lambda request: self.requested.append(request.url))
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        context.on("console", self._heard)

    def _heard(self, message) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(message.text)


@pytest.fixture
def opening(browser: Browser):
    """Opens pages of any herald in contexts of their own."""
    opened: list[tuple[BrowserContext, Watch]] = []

    def open_page(herald: Herald, address: str, **options) -> tuple[Page, Watch]:
        given = {"viewport": {"width": 1400, "height": 900}, **options}
        context = browser.new_context(base_url=herald.address, **given)
        context.set_default_timeout(PATIENCE)
        opened.append((context, Watch(context)))
        page = context.new_page()
        if SLOWED > 1:
            context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": SLOWED})
        herald.beat()
        page.goto(address)
        return page, opened[-1][1]

    yield open_page
    for context, _ in opened:
        context.close()


@pytest.fixture
def visit(opening, herald: Herald):
    """Opens pages of herald in contexts of their own; at the end nothing may have gone wrong in any of them."""
    watches: list[Watch] = []

    def open_page(address: str, **options) -> Page:
        page: Page
        page, watch = opening(herald, address, **options)
        watches.append(watch)
        return page

    yield open_page
    for watch in watches:
        assert watch.complaints == []
        assert [url for url in watch.requested if not url.startswith(herald.address + "/")] == []
