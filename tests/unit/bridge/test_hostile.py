"""Pickles made to attack whoever reads them: nothing is built, called, imported or filled, and nothing grows."""

from __future__ import annotations

import builtins
import io
import os
import pickle  # noqa: TID251 -- the other side: what would fall for it
import pickletools
import struct
import subprocess
import sys
import tracemalloc
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabard.agents.intake.bridge import acting, opaque, opcodes, reading, unpickle
from tabard.agents.intake.bridge.logrecord import record_of
from tabard.agents.intake.bridge.opaque import Opaque
from tabard.agents.intake.bridge.reading import Hostile, Unreadable
from tabard.agents.intake.bridge.unpickle import MOST_OPCODES, load
from tests.unit.bridge.samples import CAPTURES, attributes, pickles, record_pickle

PLAIN = (str, int, float, bytes, list, tuple, dict, bool, type(None), Opaque)


class Reduced:
    """Pickles as a call of anything."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.way = function, arguments

    def __reduce__(self) -> Any:
        return self.way


def calls(name: str, *arguments: str) -> bytes:
    """``module.name(*arguments)`` in protocol 0."""
    module, _, function = name.rpartition(".")
    said = b"".join(b"V%b\n" % argument.encode() for argument in arguments)
    return b"c%b\n%b\n(%btR." % (module.encode(), function.encode(), said)


EXECUTING = [
    "os.system", "posix.system", "nt.system", "os.popen", "os.execve", "os.spawnlp", "os.fork", "os.remove",
    "os.rename", "subprocess.Popen", "subprocess.call", "subprocess.check_output", "subprocess.getoutput",
    "builtins.eval", "builtins.exec", "builtins.compile", "builtins.open", "builtins.__import__",
    "__builtin__.eval", "__builtin__.execfile", "__builtin__.file", "__builtin__.apply", "commands.getoutput", "commands.Popen",
    "importlib.import_module", "runpy.run_path", "runpy._run_code", "pty.spawn", "shutil.rmtree",
    "code.interact", "timeit.timeit", "cProfile.run", "pdb.run", "bdb.Bdb", "pydoc.pipepager", "ctypes.CDLL",
    "marshal.loads", "pickle.loads", "_pickle.loads", "types.CodeType", "types.FunctionType",
    "operator.attrgetter", "operator.methodcaller", "_operator.attrgetter", "socket.create_connection",
    "webbrowser.open", "platform.popen", "io.open", "_io.open", "asyncio.create_subprocess_shell",
    "multiprocessing.Process", "numpy.testing._private.utils.runstring", "torch.load", "sys.setprofile",
    "posix._exit", "os._exit", "nt._exit", "os.mkdir", "posix.mkdir", "os.makedirs", "os.abort", "os.setuid", "os.dup2",
    "os.environ.update", "os.anything_to_come", "subprocess.list2cmdline", "_posixsubprocess.fork_exec",
    "shutil.make_archive", "shutil.unpack_archive", "sys._getframe", "sys.settrace", "sys.stdout.write",
    "importlib.util.spec_from_file_location", "importlib._bootstrap._call_with_frames_removed", "runpy._run_module_code",
    "code.compile_command", "codeop.compile_command", "pty.openpty", "socket.socketpair", "_socket.socket",
    "ctypes.memmove", "ctypes.util.find_library", "_ctypes.dlopen", "multiprocessing.util.spawnv_passfds",
    "threading.Thread", "_thread.start_new_thread", "thread.start_new", "signal.alarm", "signal.raise_signal",
    "_signal.signal", "atexit.register", "gc.disable", "resource.setrlimit", "tempfile.mkdtemp", "builtins.vars",
    "builtins.exit", "builtins.help", "zipimport.zipimporter", "pkgutil.resolve_name", "faulthandler._sigsegv",
]  # fmt: skip
NAMED = [
    "functools.partial", "functools.reduce", "builtins.getattr", "builtins.type", "builtins.object", "codecs.decode",
    "_codecs.encode", "copyreg._reconstructor", "copyreg.__newobj__", "copyreg.add_extension",
    "numpy.core.multiarray._reconstruct", "numpy.core.multiarray.scalar",
    "collections.OrderedDict", "unittest.mock.Mock", "shop.Order", "django.core.handlers.wsgi.WSGIRequest",
    "builtins.super", "weakref.ref", "types.SimpleNamespace", "builtins.map", "itertools.starmap",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _nothing_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """While a pickle is read, whatever could execute or import something ends the test."""

    def never(*_: object, **__: object) -> None:
        raise AssertionError("a pickle had something called")

    monkeypatch.setattr(os, "system", never)
    monkeypatch.setattr(subprocess, "Popen", never)


@pytest.mark.threat("code-from-outside")
@pytest.mark.parametrize("name", EXECUTING)
def test_a_gadget_that_executes_is_refused(name: str) -> None:
    """By GLOBAL, by STACK_GLOBAL, by INST, by OBJ, in a value of a record: Hostile, without looking it up."""
    before = set(sys.modules)
    module, _, function = name.rpartition(".")
    stacked = b"\x80\x04\x8c%c%b\x8c%c%b\x93\x8c\x02id\x85R." % (
        len(module), module.encode(), len(function), function.encode(),
    )  # fmt: skip
    instance = b"(Vid\ni%b\n%b\n." % (module.encode(), function.encode())
    thing = b"(c%b\n%b\nVid\no." % (module.encode(), function.encode())
    inside = record_pickle(attributes(), b"X\x01\0\0\0z" + calls(name, "id")[:-1])
    for data in (calls(name, "id"), stacked, instance, thing, inside):
        with pytest.raises(Hostile):
            load(data)
    # Python itself loads the codecs of texts when the first of a kind is read.
    assert {module for module in set(sys.modules) - before if not module.startswith("encodings.")} == set()


BUILT = b"cbuiltins\nobject\n)\x81}X\x0c\0\0\0__setstate__cos\nsystem\nsbX\2\0\0\0idb."
HANDED_ON = [
    b"cfunctools\npartial\n(cos\nsystem\nX\2\0\0\0idtR.",
    b"cbuiltins\nmap\n(cos\nsystem\n](X\2\0\0\0idetR.",
    b"cbuiltins\ngetattr\n(csubprocess\nPopen\nX\1\0\0\0xtR.",
    b"\x80\x04\x8c\x06urllib\x8c\x11request.os.system\x93\x8c\2id\x85R.",
    b"(X\2\0\0\0idios\nsystem\n.",
    BUILT,
    BUILT.replace(b"cos\nsystem\n", b"cposix\n_exit\n"),
    b"cbuiltins\nmap\n(cposix\n_exit\n(K\0ltR.",
    b"cbuiltins\ngetattr\n(cshop\nos\nX\5\0\0\0mkdirtR.",
    b"cbuiltins\ngetattr\n(cshop\nOrder\nX\x0e\0\0\0__subclasses__tR.",
    b"cbuiltins\ngetattr\n(cbuiltins\ngetattr\n(cshop\nurllib\nX\2\0\0\0ostRX\5\0\0\0_exittR.",
    b"c__builtin__\ngetattr\n(cshop\nOrder\ntR.",
]


@pytest.mark.threat("code-from-outside")
@pytest.mark.parametrize("data", HANDED_ON, ids=str)
def test_a_gadget_that_is_handed_to_something_harmless_is_refused(data: bytes) -> None:
    """As an argument, in a list of arguments, by a name with dots, in the state of an object."""
    with pytest.raises(Hostile):
        load(data)


@pytest.mark.parametrize("protocol", range(6))
def test_a_function_that_a_record_only_mentions_is_text(protocol: int) -> None:
    """Applications log functions too: nothing is called by it, and nothing is lost."""
    said = {"msg": "m", "callback": os.remove, "opener": open, "known": {open}, "way": [os.kill]}
    found, kinds = load(pickle.dumps(said, protocol))
    assert [str(found[key]) for key in ("callback", "opener", "known", "way")] == [
        f"<{os.remove.__module__}.remove>", "<io.open>", "[<io.open>]", f"[<{os.kill.__module__}.kill>]",
    ]  # fmt: skip
    assert kinds == 3


@pytest.mark.parametrize("protocol", range(6))
def test_data_of_modules_that_act_is_kept(protocol: int) -> None:
    """What applications log of them: results, signals, addresses' families, errors, their own methods."""
    import resource
    import signal
    import socket

    things = [
        subprocess.CompletedProcess(["ls"], 0), subprocess.CalledProcessError(1, "ls"),
        subprocess.TimeoutExpired("ls", 1), signal.SIGTERM, [signal.Handlers.SIG_DFL], socket.AF_INET,
        (signal.SIGINT,), Pair(signal.SIGTERM, socket.AF_INET), socket.gaierror(2, "no such host"), socket.timeout("late"),  # noqa: UP041
        os.stat("/"), os.times(), os.get_terminal_size if protocol else None, resource.getrusage(resource.RUSAGE_SELF),
        PermissionError(13, "no"), Order(os.getpid).pay, [].append,
    ]  # fmt: skip
    for thing in things:
        found, _ = load(pickle.dumps({"thing": thing}, protocol))
        assert plain(found), thing
    found, _ = load(pickle.dumps(Order(os.getpid).pay, protocol))
    assert str(found) == f"<{__name__}.Order.pay>"


