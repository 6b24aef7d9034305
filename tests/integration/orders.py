"""The example application of the documentation, installed as any package is, and a Tabard that it runs beside."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from tabard import exits
from tests.integration.brokering import wait_until
from tests.integration.upping import environment, tabard
from tests.unit.mail.post import PASSWORD, Post

EXAMPLE: Final = Path(__file__).parents[2] / "docs/examples/orders"
SETTINGS: Final = """
[node]
name = "web1"
[mail]
host = "127.0.0.1"
port = {port}
user = "{user}"
ca_file = "{authority}"
sender = "orders@example.org"
[stage.TESTING]
mail = ["testers@example.org"]
[stage.PRODUCTION]
mail = ["on-call@example.org"]
"""
Row = dict[str, Any]


def install(folder: Path) -> Path:
    """Install a copy of the example without any other package; where it is."""
    copy, site = folder / "source", folder / "site"
    for path in EXAMPLE.rglob("*"):
        if path.is_file() and path.suffix != ".pyc":
            target = copy / path.relative_to(EXAMPLE)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    words = [
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--no-build-isolation",
        "--no-warn-script-location",
    ]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "--disable-pip-version-check",
            *words,
            "--target",
            str(site),
            str(copy),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return site


class Plant:
    """A home with settings for mail, the folders of each stage, and the application beside it."""

    def __init__(self, folder: Path, post: Post, port: int) -> None:
        self.site = install(folder)
        self.home = folder / "home"
        self.etc = folder / "etc"
        self.post = post
        self.address = f"http://127.0.0.1:{port}"
        server = post.server(folder)
        for path in (self.home, self.etc):
            path.mkdir(mode=0o700)
        (self.home / "tabard.toml").write_text(
            SETTINGS.format(port=server.port, user=server.user, authority=server.ca_file)
        )
        (self.etc / "orders.toml").write_bytes((EXAMPLE / "orders.toml").read_bytes())

    @property
    def command(self) -> list[str]:
        """The application, as its console script."""
        return [sys.executable, "-P", str(self.site / "bin" / "acme-orders")]

    def env(self, stage: str) -> dict[str, str]:
        """What a crontab of that stage would say."""
        return {
            "PYTHONPATH": str(self.site),
            "DEV_STAGE": stage,
            "BASIC_CONFIGFILE_DIR": str(self.etc),
            "TABARD_MAIL_PASSWORD": PASSWORD,
            "ORDERS_IMPORT_FOLDER": str(self.folder(stage)),
            "ORDERS_GLOBAL_HERALD_URL": self.address,
        }

    def folder(self, stage: str) -> Path:
        """Where the files of a stage come in."""
        folder = self.etc.parent / stage
        (folder / "in").mkdir(parents=True, exist_ok=True)
        return folder

    def deliver(self, stage: str, name: str, *customers: str) -> None:
        """Put a file of orders in, whole or not at all; without a customer it is none."""
        lines = [f"{number},{customer}\n" for number, customer in enumerate(customers, 1)]
        content = gzip.compress(("number,customer\n" + "".join(lines)).encode()) if customers else b"torn"
        new = self.folder(stage) / name
        new.write_bytes(content)
        os.replace(new, self.folder(stage) / "in" / name)

    def start(self, stage: str, *words: str, **env: str) -> subprocess.Popen[str]:
        """Start it, and do not wait."""
        return subprocess.Popen(
            [*self.command, *words],
            env=environment(self.home, **{**self.env(stage), **env}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, stage: str, *words: str) -> tuple[int, str, str]:
        """Run it to its end: exit code, output, errors."""
        process = self.start(stage, *words)
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err

    def ask(self, *words: str) -> list[Row]:
        """What a command says, row by row."""
        done = tabard(self.home, *words, "-o", "ndjson")
        assert done.returncode == exits.DONE, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def logs(self, service: str = "orders") -> list[Row]:
        """What the store has of a service, oldest first."""
        return [
            row for row in self.ask("logs", "--service", service, "--since", "1d") if row["kind"] == "record"
        ]

    def logs_once(self, holds: Callable[[list[Row]], bool], service: str = "orders") -> list[Row]:
        """The same, as soon as it is as it should be."""
        rows: list[Row] = []

        def look() -> bool:
            rows[:] = self.logs(service)
            return holds(rows)

        wait_until(look, f"what {service} said; it was {messages(rows)}")
        return rows

    def page(self, path: str) -> str:
        """What herald shows."""
        with urllib.request.urlopen(self.address + path) as answer:
            return str(answer.read().decode())


def messages(rows: Sequence[Row]) -> list[str]:
    """What they say."""
    return [row["message"] for row in rows]


def of_run(rows: Sequence[Row], part: str) -> list[Row]:
    """The records of the process that said ``part``; none while it has not."""
    pids = {row["process"] for row in rows if part in row["message"]}
    return [row for row in rows if row["process"] in pids]
