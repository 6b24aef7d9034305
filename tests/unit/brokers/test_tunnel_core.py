"""The decisions of a tunnel, in virtual time."""

from __future__ import annotations

import logging

import pytest

from tabard.agents.samplers.links import MOST_WHY
from tabard.brokers.tunnels import core
from tabard.brokers.tunnels.core import Core, Phase, Probe, Say, Start, Stop, Verdict
from tabard.brokers.tunnels.failures import CHANGED, Failure, Temper, explain, explain_channel, of_ssh

PASSING = Failure(Temper.PASSING, "away")
LASTING = Failure(Temper.LASTING, "wrong key")
ALARMING = Failure(Temper.ALARMING, "another host key")


def made(forwards: int = 1, *, spawned: bool = True, jitter: float = 0.0) -> Core:
    return Core([f"f{number}" for number in range(forwards)], spawned=spawned, jitter=lambda: jitter)


def started(forwards: int = 1) -> Core:
    """One whose process has just been started at 0."""
    tunnel = made(forwards)
    assert tunnel.tick(0.0) == [Start()]
    assert tunnel.tick(0.0) == [Probe(number) for number in range(forwards)]
    return tunnel


def up(forwards: int = 1) -> Core:
    tunnel = started(forwards)
    for number in range(forwards):
        tunnel.judged(0.0, number, Verdict.ANSWERS, took=0.01)
    assert tunnel.phase is Phase.UP
    return tunnel


def test_ssh_that_does_not_listen_yet_is_asked_again_soon_and_silently() -> None:
    """Nothing is said of it, until it has had all the time there is."""
    tunnel = started()
    assert tunnel.judged(0.0, 0, Verdict.REFUSED, "no") == []
    assert tunnel.due() == core.LISTENING
    assert tunnel.tick(core.LISTENING) == [Probe(0)]
    tunnel.judged(1.0, 0, Verdict.REFUSED, "no")
    assert tunnel.tick(core.PATIENCE) == [Stop()]
    assert tunnel.tick(core.PATIENCE + 1) == [], "it is being ended"
    (said,) = tunnel.ended(core.PATIENCE + 1, Failure(Temper.PASSING, "ended by signal 15"))
    assert isinstance(said, Say) and "did not get through" in said.text


def test_a_forward_is_asked_every_three_seconds_and_believed_at_the_second_miss() -> None:
    """From the last answer until it is said are 3 s and two times the longest that an answer may take: 11 s."""
    tunnel = up()
    assert tunnel.due() == core.EVERY
    assert tunnel.tick(3.0) == [Probe(0)]
    assert tunnel.judged(7.0, 0, Verdict.SILENT, "no answer") == []
    assert (tunnel.phase, tunnel.due()) == (Phase.UP, 7.0)
    assert tunnel.tick(7.0) == [Probe(0)]
    assert tunnel.judged(11.0, 0, Verdict.SILENT, "no answer") == [
        Say(logging.ERROR, "f0 does not answer: no answer")
    ]
    assert (tunnel.phase, tunnel.why) == (Phase.SILENT, "f0 does not answer: no answer")


def test_one_miss_between_answers_is_nothing() -> None:
    """A slow link is no fault."""
    tunnel = up()
    tunnel.tick(3.0)
    tunnel.judged(7.0, 0, Verdict.SILENT)
    assert tunnel.judged(7.5, 0, Verdict.ANSWERS, took=0.5) == []
    tunnel.tick(10.5)
    assert tunnel.judged(14.5, 0, Verdict.SILENT) == []
    assert tunnel.phase is Phase.UP


def test_a_connection_that_ends_is_asked_about_at_once() -> None:
    """A broker that is killed is not found out three seconds later."""
    tunnel = up()
    assert tunnel.lost(1.0, 0) == [Probe(0)]
    assert tunnel.judged(1.0, 0, Verdict.CLOSED, "nothing behind it") == []
    assert tunnel.due() == 1.0 + core.CONFIRM
    tunnel.tick(1.5)
    assert tunnel.judged(1.5, 0, Verdict.CLOSED, "nothing behind it") != []
    assert tunnel.phase is Phase.SILENT


def silent_from(tunnel: Core, now: float) -> None:
    """Two probes go unanswered."""
    for _ in range(2):
        tunnel.tick(tunnel.due())
        tunnel.judged(now, 0, Verdict.SILENT, "no answer")