@pytest.mark.parametrize(
    "name", ["profile.models.Profile", "code.orders.Order", "shop.os.Order", "shop.signal.Signal"]
)
def test_an_application_s_own_package_may_be_called_as_such_a_module(name: str) -> None:
    """It is an object as any other."""
    found, kinds = load(calls(name, "id"))
    assert (str(found), kinds) == (f"<{name}>", 1)


def test_looking_for_gadgets_takes_no_longer_than_the_bytes_allow() -> None:
    """Ten thousand calls with five thousand arguments each, of which a few are looked at."""
    named = b"}(" + b"N" * 5_000 + b"tq\0" + b"0cshop\nOrder\nq\x010"
    assert load(named + b"h\1h\0R0" * 10_000 + b".") == ({}, 1)


@pytest.mark.parametrize("name", [*NAMED, *EXECUTING])
def test_a_name_alone_makes_nothing(name: str) -> None:
    """What is named becomes text at most, with every opcode that would fill it."""
    before = set(sys.modules)
    body = calls(name, "os", "system")[:-1]
    for more in (b"", b"}Va\nVb\nsb", b"(Va\nVb\nu" if name != "codecs.decode" else b"", b"Va\nb"):
        try:
            found, _ = load(body + more + b".")
        except Unreadable:
            continue
        assert plain(found)
    # Python itself loads the codecs of texts when the first of a kind is read.
    assert {module for module in set(sys.modules) - before if not module.startswith("encodings.")} == set()


