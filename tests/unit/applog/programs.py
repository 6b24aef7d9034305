"""Programs of their own that log, and what they leave behind."""

from __future__ import annotations

import logging
import os
import subprocess
import sys

import msgpack

from tabard.home import Home
from tabard.intake_frames import HEAD, RECORDS
from tabard.records import LOG_INDEX

MESSAGE = LOG_INDEX["message"]


def speaking(handler: logging.Handler) -> logging.Logger:
    """A logger of nobody else."""
    logger = logging.Logger("shop.test")  # noqa: LOG001 -- one that ends with the test
    logger.addHandler(handler)
    return logger


def run(code: str, home: Home, **env: str) -> subprocess.CompletedProcess[str]:
    """A program of its own, with every thread's complaint visible."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TABARD_")}
    return subprocess.run(
        [sys.executable, "-X", "dev", "-W", "ignore::DeprecationWarning", "-c", code],
        env={**kept, "TABARD_HOME": str(home.path), **env},
        capture_output=True,
        text=True,
        timeout=60,
    )


def spooled(home: Home) -> list[str]:
    """The messages that wait for an agent, file by file in the order of their making."""
    found: list[str] = []
    for path in sorted(home.spool.iterdir(), key=lambda path: path.stat().st_mtime_ns):
        content, at = path.read_bytes(), 0
        while at < len(content):
            length, kind, _ = HEAD.unpack_from(content, at)
            at += HEAD.size + length
            if kind == RECORDS:
                found += [row[MESSAGE] for row in msgpack.unpackb(content[at - length : at])]
    return found
