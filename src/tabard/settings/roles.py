"""The settings of a running role: read again on SIGHUP, taken over where that is possible, and always answered for."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from typing import Final

from tabard._version import VERSION
from tabard.errors import SettingsError
from tabard.settings import announce
from tabard.settings.effective import effective, key_of
from tabard.settings.reload import Reload, Reloader
from tabard.settings.values import Settings

_FORWARDING: Final = frozenset({"agent", "broker", "recorder", "dispatcher"})
_ENDS: Final = ("up", "down", "broker", "standby_broker", "standby_up", "standby_down")
"""Of the settings about a recorder those by which a dispatcher finds its brokers."""
READERS: Final = (
    ("node.zone", _FORWARDING),
    ("node.name", frozenset({"agent", "dispatcher"})),
    ("node.*", frozenset({"agent"})),
    ("agent.*", frozenset({"agent"})),
    ("intake.*", frozenset({"agent"})),
    ("journal.*", frozenset({"agent"})),
    ("commands.*", frozenset({"agent"})),
    ("action", frozenset({"agent"})),
    ("broker", _FORWARDING),
    ("broker.*", frozenset({"broker"})),
    ("brokers.*", _FORWARDING),
    *((f"recorder.{end}", frozenset({"recorder", "dispatcher"})) for end in _ENDS),
    ("recorder.*", frozenset({"recorder"})),
    ("dispatcher.*", frozenset({"dispatcher"})),
    ("retention.*", frozenset({"recorder"})),
    ("store.path", frozenset({"recorder", "dispatcher", "herald"})),
    ("store.url", frozenset({"recorder", "dispatcher", "herald"})),
    ("store.password_file", frozenset({"recorder", "dispatcher", "herald"})),
    ("store.password_key", frozenset({"recorder", "dispatcher", "herald"})),
    ("store.*", frozenset({"recorder"})),
    ("herald.*", frozenset({"herald"})),
    ("ports.*", frozenset({"herald"})),
    ("tunnel", frozenset({"tunnel"})),
    ("up.*", _FORWARDING),
    ("mail.*", frozenset({"application"})),
    ("templates.*", frozenset({"application"})),
)
"""Names of settings and who goes by them, the first that fits; what fits none concerns every role."""

_NOTHING_NEW: Final = Reload()
_PLACE: Final = frozenset({"node.name", "node.stage"})
"""Where a role runs, which is told beside its configuration: with it in there no two nodes would run with the same."""
_log = logging.getLogger(__name__)


def concerns(role: str, names: Iterable[str]) -> tuple[str, ...]:
    """Those of the ``names`` that a role goes by."""
    return tuple(name for name in names if role in _readers(name))


def outcome(reload: Reload) -> str:
    """What a reload did, as a sentence: ``log.level changed; herald.port needs a restart``."""
    said = []
    if reload.changed:
        said.append(f"{', '.join(reload.changed)} changed")
    if reload.restart:
        said.append(
            f"{', '.join(reload.restart)} {'needs' if len(reload.restart) == 1 else 'need'} a restart"
        )
    return "; ".join(said) or "nothing changed"


class RoleSettings:
    """What one role goes by. Raises SettingsError when the settings are broken at its start.

    ``name`` is that of the role's process where it is another, as ``broker.b1``.
    """

    def __init__(self, role: str, load: Callable[[], Settings], name: str = "") -> None:
        self._role = role
        self._name = name or role
        self._load = load
        self._had_file = False
        self._reloader = Reloader(self._read)

    @property
    def current(self) -> Settings:
        """The settings that hold now."""
        return self._reloader.current

    def _read(self) -> Settings:
        """The settings; a file that is about to be written anew does not make every value its default."""
        settings = self._load()
        file = settings.home.settings_file
        try:
            has_file = file.stat().st_size > 0
        except OSError:
            has_file = False
        if self._had_file and not has_file:
            raise SettingsError(
                "is gone, or empty now", file=str(file), hint="Start the role again if it is to go on without"
            )
        self._had_file = has_file
        return settings

    def reload(self, take: Callable[[Settings], None] = lambda _settings: None) -> None:
        """Read again, hand the settings to ``take`` when some changed, and log what that means.

        A broken file is logged, and the values stay as they are. Call it in the role's loop.
        """
        read = self._reloader.reload()
        if read.error is not None:
            _log.error("the settings are kept as they were: %s", read.error)
            return
        own = Reload(concerns(self._role, read.changed), concerns(self._role, read.restart))
        if own.changed:
            set_level(self.current)
            take(self.current)
        # What is in the file and does not hold concerns whoever changed it.
        _log.log(logging.WARNING if own.restart else logging.INFO, "settings read again: %s", outcome(own))
        if own.changed:
            announce_role(self._name, self.current, announce.RELOAD, own)


def announce_role(
    name: str, settings: Settings, reason: str = announce.START, reload: Reload = _NOTHING_NEW
) -> None:
    """Record what the role's process ``name`` runs with from now on, as applications do: as service ``tabard-NAME``."""
    role = name.partition(".")[0]
    try:
        found = effective(
            settings,
            key_of(settings.home),
            lambda setting: setting not in _PLACE and bool(concerns(role, [setting])),
        )
    except SettingsError as error:  # of a key that nobody else should read: no reason not to run
        _log.error("what %s runs with is not recorded: %s", name, error)
        return
    announce.announce(
        found,
        service=f"tabard-{name}",
        package="tabard",
        version=VERSION,
        stage=settings.stage.name,
        reason=reason,
        changed=reload.changed,
        restart=reload.restart,
    )


def set_level(settings: Settings) -> None:
    """Let Tabard's own loggers speak from ``log.level`` on."""
    logging.getLogger("tabard").setLevel(settings.str("log.level"))


def _readers(name: str) -> frozenset[str]:
    return next(
        (roles for pattern, roles in READERS if fnmatchcase(name, pattern)),
        _FORWARDING | {"herald", "tunnel"},
    )