@pytest.mark.parametrize("protocol", range(6))
def test_what_pickles_of_real_objects_hold_is_text(protocol: int) -> None:
    """Chains of __reduce__, partials, classes, functions, exceptions, modules' objects: text, or a plain value."""
    import collections
    import datetime as dt
    import decimal
    import functools
    import pathlib
    import uuid

    things = [
        Reduced(int, "7"), Reduced(Reduced, print, "x"), functools.partial(print, "x"), print, dict, len,
        ValueError("x"), collections.OrderedDict(a=1), collections.Counter("aab"), collections.deque([1]),
        uuid.UUID(int=5), pathlib.PurePosixPath("/a"), dt.datetime(2026, 1, 2, 3, 4, 5, 6),
        decimal.Decimal("1.5"), frozenset([1]), {2}, bytearray(b"x"), complex(1, 2), range(3), slice(1),
        dt.timedelta(1), dt.date(2026, 1, 2), type("x", (), {}).__mro__[-1], Ellipsis,
    ]  # fmt: skip
    for thing in things:
        found, _ = load(pickle.dumps({"thing": thing}, protocol))
        assert plain(found), thing
        record = record_of({"msg": "m", "thing": found["thing"], "args": (found["thing"],)}, 1)
        assert all(value is None or type(value) in (str, int) for value in record)
    found, opaque_kinds = load(pickle.dumps([*things[12:17]], protocol))
    assert found == ["2026-01-02T03:04:05.000006", "1.5", [1], [2], b"x"]
    assert opaque_kinds == 0


