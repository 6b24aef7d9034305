"""Who speaks: service, ids, package and version of this process, from arguments, environment and metadata."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
from types import FrameType
from typing import Final

from tabard.applog.capture import cut
from tabard.applog.record import Speaker

_MOST_REQUIRED: Final = 200
"""Distributions looked at for what a started one requires."""
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SEPARATORS: Final = re.compile(r"[-_.]+")


def speaker(
    service: str,
    product: str | None,
    system: str | None,
    subsystem: str | None,
    subsubsystem: str | None,
    user1: str | None,
    user2: str | None,
    package: str | None,
    version: str | None,
) -> Speaker:
    """Fill in what is not given."""
    package, version = package_of(package, version)
    return Speaker(
        cut(str(service or _program())),
        product=_id(product, "PRODUCT_ID", "PRODUKT_ID"),
        system=_id(system, "SYSTEM_ID"),
        subsystem=_id(subsystem, "SUB_SYSTEM_ID"),
        subsubsystem=_id(subsubsystem, "SUB_SUB_SYSTEM_ID"),
        user1=_id(user1, "USER_SPEC_1"),
        user2=_id(user2, "USER_SPEC_2"),
        package=package,
        version=version,
    )


def package_of(package: str | None, version: str | None) -> tuple[str | None, str | None]:
    """The distribution that this application is, and its version; None for what nobody says, and for ""."""
    if package == "":
        return None, version or None
    if package is None:
        package = _running()
        if package is None and version is None:
            return _not_installed()
    return package, _version(package) if package and version is None else version


def _id(given: str | None, *variables: str) -> str | None:
    if given is not None:
        return cut(str(given)) or None
    return next((cut(os.environ[name]) for name in variables if os.environ.get(name)), None)


def _program() -> str:
    """The name of what runs: ``shop`` for ``/srv/bin/shop``, ``shop.py``, ``shop.pyz`` and ``python -m shop.main``."""
    name = _main_module()
    if name:
        return name.partition(".")[0]
    path = sys.argv[0] if sys.argv else ""
    if path in ("", "-", "-c"):
        return "python"
    path = os.path.abspath(path).removesuffix(f"{os.sep}__main__.py")  # else "." and what runs of a directory
    name, ending = os.path.splitext(os.path.basename(path))
    return name if ending in (".py", ".pyw", ".pyz") else name + ending


def _main_module() -> str:
    """What ``python -m`` was given; "" for scripts, archives and directories."""
    spec = vars(sys.modules["__main__"]).get("__spec__") if "__main__" in sys.modules else None
    name = str(spec.name) if spec is not None else ""
    return "" if name == "__main__" else name


def _running() -> str | None:
    """The distribution of the installed script or main module, or of whoever set logging up.

    Who set it up is the application when what was started does not need it: a server like gunicorn runs any.
    """
    try:
        started, caller = _started(), _distribution(_top(_caller()))
        return caller if caller and not (started and _needs(started, caller)) else started
    except Exception:  # metadata that somebody damaged is no reason not to log
        return None


def _started() -> str | None:
    script = os.path.basename(sys.argv[0]) if sys.argv else ""
    from importlib import metadata  # megabytes that Tabard's own roles do without

    for entry in metadata.entry_points(group="console_scripts", name=script):
        if entry.dist is not None and _top(entry.module) in sys.modules:
            return entry.dist.name
    return _distribution(_top(_main_module()))


def _needs(package: str, other: str) -> bool:
    """Whether a distribution is the other one, or requires it, be it by way of what it requires."""
    from importlib import metadata

    wanted = _normal(other)
    known: set[str] = set()
    ahead = [package]
    while ahead and len(known) < _MOST_REQUIRED:
        name = _normal(ahead.pop(0))
        if name == wanted:
            return True
        if name not in known:
            known.add(name)
            with contextlib.suppress(metadata.PackageNotFoundError):
                required = [text for text in metadata.requires(name) or () if "extra ==" not in text]
                ahead += [found.group() for found in map(_NAME.match, required) if found]
    return False


def _normal(package: str) -> str:
    return _SEPARATORS.sub("-", package).lower()


def _top(module: str) -> str:
    return module.partition(".")[0]


def _not_installed() -> tuple[str | None, str | None]:
    """Package and version that the module which runs or sets logging up says of itself, as from a checkout."""
    for name in (_top(_main_module()), _top(_caller()), "__main__"):
        module = sys.modules.get(name) if name else None
        version = vars(module).get("__version__") if module is not None else None
        if isinstance(version, str) and version:
            return cut(_program() if name == "__main__" else name), cut(version)
    return None, None


def _caller() -> str:
    """The module that asked for logging: the first one that is neither Tabard's nor the logging module."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 -- as the logging module finds its callers
    while frame is not None:
        name = str(frame.f_globals.get("__name__", ""))
        if name.partition(".")[0] not in ("tabard", "logging"):
            return "" if name == "__main__" else name
        frame = frame.f_back
    return ""


def _distribution(top: str) -> str | None:
    """The distribution that brings the top-level package ``top``."""
    if not top or top in sys.stdlib_module_names:
        return None
    from importlib import metadata

    try:
        return metadata.distribution(top).name
    except metadata.PackageNotFoundError:
        return next(iter(metadata.packages_distributions().get(top, ())), None) or _editable(top)


def _editable(top: str) -> str | None:
    """The distribution installed to be edited whose directory has the top-level package: it lists no files."""
    from importlib import metadata
    from urllib.parse import unquote, urlsplit

    module = sys.modules.get(top)
    path = vars(module).get("__file__") if module is not None else None
    for found in metadata.distributions() if path else ():
        said = json.loads(found.read_text("direct_url.json") or "{}")
        if said.get("dir_info", {}).get("editable") and said.get("url", "").startswith("file://"):
            directory = unquote(urlsplit(said["url"]).path).rstrip("/")
            if os.path.realpath(str(path)).startswith(f"{os.path.realpath(directory)}{os.sep}"):
                return found.name
    return None


def _version(package: str) -> str | None:
    """Its version by its metadata, else by the module of that name that is loaded."""
    try:
        from importlib import metadata

        return metadata.version(package)
    except Exception:
        module = sys.modules.get(package.replace("-", "_"))
        version = vars(module).get("__version__") if module is not None else None
        return version if isinstance(version, str) else None
