"""The command ``acme-orders``: import what is there; with ``--watch`` go on looking until it is ended."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from pathlib import Path
from typing import Final

import tabard
from acme_orders.options import OPTIONS
from acme_orders.work import Work, machine
from tabard.errors import TabardError
from tabard.fsm import by_mail
from tabard.mail import Mailer
from tabard.templates import Templates

TEMPLATES: Final = Path(__file__).with_name("templates")
WHO: Final = {"product": "acme", "system": "orders", "subsystem": "import", "uncaught": True}


def main() -> int:
    """Return 0 when all files are booked, 1 when some were put aside."""
    parser = argparse.ArgumentParser(prog="acme-orders", description="Import the order files of the shop.")
    parser.add_argument("--folder", help="in place of import.folder")
    parser.add_argument("--watch", action="store_true", help="go on looking, until SIGTERM")
    said = parser.parse_args()
    # Asked to end, it ends in order: the command that runs is ended too, and what was logged is handed over.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(0 if said.watch else 128 + number))
    arguments = {"import.folder": said.folder}
    try:
        with (
            tabard.Config("orders", OPTIONS, arguments=arguments, lock=True, logging=WHO) as config,
            Mailer.of(config) as mailer,
        ):
            return watch(config, mailer) if said.watch else import_all(config, mailer)
    except TabardError as error:
        sys.stderr.write(f"acme-orders: {error}\n")
        return error.exit_code


def watch(config: tabard.Config, mailer: Mailer) -> int:
    """Look again after each pause, and at once when a SIGHUP has changed the configuration."""
    wake = threading.Event()
    config.reload_on_hangup(lambda _: wake.set())
    while True:
        import_all(config, mailer)
        wake.wait(config.seconds("import.pause"))
        wake.clear()


def import_all(config: tabard.Config, mailer: Mailer) -> int:
    """Run the machine for each file, the oldest name first."""
    templates = Templates.of(config, TEMPLATES)
    failed = 0
    for file in sorted(Path(config.str("import.folder"), "in").glob("*.csv.gz")):
        notify = by_mail(
            mailer, templates, "import-failed", file=file.name, herald=config.str("global.herald_url")
        )
        failed += machine.run(Work(file, config, templates), notify=notify).failed
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
