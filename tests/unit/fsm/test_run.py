"""Running a machine: where inputs lead, what is recorded, how it stops."""

from __future__ import annotations

import enum
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from tabard.errors import UsageError
from tabard.fsm import HandlerError, Machine, Notice, State, StepLimitError, TransitionError, by_mail
from tabard.mail import Mailer, Server
from tabard.templates import MailText, TemplateError, Templates
from tests.unit.fsm.machines import Context, says, seed
from tests.unit.shell.collect import heard
from tests.unit.templates.folders import write


def test_the_original_example_runs_as_documented() -> None:
    """Each state is visited once, each handler gets the context, and the inputs are remembered."""
    context: Context = {}
    trace = seed().run(context)
    assert trace.inputs == ["INIT_OK", "STATE1_OK", "FIN_STATE_OK"]
    assert context == {"visited": ["START", "STATE1", "FINAL"]}
    assert (trace.at, trace.done, trace.failed) == ("FINAL", True, False)


def test_an_unknown_input_takes_the_default() -> None:
    """And the trace says that it was the default."""
    trace = seed(start="SOMETHING ELSE").run()
    assert [(step.state, step.input, step.by, step.to) for step in trace.steps] == [
        ("START", "SOMETHING ELSE", "default", "ERROR"),
        ("ERROR", "ERROR_STATE_OK", "input", "FINAL"),
        ("FINAL", "FIN_STATE_OK", "final", None),
    ]
    assert trace.failed, "it came through an error state"


def test_a_known_input_is_not_the_default() -> None:
    """The error state has an input and a default, both to the same place: the input is what counts."""
    assert seed(start="X").run().steps[1].by == "input"


@pytest.mark.parametrize("given", ["unknown", None, 5, ["ok"], b"ok"])
def test_without_a_default_an_unknown_input_is_an_error(given: Any) -> None:
    """It says what was expected, what was found and where, and how far the run came."""
    end = State("end", says("x"), final=True)
    a = State("a", lambda state, context: given, initial=True)
    a["ok"], a["done"] = end, end
    with pytest.raises(TransitionError) as caught:
        Machine("m", [a, end]).run()
    assert f"state a, step 1: the input leads nowhere: expected one of ok, done, found {given!r}" in str(
        caught.value
    )
    trace = caught.value.trace
    assert (trace.at, trace.done, trace.failed, len(trace.steps)) == ("a", False, True, 1)
    assert (trace.steps[0].by, trace.steps[0].to) == ("nothing", None)


def test_a_circle_stops_at_the_limit() -> None:
    """A machine that goes round is stopped, with its trace."""
    end = State("end", says("x"), final=True)
    a = State("a", says("again"), initial=True, default=end)
    a["again"] = a
    machine = Machine("m", [a, end])
    with pytest.raises(StepLimitError, match="expected a final state within 7 steps") as caught:
        machine.run(limit=7)
    assert len(caught.value.trace.steps) == 7
    said = str(caught.value)
    assert said.startswith(f"machine m, run {caught.value.trace.run}, state a, step 7: too many steps")
    assert "found a -> a. " in said, "the circle"
    assert "run(..., limit=70)" in said, "and what to do about it"
    limits: list[Any] = [0, "5", None]
    for limit in limits:
        with pytest.raises(UsageError, match="not a limit of steps"):
            machine.run(limit=limit)


def test_a_long_circle_is_named_as_far_as_it_fits() -> None:
    """Its last states, and where it would go on."""
    end = State("end", says("x"), final=True)
    states = [State(f"s{number}", says("on"), initial=number == 0, default=end) for number in range(15)]
    for state, following in zip(states, [*states[1:], states[0]], strict=True):
        state["on"] = following
    with pytest.raises(StepLimitError, match=r"found \.\.\. -> s6 -> .* -> s14 -> s0\. "):
        Machine("m", [*states, end]).run(limit=45)


def test_the_limit_is_enough_for_exactly_so_many_steps() -> None:
    """Three steps need a limit of three, and no more."""
    assert seed().run(limit=3).done
    with pytest.raises(StepLimitError):
        seed().run(limit=2)


def _breaking(on_error: bool) -> tuple[Machine, list[str]]:
    seen: list[str] = []

    def breaks(state: State, context: Context) -> str:
        raise OSError(28, "No space left")

    def tidies(state: State, context: Context) -> str:
        seen.append("tidy")
        return "ok"

    end = State("end", says("x"), final=True)
    tidy = State("tidy", tidies, error=True, default=end)
    a = State("a", breaks, initial=True, default=tidy, on_error=tidy if on_error else None)
    return Machine("m", [a, tidy, end]), seen


def test_a_handler_that_raises_leads_to_on_error() -> None:
    """An exception is no input: it has its own way, and the trace says what it was."""
    machine, seen = _breaking(on_error=True)
    trace = machine.run()
    assert seen == ["tidy"]
    first = trace.steps[0]
    assert (first.input, first.by, first.to) == (None, "error", "tidy")
    assert first.error == "OSError: [Errno 28] No space left"


