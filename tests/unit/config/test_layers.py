"""Where an application's values come from, and what is said of those that are wrong."""

from __future__ import annotations

import os

import pytest

from tabard.config import Checked, Duration, Flag, Integer, Level, Number, Option, Size, Text, Words
from tabard.errors import SettingsError, UsageError

BATCH = Option("orders.batch", Integer(1, 1000), 100, "Orders taken at a time.", reload=True)
PAUSE = Option("orders.pause", Duration("1ms", "1h"), "5s", "Time between two looks.")


def test_each_layer_wins_over_the_ones_before(make, tmp_path):
    """Default < file < stage < old INI of the stage < environment < argument; the origin says which it was."""
    toml = tmp_path / "shop.toml"
    seen = []

    def look(**given):
        with make(options=[BATCH], **given) as config:
            seen.append((config.int("orders.batch"), str(config.origin("orders.batch"))))

    look(stage="TESTING")
    toml.write_text("[orders]\nbatch = 2\n[stage.TESTING.orders]\nbatch = 3\n", encoding="utf-8")
    look(stage="")
    look(stage="TESTING")
    (tmp_path / "shop_t.cfg").write_text("[ORDERS]\n# how many\nBatch: 4\n", encoding="utf-8")
    look(stage="PRODUCTION")
    look(stage="TESTING")
    env = {"SHOP_ORDERS_BATCH": "5"}
    look(stage="TESTING", env=env)
    look(stage="TESTING", env=env, arguments={"orders.batch": "6"})
    look(stage="TESTING", env=env, arguments={"orders.batch": None})
    assert seen == [
        (100, "default"),
        (2, f"file: {toml}, line 2"),
        (3, f"stage: {toml}, line 4"),
        (2, f"file: {toml}, line 2"),
        (4, f"stage: {tmp_path / 'shop_t.cfg'}, line 3"),
        (5, "environment: SHOP_ORDERS_BATCH"),
        (6, "argument: command line"),
        (5, "environment: SHOP_ORDERS_BATCH"),
    ]


def test_every_kind_is_read_from_a_file_and_from_text(make, tmp_path):
    """The two ways mean the same, and the getters say the type."""
    options = [
        Option("a.flag", Flag(), False, "F."),
        Option("a.size", Size("0B", "1GiB"), "1KiB", "S."),
        Option("a.share", Number(0, 1), 0.5, "N."),
        Option("a.words", Words(Text(), empty=True), [], "W."),
        Option("a.level", Level(), "INFO", "L."),
        PAUSE,
    ]
    (tmp_path / "shop.toml").write_text(
        '[a]\nflag = true\nsize = "2MiB"\nshare = 0.25\nwords = ["x", "y"]\nlevel = "warn"\n'
        '[orders]\npause = "250ms"\n',
        encoding="utf-8",
    )

    def values(config):
        return (
            config.flag("a.flag"),
            config.bytes("a.size"),
            config.number("a.share"),
            config.strings("a.words"),
            config.str("a.level"),
            config.seconds("orders.pause"),
        )

    expected = (True, 2**21, 0.25, ("x", "y"), "WARNING", 0.25)
    with make(options=options) as config:
        assert values(config) == expected
    (tmp_path / "shop.toml").unlink()
    (tmp_path / "shop_d.cfg").write_text(
        "[a]\nflag = yes\nsize = 2MiB\nshare = 0.25\nwords = x, y\nlevel = Warn\n[orders]\npause=250ms\n",
        encoding="utf-8",
    )
    with make(options=options, stage="DEVELOPMENT") as config:
        assert values(config) == expected


