"""What may be shown of texts that hold secrets: command lines, values of settings, names that mean a secret.

Ground floor, because agents mask the command lines they sample and applications their configuration.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from typing import Final

MASK: Final = "***"
LONGEST: Final = 1_024
"""Characters of a command line that are kept."""

# Stands for a secret until the line is quoted: the mask itself would be put in quotes.
_HIDDEN: Final = "__hidden_secret__"

_WORD: Final = (
    r"(?:pass(?:word|wort|wd|phrase|code)|kennwort|geheim|secret|token|credential"
    r"|(?:api|access|account|auth|encryption|hmac|licen[cs]e|master|private|session|shared|signing)[-_.]?key"
    r"|(?<![a-z])(?:pass|pwd|pw|auth|bearer|creds|pin)(?![a-z]))"
)
_NAME: Final = re.compile(_WORD, re.IGNORECASE)
_HARMLESS: Final = re.compile(
    r"(?:file|path|dir|prompt|stdin|ttl|type|length"
    r"|[-_.](?:url|uri|host|port|method|mode|enabled|required|timeout|lifetime|expiry|interval|count|max|min|size|policy"
    r"|provider|issuer|algorithm))$",
    re.IGNORECASE,
)
"""How names end that are about a secret and are none."""
_OPTION: Final = re.compile(r"(-{1,2}[\w.-]+|[\w.-]+)=(.+)", re.DOTALL)
_WITHIN: Final = re.compile(
    rf"({_WORD}[\w.-]{{0,64}}[\"']?)(\s*[=:]\s*|\s+)"
    r"(\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|\[[^\]]*\]|\{[^}]*\}|(?:[^\s;&,\"']|[;&,\"'](?![\w.-]+=|[\s\"',;}\])]|$))+)",
    re.IGNORECASE,
)
"""The end of a name, a sign, and a value: quoted, a list, or all up to the next ``name=``, blank or end.