def test_without_on_error_it_ends_the_run() -> None:
    """Not even a default hides an exception; the error carries it and the trace."""
    machine, seen = _breaking(on_error=False)
    with pytest.raises(HandlerError, match="No space left") as caught:
        machine.run()
    assert isinstance(caught.value.__cause__, OSError)
    assert (seen, caught.value.trace.steps[0].by) == ([], "nothing")


def test_the_interpreters_own_signals_pass() -> None:
    """Ctrl-C ends a machine like anything else."""

    def interrupted(state: State, context: Context) -> str:
        raise KeyboardInterrupt

    end = State("end", says("x"), final=True)
    a = State("a", interrupted, initial=True, default=end, on_error=end)
    records: list[logging.LogRecord] = []
    with heard("fsm-test", records.append) as log, pytest.raises(KeyboardInterrupt):
        Machine("m", [a, end]).run(log=log)
    assert [(record.levelname, record.getMessage().split(",")[0]) for record in records] == [
        ("INFO", "m: starts in a"),
        ("WARNING", "m: step 1. a: error KeyboardInterrupt: -> nowhere"),
        ("WARNING", "m: is ended in a by KeyboardInterrupt:"),
    ], "and the trace says where it was"


def test_entering_an_error_state_notifies_before_its_handler_runs() -> None:
    """Who is written to, what came before, on which host."""
    notices: list[Notice] = []
    context: Context = {}

    def notify(notice: Notice) -> None:
        notices.append(notice)
        assert context["visited"] == ["START"]

    trace = seed(start="X").run(context, notify=notify)
    (notice,) = notices
    assert (notice.state, notice.to, notice.trace) == ("ERROR", ("ops@example.org",), trace)
    seed().run(notify=notices.append)
    assert len(notices) == 1, "a run without an error writes to nobody"


def test_mail_to_the_stage_and_to_nobody() -> None:
    """True means the stage's own addresses; False means no mail."""
    notices: list[Notice] = []
    seed(start="X", mail=True).run(notify=notices.append)
    assert [notice.to for notice in notices] == [()]
    seed(start="X", mail=False).run(notify=notices.append)
    assert len(notices) == 1


def test_a_notice_that_fails_does_not_stop_the_machine() -> None:
    """The error state still does its work; that no mail went out is a record."""

    def broken(notice: Notice) -> None:
        raise OSError("no disk for the queue")

    records: list[logging.LogRecord] = []
    with heard("fsm-test", records.append) as log:
        assert seed(start="X").run(notify=broken, log=log).done
    (said,) = [record for record in records if record.exc_info]
    assert said.getMessage() == "TheMachine: no mail about ERROR"


class _Word(enum.StrEnum):
    OK = "INIT_OK"


class _Mixed(str, enum.Enum):  # noqa: UP042 -- how it was done before there was StrEnum
    OK = "INIT_OK"


@pytest.mark.parametrize("word", [_Word.OK, _Mixed.OK])
def test_a_word_of_an_enum_is_that_word(word: Any) -> None:
    """It leads where the word leads, and the trace is plain text."""
    trace = seed(start=word).run()
    assert trace.inputs[0] == "INIT_OK"
    assert [type(given) for given in trace.inputs] == [str] * 3


def test_a_page_as_an_input_does_not_fill_the_records() -> None:
    """An input that leads nowhere can be anything; records and mails have its beginning, the trace all of it."""
    records: list[logging.LogRecord] = []
    mailer = _Mailer()
    with heard("fsm-test", records.append) as log:
        trace = seed(start="x" * 100_000).run(notify=by_mail(mailer), log=log)
    assert trace.inputs[0] == "x" * 100_000
    assert max(len(record.getMessage()) for record in records) < 1_000
    assert len(vars(records[1])["input"]) == 200
    assert len(mailer.sent[0]["text"]) < 1_000


class _Mailer:
    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def send(self, **mail: Any) -> str:
        self.sent.append(mail)
        return "1"


def test_the_plain_mail_says_what_happened() -> None:
    """Without a template it is written in plain words: machine, state, host, run, and the last steps."""
    mailer = _Mailer()
    trace = seed(start="X").run(notify=by_mail(mailer))
    (mail,) = mailer.sent
    assert mail["to"] == ("ops@example.org",)
    assert mail["subject"].startswith("TheMachine on ") and mail["subject"].endswith(": ERROR")
    assert "has entered the error state ERROR" in mail["text"]
    assert trace.run in mail["text"]
    assert "1. START: input 'X' -> ERROR (default)" in mail["text"]


def test_a_mail_repeats_only_the_last_steps() -> None:
    """A long run does not make a long mail."""
    end = State("end", says("x"), final=True)
    bad = State("bad", says("x"), error=True, mail=True, default=end)
    a = State("a", says(*["again"] * 30, "out"), initial=True, default=bad)
    a["again"] = a
    mailer = _Mailer()
    Machine("m", [a, bad, end]).run(notify=by_mail(mailer))
    assert "... 11 earlier steps" in mailer.sent[0]["text"]
    assert mailer.sent[0]["text"].count("a: input") == 20


