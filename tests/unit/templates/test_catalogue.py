"""Which file is meant: by use, name, language and stage."""

from __future__ import annotations

from contextlib import closing
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tabard
from tabard.templates import TemplateError, Templates
from tabard.templates.catalogue import Catalogue, File, _parts
from tests.unit.templates.folders import write

MAIL = {
    "mail/hello/subject.en.j2": "hello",
    "mail/hello/text.en.j2": "hello text",
    "mail/hello/subject.de.j2": "hallo",
    "mail/hello/text.de.j2": "hallo text",
}


def test_language_and_default(tmp_path: Path) -> None:
    """The language asked for, however it is written; else the default one."""
    templates = Templates([write(tmp_path, MAIL)], language="DE")
    assert templates.mail("hello").subject == "hallo"
    assert templates.speaking("en").mail("hello").subject == "hello"
    assert templates.speaking("fr").mail("hello").subject == "hello"


@pytest.mark.parametrize("language", ["de_CH", "de-ch", "de_CH.UTF-8", "DE_ch@euro"])
def test_a_region_says_what_it_says_differently(tmp_path: Path, language: str) -> None:
    """Its own parts, else those of the language, before the default one; however the region is written."""
    templates = Templates(
        [write(tmp_path, {**MAIL, "mail/hello/subject.de_ch.j2": "grüezi"})], language=language
    )
    assert templates.mail("hello")[:2] == ("grüezi", "hallo text\n")
    assert templates.find("mail", "hello").language == "de_ch"
    assert templates.speaking("de").mail("hello").subject == "hallo"
    other = templates.speaking("de_AT")
    assert (other.mail("hello").subject, other.find("mail", "hello").language) == ("hallo", "de")
    assert templates.speaking("fr_CH").mail("hello").subject == "hello"
    assert templates.catalogue.strays() == []


def test_the_default_language_may_have_a_region_too(tmp_path: Path) -> None:
    """And is found without it."""
    templates = Templates([write(tmp_path, MAIL)], language="fr", default_language="de_CH")
    assert templates.mail("hello").subject == "hallo"


def test_an_application_speaks_the_language_it_was_told(tmp_path: Path) -> None:
    """That of its configuration where somebody has said one, else that of the home."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    write(home / "templates", MAIL)
    (home / "tabard.toml").write_text('[templates]\nlanguage = "de_CH"\n')
    given: dict[str, Any] = {"home": home, "directory": tmp_path, "env": {}, "logging": False}
    with closing(tabard.Config("shop", **given)) as config:
        assert Templates.of(config).mail("hello").subject == "hallo"
        assert Templates.of(config, language="en").mail("hello").subject == "hello"
    (tmp_path / "till.toml").write_text('[global]\npattern_language = "EN"\n')
    with closing(tabard.Config("till", **given)) as config:
        assert Templates.of(config).mail("hello").subject == "hello"


def test_a_mail_is_in_one_language(tmp_path: Path) -> None:
    """A language that has only some of the parts is passed over for one that has all of them."""
    files = {**MAIL, "mail/hello/html.fr.j2": "<p>salut</p>", "mail/hello/text.fr.j2": "salut"}
    mail = Templates([write(tmp_path, files)], language="fr").mail("hello")
    assert (mail.subject, mail.text, mail.html) == ("hello", "hello text\n", None)


def test_parts_of_no_language_fill_in(tmp_path: Path) -> None:
    """A file without a language belongs to all of them."""
    files = {"mail/a/subject.j2": "[a]", "mail/a/text.de.j2": "deutsch", "mail/a/text.j2": "any"}
    templates = Templates([write(tmp_path, files)], language="de")
    assert templates.mail("a")[:2] == ("[a]", "deutsch\n")
    assert templates.speaking("fr").mail("a")[:2] == ("[a]", "any\n")


def test_stage_goes_before_no_stage_and_language_before_stage(tmp_path: Path) -> None:
    """The stage's own file counts, but not against the reader's language."""
    files = {
        "log/a/text.en.j2": "en",
        "log/a/text.en@production.j2": "en production",
        "log/a/text.de.j2": "de",
    }
    write(tmp_path, files)
    assert Templates([tmp_path], stage="PRODUCTION").log("a") == "en production"
    assert Templates([tmp_path], stage="testing").log("a") == "en"
    assert Templates([tmp_path], stage="production", language="de").log("a") == "de"


def test_the_first_folder_goes_before_the_others(tmp_path: Path) -> None:
    """A site changes one file of an application's templates by putting its own into the home."""
    own = write(tmp_path / "own", {"mail/hello/text.en.j2": "our text"})
    brought = write(tmp_path / "brought", MAIL)
    assert Templates([own, brought]).mail("hello") == ("hello", "our text\n", None)


