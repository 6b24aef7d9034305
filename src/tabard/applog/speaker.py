"""Who speaks: service, ids, package and version of this process, from arguments, environment and metadata."""

from __future__ import annotations

import os
import sys
from types import FrameType

from tabard.applog.capture import cut
from tabard.applog.record import Speaker


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
    if package is None and version is None:
        package = _running()
        return (package, _version(package)) if package else (None, None)
    if package is not None and version is None:
        version = _version(package)
    return package, version


def _id(given: str | None, *variables: str) -> str | None:
    if given is not None:
        return cut(str(given)) or None
    return next((cut(os.environ[name]) for name in variables if os.environ.get(name)), None)


def _program() -> str:
    """The name of what runs: ``shop`` for ``/srv/bin/shop``, ``shop.py`` and ``python -m shop.main``."""
    name = _main_module()
    if name:
        return name.partition(".")[0]
    path = sys.argv[0] if sys.argv else ""
    return "python" if path in ("", "-", "-c") else os.path.basename(path).removesuffix(".py")


def _main_module() -> str:
    """What ``python -m`` was given."""
    spec = vars(sys.modules["__main__"]).get("__spec__") if "__main__" in sys.modules else None
    return str(spec.name) if spec is not None else ""


def _running() -> str | None:
    """The distribution of the main module, of the installed script, or of whoever set logging up."""
    script = os.path.basename(sys.argv[0]) if sys.argv else ""
    try:
        from importlib import metadata  # megabytes that Tabard's own roles do without

        for entry in metadata.entry_points(group="console_scripts", name=script):
            if entry.dist is not None and entry.module.partition(".")[0] in sys.modules:
                return entry.dist.name
        for module in filter(None, (_main_module(), _caller())):
            found = _distribution(module.partition(".")[0])
            if found:
                return found
    except Exception:  # metadata that somebody damaged is no reason not to log
        return None
    return None


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
        return next(iter(metadata.packages_distributions().get(top, ())), None)


def _version(package: str) -> str | None:
    """Its version by its metadata, else by the module of that name that is loaded."""
    try:
        from importlib import metadata

        return metadata.version(package)
    except Exception:
        module = sys.modules.get(package.replace("-", "_"))
        version = vars(module).get("__version__") if module is not None else None
        return version if isinstance(version, str) else None