The beginning of the name is looked up afterwards: sought for here, it would cost the square of a long word.
"""
_NAME_BEFORE: Final = re.compile(r"[\w.-]*\Z")
_HEADER: Final = re.compile(
    r"((?:proxy-)?authorization|cookie|x-[\w-]*(?:key|token))\s*:\s*.+", re.IGNORECASE | re.DOTALL
)
_HEADER_WITHIN: Final = re.compile(
    r"\b((?:proxy-)?authorization|(?:set-)?cookie)(\s*[:=]\s*)[^\r\n\"']+", re.IGNORECASE
)
# A password may hold what it should not, / and @ too: it ends at the last @ before the next URL. Digits and a / are a port.
_URL: Final = re.compile(r"(\w[\w+.-]{0,31}://[^\s/:@]*:)(?!\d{1,5}/)(?:(?!\w://)\S)+@")
_URL_TOKEN: Final = re.compile(r"(\w[\w+.-]{0,31}://)(?=[^\s/:@]*\d)[^\s/:@]{20,}@")
_HOOK: Final = re.compile(
    r"(hooks\.slack\.com/services/|discord(?:app)?\.com/api/webhooks/|webhook\.office\.com/)[^\s\"',]+"
)
_PRIVATE_KEY: Final = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY.*?(?:-----END[A-Z -]*|\Z)", re.DOTALL)
_SHAPE: Final = re.compile(
    r"\b(?:gh[pousr]_\w{20,}|glpat-[\w-]{16,}|xox[abprs]-[\w-]{10,}|AKIA[0-9A-Z]{16}|sk-[\w-]{20,}"
    r"|eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]*)"
)
_LONGEST_NAME: Final = 128
_SEPARATED: Final = re.compile(r"[\s=:]")
_CREDENTIAL_OPTIONS: Final = frozenset({"-u", "--user", "--proxy-user", "-U"})
"""Options whose next argument may be ``user:password`` (curl and its kin)."""
_PASSWORD_OPTIONS: Final = {
    "sshpass": "-p",
    "redis-cli": "-a",
    "mongo": "-p",
    "mongosh": "-p",
    "ldapsearch": "-w",
    "ldapadd": "-w",
    "ldapmodify": "-w",
}
"""Programs with a short option that takes a password, attached or as the next argument."""
_ATTACHED_ONLY: Final = dict.fromkeys(
    ("mysql", "mysqldump", "mysqladmin", "mariadb", "mariadb-dump", "mariadb-admin"), "-p"
)
"""Those that take it attached; alone the option makes them ask."""
_TAKERS: Final = _PASSWORD_OPTIONS | _ATTACHED_ONLY
_HINT: Final = re.compile(
    r"pass|kennwort|geheim|pwd|pw|pin|creds|secret|token|credential|key|auth|bearer|cookie|://|hook"
    r"|\0-u|\0--user|\0-U|\0--proxy-user"
    r"|gh[pousr]_|glpat-|xox|AKIA|sk-|eyJ",
    re.IGNORECASE,
)
"""What every secret that is masked has in it or beside it."""


def command_line(argv: Sequence[str]) -> str:
    """``argv`` as one line, at most `LONGEST` characters, with `MASK` in place of what looks like a secret.

    A single argument with blanks is what a program wrote over its arguments (its title), and not quoted.
    """
    if not _suspicious(argv):
        return " ".join(shlex.quote(part) for part in argv)[:LONGEST] if len(argv) != 1 else argv[0][:LONGEST]
    if len(argv) == 1 and " " in argv[0]:
        line = _masked_text(argv[0])
    else:
        line = " ".join(shlex.quote(part) for part in _masked(argv))
    return line.replace(_HIDDEN, MASK)[:LONGEST]


def _suspicious(argv: Sequence[str]) -> bool:
    """Whether to look closer: most command lines hold nothing that could be a secret, and are many."""
    program = argv[0].rpartition("/")[2] if argv else ""
    return program in _TAKERS or _HINT.search("\0".join(argv)) is not None


def _masked(argv: Sequence[str]) -> Iterator[str]:
    program = argv[0].rpartition("/")[2] if argv else ""
    before = ""
    for position, part in enumerate(argv):
        yield part if position == 0 else _masked_part(part, before, program)
        before = part


def _masked_part(part: str, before: str, program: str) -> str:
    if before.startswith("-") and "=" not in before and not part.startswith("-"):
        if secret_name(before) or _PASSWORD_OPTIONS.get(program) == before:
            return _HIDDEN
        if before in _CREDENTIAL_OPTIONS and ":" in part:
            return part.partition(":")[0] + ":" + _HIDDEN
    if len(part) > 2 and _TAKERS.get(program) == part[:2]:
        return part[:2] + _HIDDEN
    if match := _HEADER.fullmatch(part):
        return f"{match[1]}: {_HIDDEN}"
    match = _OPTION.fullmatch(part)
    if match and secret_name(match[1]) and (part.startswith("-") or " " not in part):
        return f"{match[1]}={_HIDDEN}"
    return _masked_text(part)


def _masked_text(text: str) -> str:
    """Mask inside of one argument: connection strings, URLs, scripts given to a shell."""
    text = _PRIVATE_KEY.sub(_HIDDEN, text)
    text = _URL.sub(rf"\1{_HIDDEN}@", text)
    text = _URL_TOKEN.sub(rf"\1{_HIDDEN}@", text)
    text = _HOOK.sub(rf"\1{_HIDDEN}", text)
    text = _SHAPE.sub(_HIDDEN, text)
    if _SEPARATED.search(text):
        text = _HEADER_WITHIN.sub(rf"\1\2{_HIDDEN}", text)
        text = _WITHIN.sub(_hide, text)
    return text


def _hide(match: re.Match[str]) -> str:
    end, between = match[1], match[2]
    before = _NAME_BEFORE.search(match.string[max(0, match.start() - _LONGEST_NAME) : match.start()])
    name = (before[0] if before else "") + end.rstrip("\"'")
    # Prose ("token expired") has neither a sign of assignment nor the dashes of an option.
    if not secret_name(name) or (between.isspace() and not name.startswith("-")):
        return match[0]
    return f"{end}{between}{_HIDDEN}"


def visible(text: str) -> str:
    """``text`` with `MASK` in place of passwords in URLs, tokens of known shapes, and ``password=...`` inside."""
    return _masked_text(text).replace(_HIDDEN, MASK) if _HINT.search(text) else text


def secret_name(name: str) -> bool:
    """Whether a value of that name (an option, a setting, a variable) is a secret."""
    name = name.removeprefix("-D")  # a property of Java
    return _NAME.search(name) is not None and _HARMLESS.search(name) is None