def test_a_missing_template_says_what_there_is(tmp_path: Path) -> None:
    """The folders that were looked in, and the name that may have been meant."""
    with pytest.raises(TemplateError, match="no such template") as caught:
        Templates([write(tmp_path, MAIL)]).mail("helo")
    assert str(tmp_path) in str(caught.value)
    assert "Did you mean hello?" in str(caught.value)
    with pytest.raises(TemplateError, match=r"subject and text in one language.*found text\.en\.j2"):
        Templates([write(tmp_path, {"mail/half/text.en.j2": "x"})]).mail("half")


@pytest.mark.parametrize("name", ["../mail/hello", "/etc/passwd", "", "a/b", "A", "..", "x" * 64])
def test_a_name_is_no_path(tmp_path: Path, name: str) -> None:
    """What could lead out of the folder is not looked for at all."""
    with pytest.raises(TemplateError, match="not the name of a template"):
        Templates([write(tmp_path, MAIL)]).mail(name)


def test_a_use_is_one_of_three(tmp_path: Path) -> None:
    """Others are a mistake of the program."""
    with pytest.raises(TemplateError, match="expected one of mail, shell, log"):
        Templates([tmp_path]).find("fax", "hello")


def test_a_language_is_two_or_three_letters(tmp_path: Path) -> None:
    """Anything else is a mistake that would silently give the default."""
    for language in ("german", "C", "", "de_", "de_CH_x"):
        with pytest.raises(TemplateError, match="not a language"):
            Templates([tmp_path], language=language)


def test_a_path_is_no_list_of_folders(tmp_path: Path) -> None:
    """Its letters would each be one, and the first the root of all."""
    paths: list[Any] = [str(tmp_path), tmp_path]
    for path in paths:
        with pytest.raises(TemplateError, match="not a list of folders"):
            Templates(path)


def test_what_will_never_be_used_is_told(tmp_path: Path) -> None:
    """Files whose names say nothing, and folders that can be no name."""
    files = {
        "mail/hello/text.en.txt": "",
        "mail/hello/body.j2": "",
        "log/a/text.j2": "",
        "log/a/html.j2": "",
        "shell/X/argv.j2": "",
        "mail/loose.j2": "",
    }
    strays = Catalogue([write(tmp_path, {**MAIL, **files})]).strays()
    assert sorted(str(Path(stray).relative_to(tmp_path)) for stray in strays) == [
        "log/a/html.j2",
        "mail/hello/body.j2",
        "mail/hello/text.en.txt",
        "mail/loose.j2",
        "shell/X",
    ]


def test_all_names_are_listed(tmp_path: Path) -> None:
    """Of every use, each once."""
    write(tmp_path / "b", {**MAIL, "shell/copy/argv.j2": "cp"})
    write(tmp_path / "a", {"mail/hello/text.en.j2": ""})
    assert Catalogue([tmp_path / "a", tmp_path / "b"]).names() == [("mail", "hello"), ("shell", "copy")]
    assert Catalogue([tmp_path / "missing"]).names() == []


_FILES = [
    File(folder, "log", "a", "text", language, stage)
    for folder, language, stage in product(["/1", "/2"], ["", "de", "de_ch", "en"], ["", "prod"])
]


@given(st.lists(st.sampled_from(_FILES), unique=True))
def test_the_most_special_file_wins_whatever_else_is_there(files: list[File]) -> None:
    """Language before stage before folder, for every set of files."""
    ordered = sorted(files, key=lambda file: file.folder)
    best = _parts(ordered, "de_ch", "prod").get("text")
    fitting = [file for file in files if file.language in {"de_ch", "de", ""}]
    if not fitting:
        assert best is None
    else:
        assert best == min(fitting, key=lambda file: (-len(file.language), not file.stage, file.folder))