def test_silence_ends_ssh_after_a_while_and_later_each_time_that_did_not_help() -> None:
    """It may be ssh that is frozen; when it is the broker, ending ssh again and again would help nobody."""
    tunnel = up()
    silent_from(tunnel, 10.0)
    assert tunnel.judged(20.0, 0, Verdict.SILENT, "no answer") == []
    assert tunnel.tick(10.0 + core.SILENCE) == [Stop()]
    tunnel.ended(41.0, PASSING)
    assert tunnel.tick(tunnel.due()) == [Start()]
    began = tunnel.due()
    silent_from(tunnel, began)
    assert Stop() not in tunnel.tick(began + core.SILENCE)
    tunnel.judged(began + core.SILENCE, 0, Verdict.SILENT, "no answer")
    assert tunnel.tick(began + 2 * core.SILENCE) == [Stop()]


def test_a_broker_that_is_gone_ends_no_ssh() -> None:
    """The connection is taken and closed: ssh does its work."""
    tunnel = up()
    for now in (3.0, 4.0, 100.0, 1000.0, 10_000.0):
        assert Stop() not in tunnel.tick(now)
        tunnel.judged(now, 0, Verdict.CLOSED, "nothing behind it")
    assert tunnel.phase is Phase.SILENT


def test_one_of_two_that_answers_keeps_it() -> None:
    """Whoever uses that one is not to be cut off."""
    tunnel = up(2)
    tunnel.tick(3.0)
    tunnel.judged(3.0, 0, Verdict.ANSWERS, took=0.1)
    for now in (7.0, 11.0, 1000.0):
        tunnel.judged(now, 1, Verdict.SILENT, "no answer")
    assert (tunnel.phase, tunnel.why) == (Phase.PARTLY, "f1 does not answer: no answer")
    assert Stop() not in tunnel.tick(2000.0)


def test_waits_grow_and_jitter_takes_up_to_half_of_them() -> None:
    """From half a second to half a minute while it may pass."""
    tunnel, now, waits = started(), 0.0, []
    for _ in range(9):
        tunnel.ended(now, PASSING)
        waits.append(tunnel.next - now)
        now = tunnel.next
        assert tunnel.tick(now) == [Start()]
    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    hasty = made(jitter=1.0)
    hasty.tick(0.0)
    hasty.ended(0.0, PASSING)
    assert hasty.next == 0.25


@pytest.mark.parametrize(("failure", "first"), [(LASTING, 30), (ALARMING, 300)])
def test_what_needs_a_person_is_tried_seldom_and_said_once_an_hour(failure: Failure, first: float) -> None:
    """No storm of attempts, and none of records; and no silence for ever."""
    tunnel = started()
    (said,) = tunnel.ended(0.0, failure)
    assert isinstance(said, Say) and (said.level, failure.sentence in said.text) == (logging.ERROR, True)
    assert (tunnel.phase, tunnel.next) == (Phase.REFUSED, first)
    now, again = 0.0, []
    while tunnel.next < 3 * core.REMIND:
        now = tunnel.next
        assert tunnel.tick(now) == [Start()]
        again += [(now, each) for each in tunnel.ended(now, failure)]
    assert tunnel.next - now == 300
    assert [int(when / core.REMIND) for when, _ in again] == [1, 2]
    assert all(isinstance(each, Say) and "still down, after" in each.text for _, each in again)
    assert tunnel.retry(now + 1) == [Start()]
    assert tunnel.ended(now + 1, failure) != [], "asked for, so it is answered"


def test_an_earlier_failure_of_another_kind_makes_no_wait_longer() -> None:
    """A server that was away for long and then refuses a key: half a minute, not five."""
    tunnel = started()
    for _ in range(6):
        tunnel.ended(0.0, PASSING)
    tunnel.ended(0.0, LASTING)
    assert tunnel.next == 30
    tunnel.ended(0.0, PASSING)
    assert (tunnel.next, tunnel.failures) == (0.5, 8)


def test_a_tunnel_that_was_well_for_long_has_not_failed_before() -> None:
    """It comes back at once."""
    tunnel = up()
    tunnel.failures = 9
    tunnel.ended(core.STEADY, PASSING)
    assert (tunnel.failures, tunnel.next) == (1, core.STEADY + 0.5)


def test_somebody_elses_tunnel_is_asked_and_never_started_or_ended() -> None:
    """Whatever the answers are."""
    tunnel = made(spawned=False)
    assert tunnel.tick(0.0) == [Probe(0)]
    now, done = 0.0, []
    for verdict in (Verdict.REFUSED, Verdict.SILENT, Verdict.CLOSED, Verdict.ANSWERS, Verdict.SILENT):
        for _ in range(50):
            done += tunnel.judged(now, 0, verdict, "why")
            now = tunnel.due()
            done += tunnel.tick(now)
        assert tunnel.phase is (Phase.UP if verdict is Verdict.ANSWERS else Phase.SILENT)
    assert {type(each) for each in done} == {Say, Probe}


