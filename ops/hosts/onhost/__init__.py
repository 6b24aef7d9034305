"""What runs on a host that is installed, upgraded or taken away. It is sent there as text, and needs nothing there but Python."""

from __future__ import annotations

import json
from importlib import resources
from typing import Final

_PACKAGES: Final = ("tabard", "tabard.ops", "tabard.ops.hosts", __name__)
_MODULES: Final = ("tools", "serving")
_LOADER: Final = """
import json, sys, types
def _load(packages, modules):
    for name in packages:
        sys.modules[name] = types.ModuleType(name)
    for name, text in modules:
        module = sys.modules[name] = types.ModuleType(name)
        exec(compile(text, name, "exec"), module.__dict__)
    return module
"""


def program() -> bytes:
    """All of it as one text, which serves one request from standard input."""
    folder = resources.files(__name__)
    modules = [
        (f"{__name__}.{name}", folder.joinpath(f"{name}.py").read_text(encoding="utf-8")) for name in _MODULES
    ]
    packages, texts = (json.dumps(each) for each in (_PACKAGES, modules))
    return f"{_LOADER}\n_load({packages}, {texts}).serve(sys.stdin.buffer)\n".encode()
