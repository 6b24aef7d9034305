"""What is said of a run: records of the job's service, with the id of the run in each; and, where cron is to mail it, words.

Attributes: ``cron_run`` is the id of the run; ``cron`` says what the record is about (``start``, ``output``, ``end``,
``missed``, ``overlap``, ``cut off``, ``left``, ``problem``).
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Sequence
from typing import Any, Final

from tabard.applog import LogHandler
from tabard.home import Home
from tabard.masking import command_line
from tabard.ops.cronexec.command import Finished, Speech
from tabard.ops.cronexec.missed import Verdict
from tabard.ops.cronexec.said import Said

LAST: Final = 100
"""Lines recorded of the end of an output that is longer than what is recorded of it."""
_SHOWN: Final = 200
_SECOND: Final = 1_000_000_000


class Voice(Speech):
    """The records of one run. They go to the agent; without one to the spool and to ``log/NAME.log`` of the home."""

    def __init__(self, name: str, home: Home, argv: Sequence[str], run: str, lines: int) -> None:
        self.name = name
        self.run = run
        self.command = command_line(argv)
        self._home = home
        self._log = logging.getLogger("tabard.cron")
        self._log.setLevel(logging.DEBUG)
        self._log.propagate = False
        self._handler: LogHandler | None = None
        self.open()
        last = min(LAST, lines)
        self.lines = Said(self._log, name, self._extra("output"), lines - last, (), last)

    def open(self) -> None:
        """Begin to speak, also in a child process."""
        self._handler = LogHandler(self.name, home=self._home, package="")
        self._log.addHandler(self._handler)

    def close(self) -> None:
        """Hand over what was said: to the agent within two seconds, else to the spool."""
        if self._handler is not None:
            self._log.removeHandler(self._handler)
            self._handler.close()
            self._handler = None

    def start(self, plan: str, verdict: Verdict) -> None:
        """The command is about to start."""
        facts: dict[str, Any] = {"command": self.command}
        if plan:
            facts |= {"schedule": plan, "late": round(verdict.late, 3)}
            facts |= {"due": _utc(verdict.due)} if verdict.due is not None else {}
        self._say(logging.INFO, "start", f"{self.name} starts: {self._shown}", **facts)

    def end(self, finished: Finished) -> None:
        """The command has ended."""
        self.lines.rest()
        level = logging.INFO if finished.outcome == "done" else logging.ERROR
        text = f"{self.name}: {finished.how}"
        if finished.held:
            text += "; something it left running holds its output"
        self._say(level, "end", text, **finished.facts)

    def missed(self, verdict: Verdict) -> None:
        """Runs before this one did not happen, or nobody can know whether they did."""
        count, first, last = verdict.missed
        facts: dict[str, Any] = {"missed": count, "at_least": verdict.at_least}
        if count:
            facts |= {"missed_first": _utc(first), "missed_last": _utc(last)}
            when = f"due at {_local(first)}" if count == 1 else f"due from {_local(first)} to {_local(last)}"
            about = f"{'at least ' if verdict.at_least else ''}{count} {'run' if count == 1 else 'runs'}"
            text = f"{about} of {self.name} {'was' if count == 1 else 'were'} missed, {when}"
        else:
            text = f"nobody can know whether runs of {self.name} were missed"
        if verdict.moved:
            facts["clock_moved"] = round(verdict.moved, 3)
            way = "forward" if verdict.moved > 0 else "back"
            text += f": the clock was put {way} by {abs(verdict.moved):.0f} s since the last run"
        self._say(logging.WARNING, "missed", text, **facts)

    def refused(
        self, run: str, start: int | None, pid: int, *, orphan: bool = False, printed: bool = True
    ) -> None:
        """This run does not start, because another one goes on. Said to whom cron mails as well when ``printed``."""
        since = f", since {_local(start // _SECOND)}" if start is not None else ""
        other = f"run {run or 'unknown'} goes on{since}"
        if pid:
            other += f", as process {pid}"
        if orphan:
            other += ", though the tabard that started it is gone"
        facts = {"other_run": run, "other_pid": pid, "orphan": orphan}
        text = f"{self.name} did not start: {other}"
        self._say(logging.WARNING, "overlap", text, **facts)
        if printed:
            self._print(text)

    def cut_off(self, run: str, start: int | None) -> None:
        """The run before was killed together with what watched it, or the host went down."""
        when = f" of {_local(start // _SECOND)}" if start is not None else ""
        text = f"the run{when} of {self.name} was cut off: nobody knows how it ended"
        self._say(logging.ERROR, "cut off", text, other_run=run)

    def left(self) -> None:
        """What the command left running has closed its output."""
        self.lines.rest()
        self._say(logging.INFO, "left", f"what {self.name} left running has closed its output")

    def problem(self, kind: str, text: str) -> None:
        """Something that a person has to know, who is told by mail of cron too: the record may not get through."""
        self._say(logging.ERROR, kind, text)
        self._print(text)

    def tell_failure(self, finished: Finished) -> None:
        """End what is printed with the reason why it is printed."""
        self._print(f"{self.name}: {finished.how} (run {self.run})")

    # --- pieces ----------------------------------------------------------------------------

    @property
    def _shown(self) -> str:
        return self.command if len(self.command) <= _SHOWN else f"{self.command[: _SHOWN - 3]}..."

    def _say(self, level: int, kind: str, text: str, **facts: Any) -> None:
        self._log.log(level, "%s", text, extra={**self._extra(kind), **facts})

    def _extra(self, kind: str) -> dict[str, Any]:
        return {"cron": kind, "cron_run": self.run}

    @staticmethod
    def _print(text: str) -> None:
        try:
            print(f"tabard: {text}", file=sys.stderr, flush=True)
        except OSError:  # nobody reads it; the record says it all the same
            return


def _utc(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _local(seconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(seconds))
