"""What a fleet asks of its hosts. ``tabard.ops.hosts.reaching`` does it over ssh; tests do it in memory."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from tabard.errors import TabardError


class HostUnreachable(TabardError):
    """Raised when a host did not answer in time, or broke off: what was asked of it may be done there, or not."""


class HostFailed(TabardError):
    """Raised when a host answered, and what was asked of it was not done there."""


class Bundle(Protocol):
    """What is installed: all wheels of one release."""

    @property
    def release(self) -> str:
        """Its ID: the version, and the digest of all wheels."""
        ...

    @property
    def version(self) -> str:
        """The version of Tabard in it."""
        ...


class Standing(NamedTuple):
    """What a host has, as it says itself."""

    current: str | None
    """The release that runs there; None: none is installed, or its installation is not over."""
    previous: str | None
    """The one that it would go back to."""
    releases: tuple[str, ...] = ()
    """All that lie there whole, verified."""


class Health(NamedTuple):
    """How a host is after a switch."""

    ok: bool
    reasons: tuple[str, ...] = ()
    """Why not, each a sentence for people; none where it is well."""


class Port(Protocol):
    """What can be asked of hosts. Several threads ask at once, each about another host.

    Each call ends within a bounded time, whatever the host does. Each may be asked again after a crash of who asked, or after
    HostUnreachable, and does then what is not done yet: none of them is a step on the way of a counter, they name where to go to.
    Hosts are named as the register has them, which the port keeps true after what it has done.
    """

    def standing(self, host: str) -> Standing:
        """What is there. Raises HostUnreachable, HostFailed."""
        ...

    def stage(self, host: str, bundle: Bundle) -> str:
        """Lay a release whole beside the one that runs, verify it, and return its ID. Nothing that runs there is touched.

        Releases that are neither this one nor ``current`` nor ``previous`` may be taken away by it, and by nothing else: a host that is put back gets its
        former ``previous`` back as well.

        Raises HostUnreachable; HostFailed also where it does not fit the host.
        """
        ...

    def switch(self, host: str, release: str, previous: str | None) -> None:
        """Make ``release``, which lies there, the one that runs, and ``previous`` the one to go back to (None: there is none).

        The links are changed first and in one move each, then roles are ended and started by the new release. A host that has it all so
        already, with its roles running by it, is left alone. No release is taken away. Both a new release and the former one are
        switched to by this, so it needs nothing of either to run.
        Raises HostUnreachable, HostFailed.
        """
        ...

    def health(self, host: str, release: str, since: int) -> Health:
        """One look, without waiting: whether that release runs there, whole, and was heard from since ``since`` (nanoseconds UTC).

        Raises HostUnreachable; HostFailed where it could not be asked.
        """
        ...
