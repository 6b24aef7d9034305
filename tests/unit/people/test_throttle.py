"""How often a password may be tried."""

from __future__ import annotations

import pytest

from tabard.consumers.people.throttle import ADDRESS, KNOWN, NAME, Throttle


def tries(throttle: Throttle, name: str, address: str, now: float, count: int, *, known: bool = False) -> int:
    """How many of so many tries in a row are let through."""
    return sum(throttle.wait(name, address, now, known=known) == 0 for _ in range(count))


@pytest.mark.threat("login-flood")
def test_one_address_gets_few_tries_whatever_names_it_uses() -> None:
    """And one more now and then."""
    throttle = Throttle()
    passed = sum(tries(throttle, f"name{number}", "10.0.0.9", 0.0, 1) for number in range(100))
    assert passed == ADDRESS.burst
    assert throttle.wait("ann", "10.0.0.9", 0.0, known=False) == pytest.approx(ADDRESS.every)
    assert tries(throttle, "ann", "10.0.0.9", ADDRESS.every, 5) == 1


@pytest.mark.threat("login-flood")
def test_one_name_gets_few_tries_whatever_addresses_they_come_from() -> None:
    """Whether anybody has that name or not is not asked here."""
    throttle = Throttle()
    passed = sum(tries(throttle, "ann", f"10.0.{number}.9", 0.0, 1) for number in range(200))
    assert passed == NAME.burst


@pytest.mark.threat("login-flood")
def test_a_flood_does_not_keep_the_person_out() -> None:
    """Who logged in from an address before has tries of their own there, however long others go on."""
    throttle = Throttle()
    for now in range(0, 36_000, 10):
        for number in range(5):
            throttle.wait("ann", f"10.{number}.{now % 250}.9", float(now), known=False)
    assert throttle.wait("ann", "10.9.9.9", 35_990.0, known=False) > 0
    assert tries(throttle, "ann", "192.0.2.1", 35_990.0, 50, known=True) == KNOWN.burst


def test_who_mistyped_and_then_did_not_begins_anew() -> None:
    """A person is not punished for yesterday's slip."""
    throttle = Throttle()
    assert tries(throttle, "ann", "192.0.2.1", 0.0, 9, known=True) == 9
    throttle.good("ann", "192.0.2.1", 0.0)
    assert tries(throttle, "ann", "192.0.2.1", 0.0, 99, known=True) == KNOWN.burst


@pytest.mark.threat("login-flood")
def test_an_account_of_ones_own_does_not_open_the_way_to_others() -> None:
    """Whoever logs in between tries for others gets back what the own name took, no more."""
    throttle = Throttle()
    passed = 0
    for number in range(50):
        passed += tries(throttle, f"name{number}", "192.0.2.1", 0.0, 1)
        if throttle.wait("mallory", "192.0.2.1", 0.0, known=True) == 0:
            throttle.good("mallory", "192.0.2.1", 0.0)
    assert passed == ADDRESS.burst


@pytest.mark.threat("login-flood")
@pytest.mark.parametrize("address", ["2001:db8:0:1::{:x}", "2001:db8:0:1:{:x}::9", "fe80::{:x}%eth0"])
def test_one_network_of_ipv6_is_one_place_to_come_from(address: str) -> None:
    """Whoever has one has 2^64 addresses, one for each try."""
    throttle = Throttle()
    passed = sum(tries(throttle, f"n{n}", address.format(n + 2), 0.0, 1) for n in range(100))
    assert passed == ADDRESS.burst
    assert tries(throttle, "ann", "2001:db8:0:2::1", 0.0, 1) == 1, "another network is another place"


@pytest.mark.threat("login-flood")
def test_ipv4_within_ipv6_is_what_it_is() -> None:
    """Not a try more for whoever writes the same address otherwise, nor all of IPv4 in one place."""
    throttle = Throttle()
    passed = sum(
        tries(throttle, f"n{n}", ("192.0.2.9", "::ffff:192.0.2.9")[n % 2], 0.0, 1) for n in range(100)
    )
    assert passed == ADDRESS.burst
    assert tries(throttle, "ann", "::ffff:192.0.2.8", 0.0, 1) == 1


@pytest.mark.threat("login-flood")
def test_what_is_remembered_is_bounded() -> None:
    """A flood of names and addresses takes no memory."""
    throttle = Throttle(most=100)
    for number in range(1000):
        throttle.wait(f"name{number}", f"10.0.0.{number}", 0.0, known=False)
    assert len(throttle._buckets) == 100


def test_a_try_that_is_refused_costs_nothing() -> None:
    """An address that has none left takes none of a name's."""
    throttle = Throttle()
    tries(throttle, "other", "10.0.0.9", 0.0, 50)
    assert tries(throttle, "ann", "10.0.0.9", 0.0, 500) == 0
    assert sum(tries(throttle, "ann", f"10.1.{number}.1", 0.0, 1) for number in range(99)) == NAME.burst