class _Templates:
    def mail(self, name: str, /, **values: Any) -> MailText:
        return MailText(name, ", ".join(sorted(values)), values["file"] + values["machine"])


def test_a_mail_template_gets_values_of_the_application_too() -> None:
    """What the run says of itself stands above them, whatever they are called."""
    mailer = _Mailer()
    notify = by_mail(mailer, _Templates(), "import-failed", file="a.csv", machine="mine", name="any")
    seed(start="X").run(notify=notify)
    (mail,) = mailer.sent
    assert (mail["subject"], mail["text"], mail["html"]) == (
        "import-failed",
        "file, host, machine, name, run, state, steps",
        "a.csvTheMachine",
    )


def test_a_template_that_is_not_there_is_found_before_it_is_needed(tmp_path: Path) -> None:
    """When the notice is made, and not when something has gone wrong already."""
    with pytest.raises(TemplateError, match="mail/import-failed: no such template"):
        by_mail(_Mailer(), Templates([tmp_path]), "import-failed")


def test_a_template_that_cannot_be_rendered_keeps_no_mail_back(tmp_path: Path) -> None:
    """It goes in plain words, with what is wrong with the template, which is a record too."""
    files = {"mail/state-machine/subject.j2": "s", "mail/state-machine/text.j2": "{{ no_such_value }}"}
    mailer = _Mailer()
    records: list[logging.LogRecord] = []
    with heard("tabard.fsm", records.append):
        seed(start="X").run(notify=by_mail(mailer, Templates([write(tmp_path, files)])))
    (mail,) = mailer.sent
    assert mail["to"] == ("ops@example.org",)
    assert "has entered the error state ERROR" in mail["text"]
    assert "no value for no_such_value" in mail["text"]
    (said,) = [record for record in records if record.exc_info]
    assert said.getMessage() == "TheMachine: the mail about ERROR is in plain words"


def test_the_trace_is_records() -> None:
    """Each step is one, with its facts; what is not as planned has a level that shows it."""
    records: list[logging.LogRecord] = []
    with heard("tabard.fsm", records.append):
        trace = seed(start="X", mail=False).run()
    assert [(record.levelname, record.getMessage().split(",")[0]) for record in records] == [
        ("INFO", "TheMachine: starts in START"),
        ("WARNING", "TheMachine: step 1. START: input 'X' -> ERROR (default)"),
        ("ERROR", "TheMachine: enters the error state ERROR"),
        ("INFO", "TheMachine: step 2. ERROR: input 'ERROR_STATE_OK' -> FINAL"),
        ("INFO", "TheMachine: step 3. FINAL: input 'FIN_STATE_OK' -> the end"),
        ("WARNING", "TheMachine: ends in FINAL after 3 steps"),
    ]
    facts = vars(records[1])
    assert (facts["machine"], facts["machine_run"], facts["step"]) == ("TheMachine", trace.run, 1)
    assert (facts["state"], facts["input"], facts["to"], facts["by"]) == ("START", "X", "ERROR", "default")


def test_a_run_that_could_not_write_to_anybody_says_so() -> None:
    """States want to send mail and run was given no way: a warning, each time."""
    records: list[logging.LogRecord] = []
    with heard("tabard.fsm", records.append):
        seed().run()
    assert "nobody will be written to from ERROR" in records[0].getMessage()


@pytest.mark.parametrize(("mail", "to", "silent"), [(True, (), True), (True, ("a@example.org",), False), (("b@example.org",), (), False)])  # fmt: skip
def test_a_mail_that_would_go_to_nobody_is_told_before_it_is_needed(
    tmp_path: Path, mail: Any, to: Any, silent: bool
) -> None:
    """A state writes to those of the stage, and neither the stage nor mail.to names anybody."""
    mailer = Mailer(tmp_path, Server("localhost"), sender="s@example.org", to=to, background=False)
    records: list[logging.LogRecord] = []
    with heard("tabard.fsm", records.append):
        seed(mail=mail).run(notify=by_mail(mailer))
    said = [record.getMessage() for record in records if record.levelname == "WARNING"]
    assert bool(said) == silent
    assert all("nobody will be written to from ERROR: they name no addresses" in each for each in said)


def test_the_trace_is_data() -> None:
    """It can be written as JSON, with every step."""
    trace = seed().run()
    data = json.loads(json.dumps(trace.as_dict()))
    assert [step["state"] for step in data["steps"]] == ["START", "STATE1", "FINAL"]
    assert data["done"] and data["seconds"] >= 0


def test_runs_are_apart() -> None:
    """A machine can be run again, and each run has its own word."""
    machine = seed()
    one, other = machine.run(), machine.run()
    assert one.run != other.run
    assert one.states == other.states
