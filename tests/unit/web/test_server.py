"""The server herald runs in: a real process on a real port."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import urllib.request

import pytest

from tabard.errors import TabardError
from tabard.web.server import listen
from tests.ports import free_port

PROGRAM = """
    import sys, threading
    from flask import Flask
    from tabard.web.server import serve

    app = Flask("tabard.web")
    both = threading.Barrier(2)

    @app.get("/")
    def here():
        return "here"

    @app.get("/meet")
    def meet():
        both.wait(20)
        return "met"

    serve(app, "127.0.0.1", int(sys.argv[1]), 4, ready=lambda: print("ready", flush=True))
    print("ended", flush=True)
"""


def ask(port, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
        return answer.read()


@pytest.fixture
def server():
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), str(port)], stdout=subprocess.PIPE, text=True
    )
    output = process.stdout
    assert output is not None
    try:
        assert output.readline() == "ready\n"
        assert ask(port, "/") == b"here"
        yield process, port
    finally:
        process.kill()
        process.wait()
        output.close()


def test_requests_are_answered_side_by_side(server):
    """Two requests that wait for each other are both answered."""
    _, port = server
    answers = []

    threads = [threading.Thread(target=lambda: answers.append(ask(port, "/meet"))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [b"met", b"met"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(server, number):
    """`serve` returns at SIGTERM and at SIGINT, so its caller can clean up, and no worker stays behind."""
    process, port = server
    os.kill(process.pid, number)
    assert process.stdout.read() == "ended\n"  # the pipe closes when the worker is gone too
    assert process.wait() == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_its_port_is_free_again_at_once(server):
    """A restart on the same port works."""
    process, port = server
    os.kill(process.pid, signal.SIGTERM)
    process.wait()
    listen("127.0.0.1", port).close()


def test_a_busy_port_is_a_clear_error(server):
    """The error names the address, the reason and what to do."""
    _, port = server
    with pytest.raises(TabardError) as caught:
        listen("127.0.0.1", port)
    sentence = str(caught.value)
    assert f"127.0.0.1:{port}" in sentence
    assert "in use" in sentence
    assert "herald.port" in sentence


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_an_address_that_is_not_ours_is_a_clear_error(host):
    """A wrong `herald.host` says so."""
    with pytest.raises(TabardError, match=r"herald\.host"):
        listen(host, 0)


def test_it_listens_on_ipv6_too():
    """``::1`` is an address of loopback."""
    if not socket.has_ipv6:
        pytest.skip("NOT TESTED: needs IPv6")
    with listen("::1", 0) as listener:
        assert listener.family == socket.AF_INET6
