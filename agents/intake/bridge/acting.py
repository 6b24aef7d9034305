"""Which names in a pickle stand for what acts on the system when it is called.

Modules that act are told by their names, so that nothing of theirs has to be known; but for a few types of
theirs that only hold data and that applications log: the result of a process, a signal, an error.
"""

from __future__ import annotations

from typing import Final

_MODULES: Final = frozenset(
    {
        "subprocess", "shutil", "zipimport", "pkgutil", "runpy", "code", "codeop", "pty", "tty",
        "termios", "fcntl", "socket", "socketserver", "select", "cffi", "threading", "_thread",
        "signal", "mmap", "resource", "faulthandler", "gc", "atexit", "tempfile", "fileinput", "msvcrt",
        "winreg", "_winapi", "pickle", "shelve", "marshal", "pdb", "bdb", "cProfile", "timeit", "pydoc",
        "doctest", "webbrowser", "popen2",
    }
)  # fmt: skip
"""Modules of which everything that is called acts. What lies below such a name is an application's own package."""
_PACKAGES: Final = frozenset(
    {
        "ctypes", "importlib", "multiprocessing", "dbm", "pip", "ensurepip", "venv", "distutils", "os", "sys",
    }
)  # fmt: skip
"""The same, with all below them."""
_DATA: Final = {
    "os": "stat_result statvfs_result _make_stat_result _make_statvfs_result terminal_size times_result "
    "uname_result sched_param",
    "subprocess": "CompletedProcess TimeoutExpired",
    "shutil": "Error",
    "signal": "Signals Handlers Sigmasks struct_siginfo",
    "socket": "AddressFamily SocketKind MsgFlag AddressInfo error timeout gaierror herror",
    "select": "error",
    "termios": "error",
    "resource": "error struct_rusage",
    "multiprocessing": "BufferTooShort",
}
"""Types in such modules that hold data, besides their errors."""
_CONSTANTS: Final = frozenset({"signal", "socket"})
"""Modules whose names in capitals are constants, which are pickled by these names."""
_EXECUTING: Final = {
    "os": "system popen _exit abort startfile exec spawn fork posix_spawn remove unlink rename replace rmdir removedirs kill "
    "chmod chown putenv open write mkfifo link symlink truncate",
    "subprocess": "Popen call run check_call check_output getoutput getstatusoutput fork_exec",
    "builtins": "eval exec execfile compile open file __import__ input apply breakpoint globals locals vars delattr setattr "
    "exit quit help open_code FileIO",
    "sys": "exit setprofile settrace modules path",
    "importlib": "import_module __import__ reload",
    "runpy": "run_module run_path _run_code",
    "pty": "spawn fork",
    "shutil": "rmtree move copy copyfile copytree",
    "code": "interact InteractiveInterpreter InteractiveConsole",
    "platform": "popen",
    "popen2": "popen2 popen3 popen4",
    "timeit": "timeit repeat Timer",
    "cProfile": "run runctx",
    "profile": "run runctx",
    "pdb": "run runeval Pdb",
    "bdb": "Bdb",
    "trace": "Trace",
    "pydoc": "pipepager pipe_pager locate",
    "webbrowser": "open",
    "ctypes": "CDLL PyDLL cdll pydll windll",
    "marshal": "loads load",
    "pickle": "loads load Unpickler",
    "types": "FunctionType CodeType",
    "operator": "attrgetter methodcaller",
    "socket": "socket create_connection create_server",
    "concurrent.futures": "ThreadPoolExecutor ProcessPoolExecutor",
    "concurrent.futures.thread": "ThreadPoolExecutor",
    "concurrent.futures.process": "ProcessPoolExecutor",
    "asyncio": "create_subprocess_shell create_subprocess_exec",
    "multiprocessing": "Process Pool",
    "pip": "main",
    "numpy.testing._private.utils": "runstring",
    "distutils.spawn": "spawn",
    "uuid": "_get_command_stdout",
    "imaplib": "IMAP4_stream",
    "linecache": "getline getlines",
    "logging.config": "listen",
    "lib2to3.pgen2.pgen": "ParserGenerator",
    "ensurepip": "_run_pip bootstrap",
    "doctest": "debug_script",
    "test.support.script_helper": "assert_python_ok run_python_until_end",
    "urllib.request": "urlopen urlretrieve",
    "sqlite3": "connect",
    "torch": "load",
}
"""Functions by which pickles have attacked readers that call what they are told. Of a family, a name that begins so counts."""
_ALIASES: Final = {
    "posix": "os",
    "_signal": "signal",
    "thread": "_thread",
    "_frozen_importlib": "importlib",
    "_frozen_importlib_external": "importlib",
    "_imp": "importlib",
    "_multiprocessing": "multiprocessing",
    "_winreg": "winreg",
    "nt": "os",
    "__builtin__": "builtins",
    "__builtins__": "builtins",
    "_pickle": "pickle",
    "cPickle": "pickle",
    "_posixsubprocess": "subprocess",
    "commands": "subprocess",  # as Python 3 calls it in protocols below 3
    "_operator": "operator",
    "_ctypes": "ctypes",
    "_socket": "socket",
    "imp": "importlib",
    "urllib2": "urllib.request",
    "urllib": "urllib.request",
    "multiprocessing.context": "multiprocessing",
    "_io": "builtins",
    "io": "builtins",
}
_FAMILIES: Final = frozenset({"os"})
"""Modules whose functions come in families: execv, execve, spawnl and so on."""


def acts(module: str, name: str) -> bool:
    """Whether a call of ``module.name`` would act on the system, by its module or as `executes` has it."""
    if executes(module, name):
        return True
    *path, function = name.split(".")
    # "os.system" of "urllib.request" is reached by a name with dots, as protocol 4 allows.
    families = [_family(module), _family(module.partition(".")[0]), *map(_family, path)]
    within = [
        each
        for position, each in enumerate(families)
        if each in _PACKAGES or (each in _MODULES and position != 1)
    ]
    return bool(within) and not _is_data(within[0], function)


def executes(module: str, name: str) -> bool:
    """Whether ``module.name`` is a function that attacks by pickle are made of."""
    way, _, function = f"{module}.{name}".rpartition(".")
    for part in (way, module, way.partition(".")[0], way.rpartition(".")[2]):
        family = _family(part)
        functions = _EXECUTING.get(family)
        if functions is None:
            continue
        words = functions.split()
        if function in words or (family in _FAMILIES and function.startswith(tuple(words))):
            return True
    return False


def _family(module: str) -> str:
    return _ALIASES.get(module, module)


def _is_data(family: str, name: str) -> bool:
    if name.endswith(("Error", "Exception")) or name in _DATA.get(family, "").split():
        return True
    return family in _CONSTANTS and name.isupper()
