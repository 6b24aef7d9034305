"""What the commands about keys share: this home's trust, the file to carry over, and the rows that are shown."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tabard import files
from tabard.consumers.commands.issuing import LOCAL
from tabard.errors import HomeError, RefusedError, TabardError, TrustError, UsageError
from tabard.home import Home
from tabard.ops.output import Row

if TYPE_CHECKING:
    from tabard.brokers.trust.authority import Wanted
    from tabard.brokers.trust.certificates import Certificate
    from tabard.brokers.trust.files import Trust
    from tabard.brokers.trust.members import Made
    from tabard.settings import Settings

CHANGES: Final = ("did", "role", "name", "zone", "key", "until", "roster")
"""Of commands that change something."""
LIST: Final = ("role", "name", "zone", "state", "key", "since", "until", "sinks", "here", "serial", "reason")


def trusted(home: Home) -> Trust:
    """The trust of a home. Raises RefusedError when it has no keys, TrustError when they cannot be used."""
    from tabard.brokers.trust.files import Trust

    trust = Trust.load(home)
    if trust is None:
        raise RefusedError(
            "this home has no keys",
            expected="keys that tabard init or tabard join made",
            found="none",
            where=str(home.trust),
            hint="For the first home: tabard init. For another host: tabard node add where the authority is, then tabard join",
        )
    return trust


def zone_of(trust: Trust, zone: str | None) -> str:
    """The zone that is meant: the one named, else the only one whose authority is here. Raises UsageError."""
    if zone is not None:
        return zone
    here = [file.path for file in trust.owned() if file.role == "zone"]
    if len(here) == 1:
        return here[0]
    raise UsageError(
        "it has to be said which zone is meant",
        expected="--zone with one of " + ", ".join(here) if here else "a home that has the key of a zone",
        found="no --zone",
        hint="See the zones with: tabard keys list",
    )


@contextmanager
def handed_over(path: Path | None, trust: Trust) -> Iterator[Callable[[Made], None]]:
    """What writes a bundle to a file that is made first, refused when it is there, and removed when the body fails.

    Without a path there is nothing to write. Raises RefusedError, TabardError.
    """
    from tabard.brokers.trust.bundle import encode_bundle

    if path is None:
        yield lambda _made: None
        return
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
    except FileExistsError as error:
        raise RefusedError(
            "the file is there already",
            expected="a new file",
            found=str(path),
            hint="Name another with --out",
        ) from error
    except OSError as error:
        raise _unwritable(path, error) from error
    written = False

    def give(made: Made) -> None:
        nonlocal written
        try:
            files.write(path, encode_bundle(made.bundle(trust)))
        except OSError as error:
            raise _unwritable(path, error) from error
        written = True

    try:
        yield give
    finally:
        if not written:
            with contextlib.suppress(OSError):
                path.unlink()


def members_of(settings: Settings, home: Home) -> list[Wanted]:
    """Who needs a key in a home with these settings: its node, its brokers, the recorder of its sink, and its dispatcher."""
    from tabard.brokers.topology import brokers
    from tabard.brokers.trust.authority import Wanted

    name, zone = settings.str("node.name"), settings.str("node.zone")
    sink = settings.str("recorder.sink")
    wanted = [Wanted("node", name, zone, settings.strings("agent.sinks"))]
    wanted += [Wanted("broker", plan.name, plan.zone) for plan in brokers(settings, home)]
    wanted += [Wanted("recorder", name, zone, (sink,)), Wanted("dispatcher", name, zone, commands=True)]
    return wanted


def founders_of(settings: Settings, home: Home, root: str) -> list[Wanted]:
    """Who needs a key in a home that becomes a root: its members, and an operator `local`, who is whoever may read its keys."""
    from tabard.brokers.trust.authority import Wanted

    return [*members_of(settings, home), Wanted("operator", LOCAL, root, commands=True)]


def changes(did: str, certificates: Iterable[Certificate], trust: Trust) -> list[Row]:
    """A row of `CHANGES` for each certificate, with the number of the roster that says so."""
    return [change(did, each, trust.directory.version(each.place or each.zone)) for each in certificates]


def change(did: str, certificate: Certificate, roster: int) -> Row:
    """A row of `CHANGES`."""
    from tabard.brokers.trust.keys import shown_id

    return {
        "did": did,
        "role": certificate.role,
        "name": certificate.path,
        "zone": certificate.zone,
        "key": shown_id(certificate.key_id),
        "until": time_of(certificate.until),
        "roster": roster,
    }


def listed(trust: Trust, now: int, *, every: bool) -> list[Row]:
    """A row of `LIST` for the newest certificate of each name, or for every one that is known."""
    from tabard.brokers.trust.keys import shown_id

    here = {file.key.public.key_id for file in trust.owned()}
    mine = [file.certificate for file in trust.owned() if file.certificate is not None]
    rows: list[Row] = []
    seen: set[tuple[str, str, str]] = set()
    known = {
        trust.directory.root,
        *trust.directory.every(),
        *mine,
    }  # those of this home also when nothing believes them
    for each in sorted(
        known, key=lambda each: (each.zone, each.role != "zone", each.role, each.name, -each.serial)
    ):
        if not every and each[:3] in seen:
            continue
        seen.add(each[:3])
        state, reason = _state(trust, each, now)
        rows.append(
            {
                "role": each.role,
                "name": each.path,
                "zone": each.zone,
                "state": state,
                "key": shown_id(each.key_id),
                "since": time_of(each.since),
                "until": time_of(each.until),
                "sinks": list(each.sinks),
                "here": each.key_id in here,
                "serial": each.serial,
                "reason": reason,
            }
        )
    return rows


def ending(trust: Trust, now: int) -> list[str]:
    """A sentence on each certificate that holds and ends soon, and has no newer one in its place."""
    from tabard.brokers.trust.certificates import when
    from tabard.ops.keycheck import SOON

    newest: dict[tuple[str, str, str], Certificate] = {}
    for each in (trust.directory.root, *trust.directory.every()):
        known = newest.get(each[:3])
        if trust.directory.holds(each, now) and (known is None or known.until < each.until):
            newest[each[:3]] = each
    return [
        f"the certificate of {each} ends on {when(each.until)}: tabard keys renew, where its authority is"
        for each in sorted(newest.values(), key=lambda each: each.until)
        if each.until - now < SOON
    ]


def _state(trust: Trust, certificate: Certificate, now: int) -> tuple[str, str | None]:
    try:
        trust.directory.check(certificate, now)
    except TrustError as error:
        return error.reason, str(error)
    return "valid", None


def time_of(time: int) -> str:
    """A time as JSON has it."""
    from tabard.web.zones import iso

    return iso(time)


def settle(home: Home, settings: Settings, name: str | None, zone: str) -> str | None:
    """See that the settings call this host so: written where there are none, else the lines to put in; None when they do.

    Without a ``name`` only the zone counts. Raises TabardError when the file cannot be written.
    """
    if settings.str("node.zone") == zone and name in {None, settings.str("node.name")}:
        return None
    lines = f'[node]\nname = "{name}"\nzone = "{zone}"\n' if name else f'[node]\nzone = "{zone}"\n'
    if os.path.lexists(home.settings_file):
        return f"Put into {home.settings_file}, in place of what it says of them:\n{lines}"
    with writing(home):
        files.write(home.settings_file, lines.encode())
    return f"Written to {home.settings_file}:\n{lines}"


@contextmanager
def writing(home: Home) -> Iterator[None]:
    """Raises HomeError where the disk refuses what the body writes into the home."""
    try:
        yield
    except OSError as error:
        raise HomeError(
            "cannot write the keys",
            expected="a home that this user can write to, on a disk with room",
            found=error.strerror or str(error),
            where=str(error.filename or home.path),
        ) from error


@contextmanager
def changing(home: Home) -> Iterator[Trust]:
    """The trust of a home, locked while the body changes it. Raises as `trusted`, AlreadyRunning, HomeError."""
    trust = trusted(home)
    with writing(home), trust.changing():
        yield trust


def _unwritable(path: Path, error: OSError) -> TabardError:
    return TabardError(
        "cannot write the file",
        expected="a place that this user can write to",
        found=error.strerror or str(error),
        where=str(path),
    )
