"""``tabard.Config``: the configuration of an application, in one object."""

from __future__ import annotations

import builtins
import contextlib
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tabard.config.hangup import Hangup
from tabard.config.options import LANGUAGE, LEVEL, check_service, schema_of
from tabard.config.single import forget, must_be_the_first, only_here, remember
from tabard.config.sources import Read, Sources, locate
from tabard.config.view import View
from tabard.errors import AlreadyRunning, HomeError, SettingsError, TabardError, UsageError
from tabard.home import Home, default_home
from tabard.settings import announce
from tabard.settings.effective import Effective, effective, key_of
from tabard.settings.reload import Reload, Reloader
from tabard.settings.schema import Setting as Option
from tabard.settings.stages import Stage
from tabard.settings.values import Values

Heard = Callable[[Reload], object]
_NOTHING_NEW: Final = Reload()
_OF_SETUP: Final = frozenset({"level", "warnings", "uncaught"})
"""Arguments of `setup_logging` that no handler has."""


class Config(View):
    """The configuration of one application in this process, made once.

    ``config["orders.batch"]`` is a value; `str`, `int`, `number`, `seconds`, `bytes`, `flag` and `strings` say its type
    as well. The layers are: the options' defaults, ``SERVICE.toml``, what belongs to the stage (its tables there, and
    the INI file ``SERVICE<suffix>.cfg``), environment variables ``SERVICE_SECTION_KEY``, ``arguments``.

    Args:
        service: its name; part of file names.
        options: what the application declares beyond the options that all have.
        stage: which stage it runs in; else ``DEV_STAGE``, else the stage of the home; "" for none.
        directory: where its files are; else ``BASIC_CONFIGFILE_DIR``, else the working directory.
        file: the one file to read in place of those: TOML, or INI when it ends in ``.cfg`` or ``.ini``.
        need_file: whether it is an error when there is no file.
        arguments: values from a command line, by name; None means not given.
        validate: looks at all values together, and raises ValueError or SettingsError when they do not fit.
        lock: True: a second process of this service, stage and home is refused; a path: that file is the lock.
        package, version: what is running; read from package metadata when not given.
        logging: True: records go to the agent as `tabard.setup_logging` does it; a mapping: with these arguments
            of it; False: logging stays as it is.
        home: of the agent of this host; else ``TABARD_HOME``, else ``~/.tabard``.
        env: the environment; that of the process unless given.

    Raises:
        SettingsError: something is wrong with a value; the message names file, line, key and what was expected.
        AlreadyRunning: ``lock`` was asked for, and another process has it.
        HomeError: the lock cannot be made.
        UsageError: a declaration does not do, or this process has a configuration of that service.
    """

    def __init__(
        self,
        service: builtins.str,
        options: Iterable[Option] = (),
        *,
        stage: builtins.str | None = None,
        directory: builtins.str | os.PathLike[builtins.str] | None = None,
        file: builtins.str | os.PathLike[builtins.str] | None = None,
        need_file: bool = False,
        arguments: Mapping[builtins.str, object] | None = None,
        validate: Callable[[Values], None] | None = None,
        lock: bool | builtins.str | os.PathLike[builtins.str] = False,
        package: builtins.str | None = None,
        version: builtins.str | None = None,
        logging: bool | Mapping[builtins.str, Any] = True,
        home: builtins.str | os.PathLike[builtins.str] | None = None,
        env: Mapping[builtins.str, builtins.str] | None = None,
    ) -> None:
        self.service = check_service(service)
        must_be_the_first(service)
        env = os.environ if env is None else env
        self.home = Home(home or default_home(env))
        schema = schema_of(service, options)
        self.package, self.version = _who(package, version)
        self._open = contextlib.ExitStack()
        self._hangup: Hangup | None = None
        self._reloading = threading.RLock()
        self._logging = None if logging is False else {} if isinstance(logging, bool) else dict(logging)
        try:
            self._sources = Sources(
                service,
                schema,
                self.home,
                locate(directory, env),
                None if file is None else Path(os.path.abspath(os.path.expanduser(file))),
                need_file or file is not None,
                stage,
                env,
                dict(arguments or {}),
                validate,
            )
            self._reloader = Reloader(self._read)
            self._key = key_of(self.home)
            self.effective: Effective = effective(self._values, self._key)
            """What holds, masked, with its digest."""
            self._begin(lock)
        except (SettingsError, AlreadyRunning, HomeError) as error:
            self._tell_refusal(error)
            raise
        self._announce(announce.START)

    # --- who and where ----------------------------------------------------------------------------------

    @property
    def stage(self) -> Stage:
        """The stage it runs in: its name, suffix, port, level and mail addresses."""
        return self._values.stage

    @property
    def name(self) -> builtins.str:
        """The service with the suffix of its stage: how files are called that belong to it."""
        return f"{self.service}{self.stage.suffix}"

    @property
    def language(self) -> builtins.str:
        """Language of its templates, two capital letters."""
        return self.str(LANGUAGE)

    @property
    def digest(self) -> builtins.str:
        """Tells this configuration from others, secrets included."""
        return self.effective.digest

    @property
    def files(self) -> tuple[builtins.str, ...]:
        """The files that were read."""
        return self._values.files

    @property
    def warnings(self) -> tuple[builtins.str, ...]:
        """What looks like a slip in the files, and was taken all the same."""
        return self._values.warnings

    def __repr__(self) -> builtins.str:
        place = f" in {self.stage.name}" if self.stage.name else ""
        return f"<Config {self.service}{place}, digest {self.digest[:12]}>"

    # --- while it runs --------------------------------------------------------------------------------

    def reload(self, heard: Heard | None = None) -> Reload:
        """Read everything again. What is wrong is recorded, and the values stay; never raises SettingsError.

        Options declared with ``reload`` have their new value afterwards; those without are named in ``restart`` and
        keep the old one. ``heard`` is called when anything changed or was refused; what it raises is recorded.
        """
        with self._reloading:
            outcome = self._reloader.reload()
            if outcome.error is not None:
                announce.refused(self.service, outcome.error)
            else:
                if self._logging is not None and LEVEL in outcome.changed:
                    _set_level(self.str(LEVEL))
                self.effective = effective(self._values, self._key)
                self._announce(announce.RELOAD, outcome)
        if heard is not None and (outcome.error or outcome.changed or outcome.restart):
            _tell(heard, outcome)
        return outcome

    def reload_on_hangup(self, heard: Heard | None = None) -> None:
        """Read everything again at each SIGHUP, as `reload` does, in a thread of its own that also calls ``heard``.

        The values change all at once. A handler that is there already is called too. Raises UsageError outside of
        the main thread.
        """
        if self._hangup is not None:
            raise UsageError("SIGHUP is watched already", found=self.service)
        self._hangup = Hangup(lambda: self.reload(heard))
        self._open.callback(self._hangup.close)

    def close(self) -> None:
        """Give up the lock and the signal. The values stay; logging goes on."""
        self._open.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- within ---------------------------------------------------------------------------------------

    def _read(self) -> Read:
        """All layers; from the first time on in the stage of then, and from the files of the time before."""
        found = self._sources.load()
        self._sources = self._sources._replace(stage=found.stage.name, before=found.files)
        return found

    def _begin(self, lock: bool | builtins.str | os.PathLike[builtins.str]) -> None:
        with contextlib.ExitStack() as undo:
            if lock is not False:
                undo.enter_context(only_here(None if lock is True else lock, self.home, self.name))
            remember(self)
            undo.callback(forget, self)
            if self._logging is not None:
                from tabard.applog import setup_logging  # an application may do its logging itself

                setup_logging(**{**self._speaker(), "level": self.str(LEVEL), **self._logging})
            self._open.push(undo.pop_all())

    def _tell_refusal(self, error: TabardError) -> None:
        """Record why it does not start; the logging of the process is not touched for it."""
        if self._logging is None or (isinstance(error, AlreadyRunning) and not self._speaks_of_starts()):
            return
        from tabard.applog import LogHandler

        given = {name: value for name, value in self._logging.items() if name not in _OF_SETUP}
        with contextlib.suppress(TabardError, OSError, TypeError):  # the error itself is what counts
            announce.cannot_start(self.service, error, LogHandler(**{**self._speaker(), **given}))

    def _speaks_of_starts(self) -> bool:
        return self.str(LEVEL) in {"DEBUG", "INFO"}

    def _speaker(self) -> dict[builtins.str, Any]:
        return {
            "service": self.service,
            "package": self.package,
            "version": self.version,
            "home": self.home.path,
        }

    def _announce(self, reason: builtins.str, outcome: Reload = _NOTHING_NEW) -> None:
        announce.announce(
            self.effective,
            service=self.service,
            package=self.package,
            version=self.version,
            stage=self.stage.name,
            reason=reason,
            changed=outcome.changed,
            restart=outcome.restart,
        )


def _who(package: builtins.str | None, version: builtins.str | None) -> tuple[builtins.str | None, ...]:
    from tabard.applog.speaker import package_of

    return package_of(package, version)


def _set_level(level: builtins.str) -> None:
    import logging

    logging.getLogger().setLevel(level)


def _tell(heard: Heard, outcome: Reload) -> None:
    try:
        heard(outcome)
    except Exception:
        # It runs in the middle of whatever the application was doing: that must not end by it.
        import logging

        logging.getLogger(announce.LOGGER).exception("what was to hear of new values failed")