@pytest.mark.parametrize(
    ("lines", "temper", "part"),
    [
        (["@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @", "Host key verification failed."], Temper.ALARMING, "administrator"),
        (["No ED25519 host key is known for h and you have requested strict checking.", "Host key verification failed."], Temper.LASTING, "no ED25519 host key of it is in known_hosts"),
        (["@ WARNING: REVOKED HOST KEY DETECTED! @", "Host key verification failed."], Temper.ALARMING, "@revoked"),
        (["Unable to negotiate with h port 22: no matching host key type found. Their offer: ssh-rsa"], Temper.ALARMING, "no host key of the kind that is known"),
        (["Could not connect to gateway h:22 : Incompatible ssh peer (no acceptable host key)"], Temper.ALARMING, "no host key of the kind that is known"),
        (["Unable to negotiate with h port 22: no matching cipher found. Their offer: aes128-cbc"], Temper.LASTING, "no matching cipher found. Their offer: aes128-cbc"),
        (["Bad owner or permissions on /h/.ssh/config"], Temper.LASTING, "/h/.ssh/config: others may write to it"),
        (["u@h: Permission denied (publickey)."], Temper.LASTING, "refuses the key (u@h: Permission denied (publickey).)"),
        (['Load key "/k": error in libcrypto', "u@h: Permission denied (publickey)."], Temper.LASTING, "the key file /k cannot be used: error in libcrypto"),
        (["Warning: Identity file /k not accessible: No such file or directory.", "u@h: Permission denied (publickey)."], Temper.LASTING, "/k cannot be read: No such file or directory"),
        (["Warning: Identity file /k not accessible: No such file or directory.", "Timeout, server h not responding."], Temper.PASSING, "frozen, or the way there is cut"),
        (["bind [127.0.0.1]:7101: Address already in use", "channel_setup_fwd_listener_tcpip: cannot listen to port: 7101", "Could not request local forwarding."], Temper.PASSING, "127.0.0.1:7101 is in use"),
        (["Error: remote port forwarding failed for listen port 9017"], Temper.PASSING, "port 9017 there"),
        (["ssh: connect to host h port 22: Connection refused"], Temper.PASSING, "h cannot be reached at port 22: Connection refused"),
        (["ssh: Could not resolve hostname h: Name or service not known"], Temper.PASSING, "the name h cannot be resolved"),
        (["/c: line 3: Bad configuration option: nonsense", "/c: terminating, 1 bad configuration options"], Temper.LASTING, "/c: Bad configuration option: nonsense"),
        (["kex_exchange_identification: read: Connection reset by peer"], Temper.PASSING, "Connection reset by peer"),
        (["something that no table knows"], Temper.PASSING, "ended with exit code 255: something that no table knows"),
    ],
)  # fmt: skip
def test_what_ssh_says_is_told_in_one_sentence(lines: list[str], temper: Temper, part: str) -> None:
    """With what to do about it where somebody has to."""
    found = explain(lines, 255)
    assert found.temper is temper
    assert part in found.sentence


def test_a_changed_host_key_is_told_whole_to_other_hosts() -> None:
    """They hear so much of it, and what to do stands at its end."""
    assert len(CHANGED) <= MOST_WHY


def test_what_a_server_greets_with_is_none_of_sshs_words() -> None:
    """Its lawyers like these words; ssh ends its own lines with a carriage return."""
    greeting = ["Permission denied (to all others).", "REMOTE HOST IDENTIFICATION HAS CHANGED since 1998."]
    found = explain([*greeting, "Connection to h closed by remote host.\r"], 255, own=of_ssh)
    assert found.temper is Temper.PASSING and "Connection to h closed" in found.sentence
    assert explain(["u@h: Permission denied (publickey).\r"], 255, own=of_ssh).temper is Temper.LASTING


def test_what_a_program_on_the_way_says_is_told() -> None:
    """The ssh that started it knows only that nobody spoke."""
    lines = ["sh: 1: exec: nc: not found", "kex_exchange_identification: Connection closed by remote host\r"]
    assert "exec: nc: not found" in explain(lines, 255, own=of_ssh).sentence


def test_a_process_that_was_killed_is_told_so() -> None:
    """With the number of the signal."""
    assert explain([], -9) == Failure(Temper.PASSING, "it was ended by signal 9")


def test_what_ssh_says_of_one_connection_is_told_from_the_rest() -> None:
    """A forward that is refused from one behind which nothing listens."""
    refused = explain_channel("channel 3: open failed: administratively prohibited: open failed")
    gone = explain_channel("channel 3: open failed: connect failed: Connection refused")
    assert refused is not None and "permitopen" in refused.sentence
    assert gone is not None and gone.sentence.endswith("connect failed: Connection refused")
    assert explain_channel("Warning: Permanently added") is None
