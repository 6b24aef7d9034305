"""Which package and version an application is: by what it says, by what was installed, by how it was started."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipapp
from pathlib import Path

import pytest

from tabard.applog.speaker import package_of

MAIN = """
import sys, tabard, logging
def main():
    speaker = tabard.setup_logging(spool_bytes=0, file="never")._plan.speaker
    print(speaker.service, speaker.package, speaker.version)
if __name__ == "__main__": main()
"""


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A place with the distribution ``acme-shop`` 2.3: a package ``shop`` and a script ``shopd``."""
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").write_text("")
    (tmp_path / "shop" / "main.py").write_text(MAIN)
    info = tmp_path / "acme_shop-2.3.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: acme-shop\nVersion: 2.3\nRequires-Dist: Acme.Logs (>=1)\n"
    )
    (info / "top_level.txt").write_text("shop\n")
    (info / "entry_points.txt").write_text(
        "[console_scripts]\nshopd = shop.main:main\nshoplogs = shop.logs:main\n"
    )
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "shopd").write_text("import sys\nfrom shop.main import main\nsys.exit(main())\n")
    (tmp_path / "run.py").write_text("import shop.main\nshop.main.main()\n")
    (tmp_path / "loose.py").write_text(MAIN)
    (tmp_path / "said.py").write_text(f"__version__ = '1.5'\n{MAIN}")
    _checkout(tmp_path / "src" / "till")
    zipapp.create_archive(tmp_path / "src", tmp_path / "shop.pyz", main="till.main:main")
    _checkout(tmp_path / "kiosk")
    _server(tmp_path)
    _edited(tmp_path)
    return tmp_path


def _checkout(place: Path) -> None:
    """A package that is not installed and says its version itself."""
    place.mkdir(parents=True)
    (place / "__init__.py").write_text("__version__ = '3.1'\n")
    (place / "main.py").write_text(MAIN)
    (place / "__main__.py").write_text("from kiosk.main import main\nmain()\n")


def _edited(place: Path) -> None:
    """The distribution ``acme-stock`` 7.0 with the package ``stock``, installed to be edited: it lists no files."""
    directory = place / "to edit" / "src" / "stock"
    directory.mkdir(parents=True)
    (directory / "__init__.py").write_text("")
    (directory / "__main__.py").write_text(f"import sys\n{MAIN}")
    info = place / "acme_stock-7.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-stock\nVersion: 7.0\n")
    said = {"url": (place / "to edit").as_uri(), "dir_info": {"editable": True}}
    (info / "direct_url.json").write_text(json.dumps(said))


def _server(place: Path) -> None:
    """A distribution ``gun`` that runs any application, and ``acme-logs``, which ``acme-shop`` requires."""
    for name, required in (("gun", ""), ("acme_logs", "")):
        (place / f"{name}-9.0.dist-info").mkdir()
        text = f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: 9.0\n{required}"
        (place / f"{name}-9.0.dist-info" / "METADATA").write_text(text)
    (place / "gun-9.0.dist-info" / "entry_points.txt").write_text("[console_scripts]\ngunrun = gun:main\n")
    (place / "gun.py").write_text(
        "import importlib\ndef main(): importlib.import_module('shop.main').main()\n"
        "if __name__ == '__main__': main()\n"
    )
    (place / "acme_logs.py").write_text(MAIN)
    (place / "bin" / "gunrun").write_text("import gun\ngun.main()\n")
    (place / "shop" / "logs.py").write_text("import acme_logs\ndef main(): acme_logs.main()\n")
    (place / "bin" / "shoplogs").write_text("import shop.logs\nshop.logs.main()\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("-m", "shop.main"), "shop acme-shop 2.3"),
        (("bin/shopd",), "shopd acme-shop 2.3"),
        (("run.py",), "run acme-shop 2.3"),
        (("loose.py",), "loose None None"),
        (("said.py",), "said said 1.5"),
        (("shop.pyz",), "shop till 3.1"),
        (("-m", "kiosk"), "kiosk kiosk 3.1"),
        (("kiosk/__main__.py",), "kiosk kiosk 3.1"),
        (("-m", "stock"), "stock acme-stock 7.0"),
        (("bin/gunrun",), "gunrun acme-shop 2.3"),
        (("-m", "gun"), "gun acme-shop 2.3"),
        (("bin/shoplogs",), "shoplogs acme-shop 2.3"),
        (("-c", "import tabard; print(*tabard.LogHandler()._plan.speaker[:1])"), "python"),
    ],
)
def test_it_is_found_out(installed: Path, words: tuple[str, ...], said: str) -> None:
    """Run as a module, by its script, from another one, by a server, out of an archive, and not installed at all."""
    done = subprocess.run(
        [sys.executable, *words],
        cwd=installed,
        env={
            **os.environ,
            "PYTHONPATH": f"{installed}:{installed}/to edit/src",
            "TABARD_HOME": str(installed / "home"),
        },
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout.strip(), done.stderr) == (said, "")


def test_a_package_without_metadata_may_name_its_version_itself() -> None:
    """As many do that run from a checkout."""
    assert package_of("pytest_timeout_of_nobody", None) == ("pytest_timeout_of_nobody", None)
    assert package_of("tabard", None)[1] is not None


def test_damaged_metadata_is_no_reason_not_to_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it raises."""

    def broken(*_: object, **__: object) -> None:
        raise ValueError("broken")

    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)  # pytest says its version itself
    monkeypatch.setattr("importlib.metadata.version", broken)
    monkeypatch.setattr("importlib.metadata.entry_points", broken)
    assert package_of(None, None) == (None, None)
    assert package_of("shop_of_nobody", None) == ("shop_of_nobody", None)
