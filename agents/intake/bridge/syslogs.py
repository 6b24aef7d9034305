"""The intakes for syslog: TCP and unix streams, UDP and unix datagrams."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from tabard.agents.intake.bridge.binding import bind_datagram, bind_udp, listen_public
from tabard.agents.intake.bridge.datagrams import DatagramIntake
from tabard.agents.intake.bridge.framing import LONGEST_COUNTED, Framer
from tabard.agents.intake.bridge.messages import ENDS, Messages
from tabard.agents.intake.bridge.ports import Intake, Surroundings
from tabard.agents.intake.bridge.streams import Desk, StreamIntake
from tabard.agents.intake.bridge.syslog import SyslogParser
from tabard.agents.intake.listeners import listen_tcp
from tabard.settings import Settings


class SyslogReader:
    """Makes records of what one client of a stream says."""

    def __init__(self, desk: Desk, parser: SyslogParser) -> None:
        self._messages = Messages(desk.gatherer, parser)
        self._counters = desk.counters
        self._framer = Framer()

    @property
    def held(self) -> int:
        """Bytes of a message that is not complete."""
        return self._framer.held

    def feed(self, data: bytes) -> None:
        """Take bytes. Raises WireError when a message's length is none."""
        pieces = self._framer.pieces
        for raw in self._framer.split(data):
            if len(raw) == LONGEST_COUNTED:
                self._counters["cut off"] += 1
                self._messages.take(raw, "cut off")
            else:
                self._messages.take(raw)
        if self._framer.pieces > pieces:
            self._counters["pieces"] += self._framer.pieces - pieces
        self._framer.check()

    def finish(self) -> None:
        """Keep what has no end: the end of the connection is one, but for a message of a known length."""
        whole = self._framer.whole_without_end
        rest = self._framer.last()
        if rest.strip(ENDS) and not whole:
            self._counters["cut off"] += 1
        self._messages.take(rest, "" if whole else "cut off")


def made(settings: Settings, surroundings: Surroundings) -> Iterator[Intake]:
    """The syslog intakes that the settings ask for."""
    parser = SyslogParser(surroundings.clock.wall)

    def read(desk: Desk) -> SyslogReader:
        return SyslogReader(desk, parser)

    if address := settings.str("intake.syslog_tcp"):
        listen = partial(listen_tcp, address, "intake.syslog_tcp")
        yield StreamIntake("syslog_tcp", "syslog", surroundings, listen, read)
    if path := settings.str("intake.syslog_stream"):
        listen = partial(listen_public, path, "intake.syslog_stream")
        yield StreamIntake("syslog_stream", "syslog", surroundings, listen, read, path)
    if address := settings.str("intake.syslog_udp"):
        bind = partial(bind_udp, address, "intake.syslog_udp", settings.bytes("intake.syslog_buffer"))
        yield DatagramIntake("syslog_udp", surroundings, bind, parser)
    if path := settings.str("intake.syslog_datagram"):
        bind = partial(bind_datagram, path, "intake.syslog_datagram")
        yield DatagramIntake("syslog_datagram", surroundings, bind, parser, path)