def plain(value: Any, depth: int = 0) -> bool:
    """Whether a value is of plain types only, as deep as it is worth looking."""
    if type(value) not in PLAIN:
        return False
    if depth > 4 or not isinstance(value, (list, tuple, dict)):
        return True
    inner = [*value.keys(), *value.values()] if isinstance(value, dict) else value
    return all(plain(each, depth + 1) for each in inner)


class Order:
    """An application's own, with a method."""

    def __init__(self, number: Any) -> None:
        self.number = number

    def pay(self) -> None:
        """Somebody's callback."""


class Safe(str):
    """As web frameworks mark texts."""

    __slots__ = ()


class Pair(NamedTuple):
    """Of two numbers."""

    one: int
    two: int


@pytest.mark.parametrize("protocol", range(6))
def test_times_keep_their_zone(protocol: int) -> None:
    """An offset stands behind the time, a zone that is an object is named; durations are seconds."""
    import datetime as dt
    import zoneinfo

    at = dt.datetime(2026, 1, 2, 3, 4, 5, 6)
    east = dt.timezone(dt.timedelta(hours=5, minutes=30), "X")
    things = [
        at.replace(tzinfo=dt.UTC), at.replace(tzinfo=east), at.replace(tzinfo=dt.timezone(-dt.timedelta(hours=5))),
        at.replace(tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")), dt.time(1, 2, 3), dt.timedelta(minutes=-1.5),
        dt.timedelta(0),
    ]  # fmt: skip
    found, _ = load(pickle.dumps(things, protocol))
    text = "2026-01-02T03:04:05.000006"
    assert found[:3] == [f"{text}+00:00", f"{text}+05:30", f"{text}-05:00"]
    assert found[3].startswith(f"{text} <")
    assert found[4:] == ["01:02:03.000000", -90.0, 0.0]


@pytest.mark.parametrize("protocol", range(2))
def test_what_is_made_of_a_plain_value_is_that_value(protocol: int) -> None:
    """A text of a web framework, a named tuple, as the standard library's handler sends them (protocol 1)."""
    found, _ = load(pickle.dumps({"safe": Safe("x"), "pair": Pair(1, 2)}, protocol))
    assert found == {"safe": "x", "pair": (1, 2)}


@pytest.mark.parametrize(
    "data",
    [b"\x82\x01.", b"\x83\x01\x00.", b"\x84\x01\x00\x00\x00.", b"Pabc\n.", b"Vabc\nQ.", b"\x97."],
    ids=["EXT1", "EXT2", "EXT4", "PERSID", "BINPERSID", "NEXT_BUFFER"],
)
def test_extensions_persistent_ids_and_buffers_are_text(data: bytes) -> None:
    """The registries that a reader of pickles asks for them are not asked."""
    import copyreg

    copyreg.add_extension("posix", "system", 1)
    try:
        found, kinds = load(data)
    finally:
        copyreg.remove_extension("posix", "system", 1)
    assert isinstance(found, Opaque)
    assert kinds == 1


def nested(opened: bytes, closed: bytes, depth: int) -> bytes:
    return opened * depth + closed * depth + b"."


BOMBS = {
    "tuples a million deep": b")" + b"\x85" * 1_000_000 + b".",
    "tuples as deep as is allowed": b")" + b"\x85" * (MOST_OPCODES - 2) + b".",
    "lists in lists": b"]" * 20_000 + b"a" * 19_999 + b".",
    "dicts": b"}" * 1_000_000 + b".",
    "marks": b"(" * 1_000_000 + b".",
    "laughs by DUP": b"(l" + b"2a" * 20_000 + b".",
    "laughs by memo": b"]q\0" + b"".join(b"](h%bh%beq%b" % (bytes((i,)), bytes((i,)), bytes((i + 1,))) for i in range(200)) + b".",
    "a tuple doubled, as a key": b"}(" + b")q\0" + b"".join(b"0h%bh%b\x86q%b" % (bytes((i,)), bytes((i,)), bytes((i + 1,))) for i in range(200)) + b"Nu.",
    "a frozen set of doubled tuples": b"(" + b")q\0" + b"".join(b"0h%bh%b\x86q%b" % (bytes((i,)), bytes((i,)), bytes((i + 1,))) for i in range(200)) + b"\x91.",
    "memo far out": b"Nr\xff\xff\xff\x7f" + b"p4294967295\n" + b".",
    "memo everywhere": b"N" + b"".join(b"r" + struct.pack("<I", i * 65_537 % 2**32) for i in range(200_000)) + b".",
    "a long that is long": b"\x8b\xff\xff\xff\x7f.",
    "a negative length": b"\x8b\xff\xff\xff\xff.",
    "a text of 2^63": b"\x8d" + b"\xff" * 8 + b".",
    "a bytearray of 2^40": b"\x96" + struct.pack("<Q", 2**40) + b".",
    "a frame of 2^63": b"\x80\x04\x95" + b"\xff" * 7 + b"\x7fN.",
    "digits": b"L" + b"9" * 1_000_000 + b"L\n.",
    "float digits": b"F" + b"9" * 1_000_000 + b"\n.",
    "get digits": b"g" + b"9" * 1_000_000 + b"\n.",
    "bytes multiplied": b"c_codecs\nencode\nq\0X\0\0\x10\0" + b"x" * 0x100000 + b"q\1X\x06\0\0\0latin1q\2000" + b"h\0h\1h\2\x86R" * 10_000 + b"N.",
    "lists multiplied": b"cbuiltins\nset\nq\0(" + b"N" * 20_000 + b"l\x85q\0010" + b"h\0h\1R" * 5_000 + b"N.",
    "keys of a megabyte": b"}q\0000B\0\0\x10\0" + b"x" * 0x100000 + b"q\0010" + b"h\0h\1Ns0" * 8_000 + b"h\0.",
    "itself": b"]q\0h\0a.",
    "a dict of itself": b"}q\0X\1\0\0\0ah\0s.",
    "nothing": b"",
    "only a stop": b".",
    "two values": b"NN.",
    "text behind the end": b"N.N.",
    "no end": b"N",
    "an open mark": b"(N.",
    "pops": b"0" * 1_000 + b".",
    "items without a dict": b"(NNu.",
    "items below the first": b"NNs.",
    "odd items": b"}(Nu.",
    "build on nothing": b"Nb.",
}  # fmt: skip


@pytest.mark.threat("bad-input")
@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_takes_little_memory_and_ends(name: str) -> None:
    """Read, or refused, within some megabytes beyond its own size; and what is read becomes a small record."""
    data = BOMBS[name]
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        try:
            found, _ = load(data)
            record = record_of(
                found if isinstance(found, dict) else {"msg": found, "args": found, "x": found}, 1
            )
            assert sum(len(value) for value in record if isinstance(value, str)) < 1_048_576
        except Unreadable:
            pass
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert peak < 24 * 1_048_576 + 4 * len(data)


@pytest.mark.threat("code-from-outside")
def test_no_module_of_the_reader_has_a_way_to_make_objects() -> None:
    """Neither pickle nor a lookup of modules is imported there, nor any call that runs what a text says."""
    for module in (acting, opaque, opcodes, reading, unpickle):
        source = Path(str(module.__file__)).read_text(encoding="utf-8")
        imported = {line.split()[1] for line in source.splitlines() if line.startswith(("import ", "from "))}
        assert imported <= {
            "__future__", "re", "struct", "collections.abc", "itertools", "typing", "tabard.errors",
            "tabard.agents.intake.bridge.acting", "tabard.agents.intake.bridge.opaque", "tabard.agents.intake.bridge.opcodes",
            "tabard.agents.intake.bridge.reading",
        }  # fmt: skip
        used = names_of(compile(source, "x", "exec"))
        assert not used & {"getattr", "eval", "exec", "__import__", "globals", "setattr", "vars"}


def names_of(code: Any) -> set[str]:
    """All names that code and what is defined in it refers to."""
    found = set(code.co_names)
    for constant in code.co_consts:
        if hasattr(constant, "co_names"):
            found |= names_of(constant)
    return found


def test_every_opcode_there_is_has_its_meaning_here() -> None:
    """Of the opcodes that pickletools knows none is left out, and none is added."""
    known = {ord(code.code) for code in pickletools.opcodes}
    here = set(opcodes.RARE) | {
        0x58, 0x4E, 0x4B, 0x47, 0x55, 0x8C, 0x71, 0x94, 0x4D, 0x68, 0x4A, 0x75, 0x28, 0x7D, 0x2E,
    }  # fmt: skip
    assert here == known


TEXTS = st.text(max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS | st.binary(max_size=300),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4) | st.tuples(inner, inner),
    max_leaves=20,
)  # fmt: skip


