"""Text kinds with a form of their own: names, addresses, paths, expressions."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import parse_qs, urlsplit

from tabard import names
from tabard.errors import TabardError
from tabard.records import SEVERITIES
from tabard.settings import stages
from tabard.settings.kinds import Text

_HOST: Final = r"[A-Za-z0-9._-]{1,253}|[0-9A-Fa-f:.]{2,45}"
_PORT_PLACE: Final = r"(\*|[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):([0-9]{1,5})"
_SOCKET_PATH_LIMIT: Final = 107
_ENGINES: Final = frozenset({"postgresql", "postgres", "postgresql+psycopg2"})
_SECRET: Final = frozenset({"password", "sslpassword"})
_BROKER_FORM: Final = "1 to 31 of a-z 0-9 . _ - beginning with a letter or digit"
"""A broker's name is part of its sockets' names, which have to be short."""
COMMANDS: Final = ("actions", "run")
"""Kinds of commands that a node may accept."""
_ONE_CHARACTER: Final = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)
"""An escaped character or a class: what stands in it is no sign of an expression."""
_REPEATED_GROUP: Final = re.compile(r"\)\s*[+*{]")
"""With what is repeated in it, a text that does not fit could take for ever."""
_TAKEN: Final = frozenset({"authorization", "cookie", "host", "origin", "user-agent"})
"""Headers that a browser sends as somebody else wants."""
HOST_KEYS: Final = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "ssh-rsa",
)
"""Kinds of ssh's host keys."""


def _endpoint(text: str) -> str:
    path = text.removeprefix("ipc://")
    if text.startswith("tcp://"):
        _host_port(text.removeprefix("tcp://"))
        return text
    if path != text and path.startswith("/") and len(path.encode()) <= _SOCKET_PATH_LIMIT:
        return text
    raise TabardError("not an endpoint")


def _member(text: str) -> str:
    name, equals, target = text.partition("=")
    if not equals or not target or target.startswith("group:") or not names.NAME.fullmatch(name):
        raise TabardError("not a member of a group")
    return text


def _approvals(text: str) -> str:
    zone, equals, number = text.rpartition("=")
    if not equals or number not in set("12345678"):
        raise TabardError("not a number of approvals in a zone")
    names.check_zone(zone)
    return text


def _host(text: str) -> str:
    if not re.fullmatch(_HOST, text):
        raise TabardError("not a host")
    return text


def _host_port(text: str) -> str:
    match = re.fullmatch(_PORT_PLACE, text)
    if not match or not 0 < int(match[2]) < 65536:
        raise TabardError("not a host and port")
    return text


def _stage_port(text: str) -> str:
    return text if text == stages.OF_STAGE else _host_port(text)


def _ssh_host(text: str) -> str:
    # What begins with a dash would be an option to ssh.
    if text.startswith("-") or not re.fullmatch(_HOST, text):
        raise TabardError("not a host")
    return text


def _ssh_user(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.@\\-]{0,254}", text):
        raise TabardError("not a user")
    return text


def _host_key(text: str) -> str:
    import base64  # few settings files have one, and the agent loads this module

    kind, _, rest = text.partition(" ")
    try:
        raw = base64.b64decode(rest.split(" ")[0], validate=True)
    except ValueError as error:
        raise TabardError("not a key") from error
    if kind not in HOST_KEYS or raw[4 : 4 + int.from_bytes(raw[:4], "big")] != kind.encode():
        raise TabardError("not a key")
    return text


def _path(text: str) -> str:
    if not text.startswith(("/", "~/")):
        raise TabardError("not an absolute path")
    return text


def _journal(text: str) -> str:
    return text if text == "auto" else _path(text)


def _socket_path(text: str) -> str:
    if not text.startswith("/") or len(text.encode()) > _SOCKET_PATH_LIMIT:
        raise TabardError("not a path of a socket")
    return text


def _store_url(text: str) -> str:
    """One spelling of it: what libpq takes."""
    parts = urlsplit(text)
    if parts.scheme not in _ENGINES:
        raise TabardError("not a store that there is")
    if parts.password is not None or not _SECRET.isdisjoint(parse_qs(parts.query)):
        raise TabardError("a password")
    if not parts.path.strip("/"):
        raise TabardError("no database")
    # Not put together from its parts: without a host two of its slashes would be lost.
    return f"postgresql:{text.partition(':')[2]}"


def _expression(text: str) -> str:
    try:
        re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise TabardError("not a regular expression") from error
    return text


def _argument(text: str) -> str:
    _expression(text)
    if _REPEATED_GROUP.search(_ONE_CHARACTER.sub("x", text)):
        raise TabardError("a group that is repeated can take for ever")
    return text


def _timezone(text: str) -> str:
    if text in {"local", "UTC"}:
        return text
    import zoneinfo  # needed by few settings files, and the agent loads this module

    try:
        zoneinfo.ZoneInfo(text)
    except (KeyError, ValueError, OSError) as error:
        raise TabardError("not a time zone") from error
    return text


def _address(text: str) -> str:
    from tabard.mail.addresses import address  # few settings files name one

    return str(address(text))


def _language(text: str) -> str:
    if not re.fullmatch("[A-Za-z]{2,3}(?:[_-][A-Za-z0-9]{2,4})?", text, re.ASCII):
        raise TabardError("not a language")
    return text.lower().replace("-", "_")


def _accepted(text: str) -> str:
    if text not in COMMANDS:
        raise TabardError("not a kind of command")
    return text


def _level(text: str) -> str:
    if text not in SEVERITIES:
        raise TabardError("not a level")
    return text


