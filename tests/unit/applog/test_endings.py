"""Logging goes on to the very end, and after others closed it."""

from __future__ import annotations

from tabard.home import Home
from tests.unit.applog.programs import run, spooled


def test_what_is_logged_at_the_very_end_is_kept(home: Home) -> None:
    """Exit handlers, also those that run after logging was shut down, and destructors when the interpreter goes."""
    done = run(
        "import atexit\natexit.register(lambda: [logging.info('after all %d', n) for n in range(3)])\n"
        "import logging, tabard\n"
        "class Late:\n    def __del__(self): logging.getLogger().info('destroyed')\n"
        "handler = tabard.setup_logging('shop', exit_wait=0.1)\n"
        "atexit.register(logging.info, 'at the end'); late = Late(); late.itself = late\n",
        home,
    )
    assert (done.returncode, done.stderr) == (0, "")
    said = ["at the end", "after all 0", "after all 1", "after all 2", "destroyed"]
    assert [line.split(": ")[1] for line in (home.log / "shop.log").read_text().splitlines()] == said
    assert spooled(home) == said


def test_a_handler_that_others_close_goes_on(home: Home) -> None:
    """Whoever configures logging by a dictionary closes all handlers, and leaves them where they are."""
    done = run(
        "import logging, logging.config, tabard\n"
        "tabard.setup_logging('shop', exit_wait=0.1)\n"
        "for n in range(3):\n"
        "    logging.info('before %d', n)\n"
        "    logging.config.dictConfig({'version': 1, 'disable_existing_loggers': False})\n"
        "    logging.info('after %d', n)\n",
        home,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(spooled(home)) == sorted(f"{word} {n}" for word in ("before", "after") for n in range(3))


def test_the_end_may_wait_as_long_as_there_is_to_do(home: Home) -> None:
    """However many seconds it may take by what was said."""
    done = run(
        "import logging, tabard\ntabard.setup_logging('shop', exit_wait=float('inf')); logging.info('a')\n",
        home,
    )
    assert (done.returncode, done.stderr, spooled(home)) == (0, "", ["a"])