@given(value=VALUES, protocol=st.integers(0, 5), slow=st.booleans())
def test_plain_values_are_read_as_pickle_reads_them(value: Any, protocol: int, slow: bool) -> None:
    """Whatever both picklers of the standard library write, in any protocol."""
    if slow:
        file = io.BytesIO()
        pickle._Pickler(file, protocol).dump(value)
        data = file.getvalue()
    else:
        data = pickle.dumps(value, protocol)
    found, _ = load(data)
    assert found == expected(value)


def expected(value: Any) -> Any:
    """The value as it is read: long numbers as text, halves of surrogate pairs replaced."""
    if isinstance(value, (list, tuple)):
        return type(value)(map(expected, value))
    if isinstance(value, dict):
        return {expected(key): expected(each) for key, each in value.items()}
    return value


@pytest.mark.parametrize("seed", range(40))
def test_mutated_pickles_are_read_or_refused(seed: int) -> None:
    """Bytes changed, taken out, doubled, swapped: plain values, or Unreadable; never anything else."""
    random = Random(seed)
    valid = [data for path in CAPTURES.glob("*.bin") for data in pickles(path.read_bytes())]
    valid += [calls(name, "id") for name in NAMED] + [data for data in BOMBS.values() if len(data) < 3_000]
    for _ in range(150):
        data = bytearray(random.choice(valid))
        for _ in range(random.randrange(1, 5)):
            at = random.randrange(len(data) + 1)
            deed = random.randrange(4)
            if deed == 0:
                data[at : at + 1] = bytes((random.randrange(256),))
            elif deed == 1:
                del data[at : at + random.randrange(1, 20)]
            elif deed == 2:
                data[at:at] = data[at : at + random.randrange(1, 40)]
            else:
                data[at:at] = random.choice(pickletools.opcodes).code.encode("latin-1")
        try:
            found, _ = load(bytes(data))
        except Unreadable:
            continue
        assert plain(found)
        record_of(found if isinstance(found, dict) else {"msg": found, "args": found}, 1)


@given(st.binary(max_size=200))
def test_random_bytes_are_read_or_refused(data: bytes) -> None:
    """Nothing else comes of them."""
    try:
        found, _ = load(data)
    except Unreadable:
        return
    assert plain(found)


def test_builtins_are_as_they_were() -> None:
    """No test of this file has had anything replaced."""
    assert builtins.eval is eval