def _network(text: str) -> str:
    import ipaddress  # few settings files have one, and the agent loads this module

    try:
        network = ipaddress.ip_network(text)
    except ValueError as error:
        raise TabardError("not a network") from error
    if not network.prefixlen:  # everybody
        raise TabardError("no network in particular")
    return str(network)


def _page_url(text: str) -> str:
    match = re.fullmatch(
        rf"https?://(?:({_HOST.partition('|')[0]})|\[[0-9A-Fa-f:.]{{2,45}}\])(?::([0-9]{{1,5}}))?/?", text
    )
    if not match or (match[2] and not 0 < int(match[2]) < 65536):
        raise TabardError("not an address of a page")
    return text.rstrip("/")


def _header(text: str) -> str:
    # An underscore and a dash are the same to what hands headers on, so that another one could pass for it.
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]{0,63}", text) or text.lower() in _TAKEN:
        raise TabardError("not a header for this")
    return text


NODE: Final = Text(names.NAME_FORM, check=names.check_node, name="node")
SINK: Final = Text(names.NAME_FORM, check=names.check_sink, name="sink")
STAGE: Final = Text(stages.NAME_FORM, check=stages.check_name, empty=True, name="stage", limit=63)
BROKER: Final = Text(_BROKER_FORM, check=names.check_node, name="broker", limit=31)
OPERATOR: Final = Text(names.NAME_FORM, check=names.check_node, empty=True, name="operator")
PARENT: Final = Text(_BROKER_FORM, check=names.check_node, empty=True, name="broker", limit=31)
ZONE: Final = Text(names.ZONE_FORM, check=names.check_zone, name="zone", limit=1024)
MEMBER: Final = Text(
    "NAME=TARGET: a name of a-z 0-9 . _ - and a target that is no group",
    check=_member,
    name="member of a group",
    limit=256,
)
APPROVALS: Final = Text(
    "ZONE=N: the path of a zone, and 1 to 8 operators",
    check=_approvals,
    name="approvals in a zone",
    limit=1024,
)
LABEL: Final = Text("one line of at most 128 characters", empty=True, limit=128)
ENDPOINT: Final = Text(
    'an endpoint "tcp://HOST:PORT" or "ipc:///PATH" (at most 107 bytes of path)',
    check=_endpoint,
    empty=True,
    name="endpoint",
)
HOST: Final = Text("a host name or IP address", check=_host, name="host")
HOST_PORT: Final = Text('"HOST:PORT", an IPv6 host in brackets', check=_host_port, empty=True, name="address")
LISTEN: Final = Text('"HOST:PORT", an IPv6 host in brackets', check=_host_port, name="address")
TUNNEL: Final = Text(_BROKER_FORM, check=names.check_node, name="tunnel", limit=31)
SSH_HOST: Final = Text(
    "a host name, IP address or alias of ssh's configuration", check=_ssh_host, empty=True, name="ssh host"
)
SSH_USER: Final = Text(
    "a user name of letters, digits and _ . @ \\ -", check=_ssh_user, empty=True, name="ssh user"
)
HOST_KEY: Final = Text(
    'a public host key such as "ssh-ed25519 AAAAC3Nz..."',
    check=_host_key,
    empty=True,
    limit=4096,
    name="host key",
)
STAGE_PORT: Final = Text(
    '"HOST:PORT", an IPv6 host in brackets, or "stage"', check=_stage_port, empty=True, name="address"
)
SOCKET_PATH: Final = Text(
    "an absolute path of at most 107 bytes", check=_socket_path, empty=True, limit=107, name="path"
)
PATH: Final = Text('an absolute path (or one below "~/")', check=_path, empty=True, limit=4096, name="path")
STORE_URL: Final = Text(
    "postgresql://USER@HOST/DATABASE, the password in the file of store.password_file",
    check=_store_url,
    empty=True,
    limit=1000,
    name="url",
)
JOURNAL: Final = Text(
    '"auto", or an absolute path of a directory (or one below "~/")',
    check=_journal,
    empty=True,
    limit=4096,
    name="journal",
)
PATTERN: Final = Text(
    "an absolute path, with * ? [] where it is a pattern", check=_path, limit=4096, name="pattern"
)
EXPRESSION: Final = Text(
    "a regular expression of Python's re", check=_expression, empty=True, limit=1000, name="expression"
)
TIMEZONE: Final = Text('"local", "UTC" or a name such as "Europe/Zurich"', check=_timezone, name="time zone")
ADDRESS: Final = Text(
    "an address such as ops@example.org or Operations <ops@example.org>", check=_address, name="mail address"
)
SENDER: Final = Text(
    "an address such as ops@example.org or Operations <ops@example.org>",
    check=_address,
    empty=True,
    name="mail address",
)
LANGUAGE: Final = Text("a language such as en, DE or de_CH", check=_language, limit=8, name="language")
MAIL_HOST: Final = Text("a host name or IP address", check=_host, empty=True, name="host")
LEVEL: Final = Text("one of " + ", ".join(SEVERITIES), check=_level, empty=True, name="level")
ACCEPTED: Final = Text('"actions" or "run"', check=_accepted, name="kind of command")
ARGUMENT: Final = Text(
    "a regular expression of Python's re, without a repeat behind a group",
    check=_argument,
    limit=1000,
    name="expression",
)
ACTION: Final = Text(names.NAME_FORM, check=names.check_node, name="action")
WORD: Final = Text("one line of at most 4,096 characters", empty=True, limit=4096, name="word")
NETWORK: Final = Text("an IP address, or a network such as 10.0.0.0/8", check=_network, name="network")
PAGE_URL: Final = Text(
    "http:// or https:// with a host, and a port if it has one", check=_page_url, empty=True, name="url"
)
HEADER: Final = Text(
    "the name of a header: letters, digits and dashes", check=_header, empty=True, limit=64, name="header"
)