@pytest.mark.parametrize(
    ("toml", "line", "said"),
    [
        (
            "[orders]\nbatch = 0\n",
            2,
            "orders.batch: wrong value: expected a whole number from 1 to 1000, found 0",
        ),
        ("[orders]\nbach = 1\n", 2, "orders.bach: no such setting. Did you mean orders.batch?"),
        ("[oders]\n", 1, "oders: no such section. Did you mean orders?"),
        ("[stage.INTEGRATION.orders]\n\nbatch = 'x'\n", 3, "stage.INTEGRATION.orders.batch: wrong value"),
        ("[stage.OWN]\nport = -1\n", 2, "stage.OWN.port: wrong value"),
        ("[global]\nlevel = 'INFO'\n", 2, "global.level: no such setting. It is called global.logging"),
        ("[global]\nlogging = 'LOUD'\n", 2, "global.logging: wrong value: expected one of DEBUG"),
        (
            "[global]\npattern_language = 'GERMAN'\n",
            2,
            "global.pattern_language: wrong value: expected a language",
        ),
        ("[orders\n", 1, "not valid TOML"),
    ],
)
def test_an_error_names_file_line_and_key(make, tmp_path, toml, line, said):
    """And what was expected; also in a stage that was not chosen."""
    file = tmp_path / "shop.toml"
    file.write_text(toml, encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        make(options=[BATCH], stage="TESTING")
    assert str(caught.value).startswith(f"{file}, line {line}: {said}")


def test_all_that_is_wrong_is_told_at_once(make, tmp_path):
    """The first in full, the others after it."""
    (tmp_path / "shop.toml").write_text("[orders]\nbatch = 0\npause = 3\n", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"orders\.batch.*1 more: .*line 3: orders\.pause"):
        make(options=[BATCH, PAUSE])


def test_what_has_no_default_must_be_given(make):
    """The error says by which names it can be."""
    options = [Option("db.host", Text(), None, "Where the database is.")]
    with pytest.raises(SettingsError, match=r"db\.host: missing: expected .*\[db\], or as SHOP_DB_HOST"):
        make(options=options)
    assert make(options=options, env={"SHOP_DB_HOST": "db1"})["db.host"] == "db1"


def test_values_are_judged_together(make):
    """An application's own rule refuses what does not go together, with the other errors' class."""

    def rule(values):
        if values.int("orders.batch") > 50 and values.seconds("orders.pause") > 1:
            raise ValueError("large batches need short pauses")

    with pytest.raises(SettingsError, match="do not go together: large batches need short pauses"):
        make(options=[BATCH, PAUSE], validate=rule)
    make(options=[BATCH, PAUSE], validate=rule, arguments={"orders.batch": 10})


def test_a_kind_can_have_a_condition_of_its_own(make):
    """What breaks it is told with the sentence of the condition."""

    def even(number):
        if number % 2:
            raise ValueError
        return number

    options = [Option("orders.batch", Checked(Integer(1, 9), even, "an even number to 9"), 2, "Pairs.")]
    assert make("a", options, arguments={"orders.batch": "4"})["orders.batch"] == 4
    with pytest.raises(SettingsError, match="expected an even number to 9, found '5'"):
        make("b", options, arguments={"orders.batch": "5"})


def test_the_stage_is_chosen_as_the_home_s_roles_choose_theirs(make, tmp_path):
    """Argument, DEV_STAGE, what the home's tabard.toml says; its stages are the application's too."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "tabard.toml").write_text(
        '[node]\nstage = "blue"\n[stage.blue]\nport = 9030\nmail = ["blue@example.org"]\n[stage.blue.node]\nsystem = "x"\n',
        encoding="utf-8",
    )
    with make() as config:
        assert config.stage == ("blue", ".blue", 9030, "INFO", ("blue@example.org",))
        assert config.name == "shop.blue"
    with make(env={"DEV_STAGE": "TESTING"}) as config:
        assert (config.stage.name, config.name, config.stage.port) == ("TESTING", "shop_t", 9010)
        assert config["global.logging"] == "DEBUG"
    with make(env={"DEV_STAGE": "TESTING"}, stage="PRODUCTION") as config:
        assert (config.name, config["global.logging"]) == ("shop", "INFO")
    with pytest.raises(
        SettingsError, match=r"expected one of TESTING, .*, blue, found 'BLUE'\. Did you mean blue"
    ):
        make(stage="BLUE")


def test_the_application_describes_stages_of_its_own(make, tmp_path):
    """In its own file, for itself."""
    (tmp_path / "shop.toml").write_text('[stage.canary]\nsuffix = "_c"\nlevel = "DEBUG"\n', encoding="utf-8")
    config = make(stage="canary")
    assert (config.name, config["global.logging"]) == ("shop_c", "DEBUG")


def test_a_home_that_may_not_be_read_has_nothing_to_say(make, tmp_path, monkeypatch):
    """Applications run as other users than the agent; a broken file is an error all the same."""
    (tmp_path / "home").mkdir()
    settings = tmp_path / "home" / "tabard.toml"
    settings.write_text('[node]\nstage = "blue"\n[stage.blue]\n', encoding="utf-8")
    real = open

    def guarded(path, *rest, **named):
        if os.fspath(path) == str(settings):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *rest, **named)

    with monkeypatch.context() as patch:
        patch.setattr("builtins.open", guarded)
        assert make().stage.name == ""
    settings.write_text("[node\n", encoding="utf-8")
    with pytest.raises(SettingsError, match="not valid TOML"):
        make("other")


def test_files_are_looked_for_where_they_always_were(make, tmp_path, monkeypatch):
    """BASIC_CONFIGFILE_DIR, else the working directory; a file can be named, and be demanded."""
    old = tmp_path / "old"
    old.mkdir()
    (old / "shop_i.cfg").write_text("[GLOBAL]\npattern_language=de\n", encoding="utf-8")
    config = make(directory=None, env={"BASIC_CONFIGFILE_DIR": str(old), "DEV_STAGE": "INTEGRATION"})
    assert (config.language, config.files) == ("DE", (str(old / "shop_i.cfg"),))
    config.close()
    monkeypatch.chdir(old)
    assert make(directory=None, stage="INTEGRATION").language == "DE"
    assert make("other", directory=None, file="shop_i.cfg").language == "DE"
    with pytest.raises(SettingsError, match=r"no configuration file: expected third.toml or third_t.cfg"):
        make("third", stage="TESTING", need_file=True)
    with pytest.raises(SettingsError, match="no such file, or nothing in it"):
        make("third", file=tmp_path / "nowhere.toml")
    with pytest.raises(SettingsError, match="BASIC_CONFIGFILE_DIR: no such directory"):
        make("third", directory=None, env={"BASIC_CONFIGFILE_DIR": "/nowhere"})


def test_without_a_stage_no_file_of_production_is_read(make, tmp_path):
    """PRODUCTION has no suffix: a process that was told no stage must not run with its values."""
    (tmp_path / "shop.cfg").write_text("[GLOBAL]\npattern_language=DE\n", encoding="utf-8")
    with make(stage="") as config:
        assert (config.language, config.files) == ("EN", ())
    assert make(stage="PRODUCTION").language == "DE"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([Option("batch", Integer(1, 2), 1, "x")], "option's name does not do"),
        ([Option("stage.x", Integer(1, 2), 1, "x")], "section stage"),
        ([BATCH, BATCH], "declared twice"),
        ([BATCH._replace(help="")], "says nothing"),
        (
            [Option("a.b_c", Text(), "x", "x"), Option("a_b.c", Text(), "x", "x")],
            "two options are set by SHOP_A_B_C",
        ),
    ],
)
def test_a_declaration_that_cannot_work_is_refused_at_once(make, options, said):
    """Whoever writes the application sees it at the first start."""
    with pytest.raises(UsageError, match=said):
        make(options=options)


def test_a_default_has_to_be_of_its_kind(make):
    """Or the application would run with what nobody could write."""
    with pytest.raises(
        SettingsError, match=r"orders\.batch: its default is not of its kind: expected a whole"
    ):
        make(options=[BATCH._replace(default=0)])


def test_an_application_may_have_its_own_default_for_a_common_option(make):
    """Declared again, it replaces the common one."""
    config = make(options=[Option("global.pattern_language", Text(limit=2), "DE", "Language.")])
    assert config.language == "DE"


def test_there_is_one_configuration_of_a_service_in_a_process(make):
    """It is handed on or fetched; a second one is a mistake until the first is closed."""
    from tabard.config import config as fetch

    with pytest.raises(UsageError, match="no configurations in this process"):
        fetch()
    first = make("shop")
    assert fetch() is first is fetch("shop")
    with pytest.raises(UsageError, match="has a configuration of shop"):
        make("shop")
    second = make("till")
    assert fetch("till") is second
    with pytest.raises(UsageError, match="2 configurations"):
        fetch()
    with pytest.raises(UsageError, match="expected one of shop, till, found bakery"):
        fetch("bakery")
    first.close()
    assert fetch() is second
    with pytest.raises(UsageError, match="service name"):
        make("../shop")


def test_a_slip_in_a_variable_is_told(make):
    """It changes nothing, which nobody would notice; what only begins alike belongs to somebody else."""
    options = [Option("orders.batch", Integer(1, 1000), 100, "Orders taken at a time.")]
    config = make(options=options, env={"SHOP_ORDERS_BATHC": "7", "SHOP_COLOUR": "red"})
    assert config["orders.batch"] == 100
    assert config.warnings == (
        "environment SHOP_ORDERS_BATHC: not an option, so it changes nothing. Did you mean SHOP_ORDERS_BATCH?",
    )
