"""A store's password that is encrypted in its file."""

from __future__ import annotations

import os
import pty
import subprocess
from pathlib import Path

import pytest

from tabard.consumers.store import sealed
from tabard.consumers.store.place import Place
from tabard.errors import StoreError
from tabard.home import Home
from tests.integration.upping import TABARD, environment, tabard

SECRET = "correct horse \N{ELECTRIC PLUG}"


class Site:
    """A home whose settings name both files."""

    def __init__(self, directory: Path) -> None:
        self.home = Home(directory / "home").ensure()
        self.password = directory / "password"
        self.key = directory / "key"
        self.home.settings_file.write_text(
            '[store]\nurl = "postgresql://tabard@db/logs"\n'
            f'password_file = "{self.password}"\npassword_key = "{self.key}"\n'
        )

    @property
    def place(self) -> Place:
        """As the recorder sees it."""
        return Place("", "postgresql://tabard@db/logs", str(self.password), str(self.key))

    def run(self, *words: str, given: str = "") -> subprocess.CompletedProcess[str]:
        """Run the command."""
        return tabard(self.home.path, "store", "password", *words, stdin=given)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Without either file."""
    return Site(tmp_path)


def test_it_is_made_and_read(site: Site) -> None:
    """From standard input; nothing shows it, and both files are their owner's alone."""
    done = site.run(given=f"{SECRET}\n")
    assert (done.returncode, SECRET in done.stdout + done.stderr) == (0, False), done.stderr
    assert site.place.password() == SECRET
    for path in (site.password, site.key):
        assert path.stat().st_mode & 0o777 == 0o600
        assert SECRET not in path.read_text()
    assert sorted(path.name for path in site.key.parent.iterdir()) == ["home", "key", "password"]


def test_another_password_keeps_the_key(site: Site) -> None:
    """Each is encrypted in its own way, with the key that is there."""
    site.run(given=f"{SECRET}\n")
    first, key = site.password.read_text(), site.key.read_text()
    assert site.run(given=f"{SECRET}\n").returncode == 0
    assert site.key.read_text() == key
    assert site.password.read_text() != first
    assert site.place.password() == SECRET


def test_a_new_key_keeps_the_password(site: Site) -> None:
    """The old one opens nothing any more."""
    site.run(given=f"{SECRET}\n")
    old = sealed.read_keys(str(site.key), "key")
    done = site.run("--new-key")
    assert done.returncode == 0
    assert SECRET not in done.stdout + done.stderr
    assert site.place.password() == SECRET
    with pytest.raises(StoreError, match="cannot be decrypted"):
        sealed.decrypt(site.password.read_text(), old, "here")


@pytest.mark.parametrize("last", [1, 2, 3])
def test_a_new_key_that_is_interrupted_leaves_one_that_fits(
    site: Site, monkeypatch: pytest.MonkeyPatch, last: int
) -> None:
    """After any of the three writings; and the next try goes on."""
    from tabard.ops.cli import store_password

    site.run(given=f"{SECRET}\n")
    done = 0
    write = sealed.write_private

    def dying(path: Path, text: str) -> None:
        nonlocal done
        done += 1
        if done == last:
            raise KeyboardInterrupt
        write(path, text)

    with monkeypatch.context() as patched:
        patched.setattr(sealed, "write_private", dying)
        with pytest.raises(KeyboardInterrupt):
            store_password._renewed(site.place)
    assert site.place.password() == SECRET
    store_password._renewed(site.place)
    assert site.place.password() == SECRET
    assert len(sealed.read_keys(str(site.key), "key")) == 1


def test_it_is_asked_for_without_being_shown(site: Site) -> None:
    """At a terminal, twice."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [*TABARD, "store", "password"],
        env=environment(site.home.path),
        stdin=follower,
        stdout=follower,
        stderr=follower,
        start_new_session=True,
    )
    os.close(follower)
    said = b""
    for asked in (b"Password: ", b"confirmation: "):
        while not said.endswith(asked):
            said += os.read(leader, 1)
        os.write(leader, SECRET.encode() + b"\n")
    try:
        while chunk := os.read(leader, 1024):
            said += chunk
    except OSError:  # its end is gone
        pass
    assert process.wait() == 0, said
    os.close(leader)
    assert SECRET.encode() not in said
    assert site.place.password() == SECRET


def refused(site: Site) -> str:
    """What the recorder would say."""
    with pytest.raises(StoreError) as caught:
        site.place.password()
    said = str(caught.value)
    assert SECRET not in said
    return said


def test_a_wrong_key_is_told_from_damage(site: Site) -> None:
    """One names both keys, the other says that something was changed."""
    site.run(given=f"{SECRET}\n")
    right = site.key.read_text()
    sealed.write_keys(site.key, [sealed.new_key()])
    assert "the key" in refused(site)
    site.key.write_text(right)
    line = site.password.read_text()
    at = len(line) - 10
    site.password.write_text(line[:at] + ("A" if line[at] != "A" else "B") + line[at + 1 :])
    assert "changed since" in refused(site)
    site.password.write_text(line[:60] + "\n")
    assert "cannot be decrypted" in refused(site)
    site.password.write_text(line.replace("xsalsa20-poly1305", "rot13"))
    assert "another cipher" in refused(site) or "rot13" in refused(site)


@pytest.mark.parametrize("which", ["password", "key"])
def test_files_that_others_may_read_are_refused(site: Site, which: str) -> None:
    """With their mode, and what it should be."""
    site.run(given=f"{SECRET}\n")
    getattr(site, which).chmod(0o640)
    said = refused(site)
    assert "0640" in said
    assert "0600" in said


@pytest.mark.parametrize("content", ["", "nonsense\n", f"{sealed.KEY}AAAA\n", f"{sealed.KEY}%\n"])
def test_a_key_file_that_holds_no_key_is_refused(site: Site, content: str) -> None:
    """It says what a line looks like."""
    site.run(given=f"{SECRET}\n")
    site.key.write_text(content)
    assert sealed.KEY in refused(site)


def test_a_missing_key_and_a_missing_setting_are_told(site: Site) -> None:
    """The one is a file, the other a line in the settings."""
    site.run(given=f"{SECRET}\n")
    with pytest.raises(StoreError, match=r"store\.password_key"):
        site.place._replace(password_key="").password()
    site.key.unlink()
    assert "No such file" in refused(site)


def test_a_password_that_is_not_encrypted_is_not_taken_for_one(site: Site) -> None:
    """Somebody believes that it is."""
    site.run(given=f"{SECRET}\n")
    site.password.write_text(f"{SECRET}\n")
    assert "not encrypted" in refused(site)


@pytest.mark.parametrize("given", ["", "\n", "x" * 2_000])
def test_no_password_is_an_error(site: Site, given: str) -> None:
    """And nothing is written."""
    assert site.run(given=given).returncode == 2
    assert not site.password.exists()
    assert not site.key.exists()


def test_settings_that_name_no_files_are_told(site: Site) -> None:
    """Which one is missing, and where."""
    site.home.settings_file.write_text("")
    done = site.run(given=f"{SECRET}\n")
    assert done.returncode == 2
    assert "store.url" in done.stderr


def test_a_directory_in_which_nothing_may_be_written_is_told(site: Site) -> None:
    """With its name."""
    text = site.home.settings_file.read_text()
    site.home.settings_file.write_text(text.replace(str(site.password), f"{site.password}/deeper/password"))
    done = site.run(given=f"{SECRET}\n")
    assert done.returncode == 1
    assert "cannot be written" in done.stderr
