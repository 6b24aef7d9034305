"""The process of the back end ``sshtunnel``: it is told one tunnel on standard input and has it until that closes.

What goes wrong is one line on standard error, in words that `failures` knows. The library checks a host key only when it
is given one, binds every address unless told otherwise, and does not see a peer that is frozen: all three are seen to here.
"""

from __future__ import annotations

import json
import logging
import os
import select
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any, Final, NoReturn

import paramiko
import sshtunnel
from paramiko.hostkeys import HostKeyEntry

from tabard.brokers.tunnels.backends import algorithms
from tabard.brokers.tunnels.configuration import ALIVE_EVERY, ALIVE_MISSES, CONNECTING
from tabard.brokers.tunnels.keyfile import in_reach_of_others, is_locked

_LOOK: Final = 0.5
"""Seconds between two looks at the connection."""


class Listener(sshtunnel._ThreadingForwardServer):  # type: ignore[misc]  # noqa: SLF001 -- it can be given in no other way
    """Listens on IPv6 too, which the library does not."""

    def __init__(self, place: tuple[str, int], *handler: object, **options: object) -> None:
        self.asked = place
        self.address_family = socket.AF_INET6 if ":" in place[0] else socket.AF_INET
        super().__init__(place, *handler, **options)


class Forwarder(sshtunnel.SSHTunnelForwarder):  # type: ignore[misc]  # it has no types
    """With the one key, with the algorithms of the pinned host key, and with the reason when it fails."""

    def _make_ssh_forward_server_class(self, _: object) -> type[Listener]:
        return Listener

    def _get_transport(self) -> paramiko.Transport:
        transport: paramiko.Transport = super()._get_transport()
        transport.banner_timeout = transport.auth_timeout = CONNECTING
        transport.get_security_options().key_types = algorithms(self.ssh_host_key.get_name())
        return transport

    def _connect_to_gateway(self) -> None:
        try:
            self._transport = self._get_transport()
            self._transport.connect(
                hostkey=self.ssh_host_key, username=self.ssh_username, pkey=self.ssh_pkeys[0]
            )
        except (OSError, EOFError) as error:
            raise paramiko.SSHException(str(error) or "Connection closed by the server") from error


class Pulse(threading.Thread):
    """Asks the server again and again; `heard` is when it last answered."""

    def __init__(self, transport: paramiko.Transport) -> None:
        super().__init__(name="pulse", daemon=True)  # ends with the process, which waits for nothing else
        self._transport = transport
        self.heard = time.monotonic()

    def run(self) -> None:
        """Until the connection ends."""
        while self._transport.is_active():
            self._transport.global_request("keepalive@openssh.com", wait=True)
            self.heard = time.monotonic()
            time.sleep(ALIVE_EVERY)


def main() -> None:
    """Have the tunnel until standard input closes."""
    order = json.loads(sys.stdin.buffer.readline())
    forwarder = _forwarder(order)
    try:
        forwarder.start()
    except (sshtunnel.BaseSSHTunnelForwarderError, paramiko.SSHException, OSError) as error:
        _end(str(error))
    listening = {server.asked for server in forwarder._server_list}  # noqa: SLF001 -- handed out nowhere
    for (host, port), _ in order["forwards"]:
        if (host, port) not in listening:
            _end(f"bind [{host}]:{port}: Address already in use")
    transport: paramiko.Transport = forwarder._transport  # noqa: SLF001 -- the library hands it out nowhere
    pulse = Pulse(transport)
    pulse.start()
    while not select.select([sys.stdin], [], [], _LOOK)[0]:
        if not transport.is_active():
            _end("Connection closed by the server")
        if time.monotonic() - pulse.heard > ALIVE_EVERY * (1 + ALIVE_MISSES):
            _end(f"Timeout, server {order['host']} not responding.")
    os._exit(0)  # its threads wait for connections that may never end


def _forwarder(order: dict[str, Any]) -> Forwarder:
    entry = HostKeyEntry.from_line(f"pinned {order['host_key']}")
    if entry is None:
        _end("Bad host key in the settings")
    file = Path(order["key_file"])
    try:
        if in_reach_of_others(file):
            _end(f'Cannot load key "{file}": bad permissions')  # as ssh has it
        key = paramiko.PKey.from_path(file)
    except OSError as error:
        _end(f'Cannot load key "{file}": {error.strerror}')
    except (ValueError, TypeError, paramiko.SSHException, paramiko.pkey.UnknownKeyType) as error:
        # A TypeError where it has a passphrase.
        _end(
            f'Cannot load key "{file}": {"it has a passphrase" if is_locked(file) else str(error) or "unusable"}'
        )
    logger = logging.getLogger("tabard.tunnel")
    logger.propagate = False
    logger.addHandler(logging.StreamHandler(sys.stderr))
    logger.setLevel(logging.ERROR)
    return Forwarder(
        (order["host"], order["port"]),
        ssh_config_file=None,
        ssh_host_key=entry.key,
        ssh_username=order["user"] or None,
        ssh_pkey=key,
        allow_agent=False,
        host_pkey_directories=[],
        local_bind_addresses=[tuple(listen) for listen, _ in order["forwards"]],
        remote_bind_addresses=[tuple(to) for _, to in order["forwards"]],
        logger=logger,
        set_keepalive=0.0,
    )


def _end(sentence: str) -> NoReturn:
    print(sentence, file=sys.stderr, flush=True)  # noqa: T201 -- what the other process reads
    os._exit(1)


if __name__ == "__main__":
    main()
