"""One client's side of HTTP, without sockets: bytes in, whole requests out, answers as bytes.

A request that cannot be taken is refused as soon as that is known, and answered once it was read to its end, so that
the connection can go on; when too much of it is still to come, at once, and the connection is closed after that.
"""

from __future__ import annotations

import zlib
from typing import Final, NamedTuple

import h11

MOST_HEAD: Final = 16_384
"""Bytes of a request's line and header."""
MOST_BODY: Final = 16_777_216
"""Bytes of a body, before and after it was decompressed. The collector of OpenTelemetry allows 20 MiB."""
MOST_JSON: Final = 4_194_304
"""The same for JSON, which takes many times its size in memory while it is read."""
MOST_REFUSED: Final = 1_048_576
"""Bytes of a refused request that are read to keep the connection."""
PATH: Final = "/v1/logs"
PROTOBUF: Final = "application/x-protobuf"
JSON: Final = "application/json"

# google.rpc.Code of the answers that say why.
INVALID, NOT_FOUND, EXHAUSTED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE = 3, 5, 8, 12, 13, 14


class Refusal(NamedTuple):
    """Why a request is not taken."""

    status: int
    code: int
    message: str
    headers: tuple[tuple[str, str], ...] = ()


class Request(NamedTuple):
    """A whole request; ``body`` is decompressed."""

    kind: str
    """`PROTOBUF` or `JSON`."""
    body: bytes
    refusal: Refusal | None


class Conversation:
    """The requests and answers of one connection, one after the other."""

    def __init__(self) -> None:
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MOST_HEAD)
        self._kind = JSON
        self._body = bytearray()
        self._inflate: _Inflater | None = None
        self._refusal: Refusal | None = None
        self._received = 0
        self._most = MOST_BODY
        self.interim = b""
        """What is to be sent although no request is whole: that a client may go on."""
        self.begun = False
        """Whether a request has begun that is not whole."""
        self.over = False
        """Whether nothing more can be said or understood; true once the last answer was made."""

    @property
    def held(self) -> int:
        """Bytes of a body that is not whole."""
        return len(self._body)

    def feed(self, data: bytes) -> Request | None:
        """Take bytes (none: look at what is there already); a request once it is whole.

        Feed nothing more before that request was answered.
        """
        try:
            if data:
                self._http.receive_data(data)
                self.begun = True
            return self._advance()
        except h11.RemoteProtocolError as error:
            return self._whole(Refusal(error.error_status_hint or 400, INVALID, f"no HTTP: {error}"))

    def refuse(self, refusal: Refusal) -> None:
        """Let go of the body, and refuse the request."""
        if self._refusal is None:
            self._refusal = refusal
        self._body = bytearray()
        self._inflate = None

    def cut_short(self, refusal: Refusal) -> bytes:
        """Answer a request that will not become whole; the connection is over."""
        return self.answer(refusal.status, b"", refusal.headers)

    def answer(self, status: int, body: bytes, headers: tuple[tuple[str, str], ...] = ()) -> bytes:
        """The bytes of the answer to the request that is whole."""
        http = self._http
        if http.our_state not in {h11.IDLE, h11.SEND_RESPONSE}:
            self.over = True
            return b""
        fields = [("Content-Type", self._kind), ("Content-Length", str(len(body))), *headers]
        if http.their_state not in {h11.DONE, h11.MUST_CLOSE, h11.CLOSED}:
            fields.append(("Connection", "close"))
        try:
            said = http.send(h11.Response(status_code=status, headers=fields)) or b""
            said += http.send(h11.Data(data=body)) or b""
            said += http.send(h11.EndOfMessage()) or b""
        except h11.LocalProtocolError:  # an answer to a request that never had a head
            self.over = True
            return b""
        self._refusal = None
        self._kind = JSON
        if http.states == {h11.SERVER: h11.DONE, h11.CLIENT: h11.DONE}:
            http.start_next_cycle()
            self.begun = bool(http.trailing_data[0])
        else:
            self.over = True
        return said

    # --- what a client says ---

    def _advance(self) -> Request | None:
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                self._encourage()
                return None
            if event is h11.PAUSED:  # the next request lies behind one that is not answered
                return None
            if isinstance(event, h11.Request):
                self._begin(event)
                if self._received < 0:  # its body is not worth reading
                    return self._whole(None)
            elif isinstance(event, h11.Data):
                self._take(bytes(event.data))
                if self._refusal is not None and self._received > MOST_REFUSED:
                    return self._whole(None)
            elif isinstance(event, h11.EndOfMessage):
                if self._refusal is None and self._inflate is not None and not self._inflate.ended:
                    self.refuse(Refusal(400, INVALID, "the gzip stream has no end"))
                return self._whole(None)
            elif isinstance(event, h11.ConnectionClosed):
                self.over = True
                return None

    def _encourage(self) -> None:
        if self._http.they_are_waiting_for_100_continue:
            self.interim += self._http.send(h11.InformationalResponse(status_code=100, headers=[])) or b""

    def _begin(self, head: h11.Request) -> None:
        fields = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in head.headers}
        self._body = bytearray()
        self._inflate = None
        self._received = 0
        refusal = self._judge(head, fields)
        length = int(fields["content-length"]) if "content-length" in fields else 0
        if refusal is None and length > self._most:
            refusal = Refusal(413, EXHAUSTED, f"at most {self._most} bytes of body are taken")
        if refusal is not None:
            self.refuse(refusal)
            if length > MOST_REFUSED or self._http.they_are_waiting_for_100_continue:
                self._received = -1
        elif fields.get("content-encoding", "identity").lower() == "gzip":
            self._inflate = _Inflater()

    def _judge(self, head: h11.Request, fields: dict[str, str]) -> Refusal | None:
        kind = fields.get("content-type", "").partition(";")[0].strip().lower()
        if kind in {PROTOBUF, JSON}:
            self._kind = kind
        self._most = MOST_JSON if self._kind == JSON else MOST_BODY
        path = head.target.decode("latin-1").partition("?")[0]
        if path != PATH:
            return Refusal(404, NOT_FOUND, f"only logs are taken here, at {PATH}")
        if head.method != b"POST":
            return Refusal(405, UNIMPLEMENTED, "logs are posted", (("Allow", "POST"),))
        if kind not in {PROTOBUF, JSON}:
            return Refusal(415, INVALID, f"Content-Type is to be {PROTOBUF} or {JSON}")
        if fields.get("content-encoding", "identity").lower() not in {"identity", "gzip"}:
            return Refusal(
                415, INVALID, "Content-Encoding is to be gzip or none", (("Accept-Encoding", "gzip"),)
            )
        return None

    def _take(self, data: bytes) -> None:
        self._received += len(data)
        if self._refusal is not None:
            return
        try:
            if self._inflate is not None:
                data = self._inflate.feed(data, self._most - len(self._body))
        except zlib.error as error:
            self.refuse(Refusal(400, INVALID, f"no gzip: {error}"))
            return
        self._body += data
        if len(self._body) > self._most or self._received > self._most:
            self.refuse(Refusal(413, EXHAUSTED, f"at most {self._most} bytes of body are taken"))

    def _whole(self, refusal: Refusal | None) -> Request:
        refusal = self._refusal or refusal
        body, self._body = bytes(self._body), bytearray()
        self._inflate = None
        self.begun = False
        return Request(self._kind, b"" if refusal else body, refusal)


class _Inflater:
    """Decompresses gzip, also of several members, and never more than is asked for."""

    def __init__(self) -> None:
        self._gzip = zlib.decompressobj(31)

    @property
    def ended(self) -> bool:
        """Whether what came is whole."""
        return self._gzip.eof

    def feed(self, data: bytes, room: int) -> bytes:
        """At most ``room`` + 1 bytes: one more than there is room for. Raises zlib.error."""
        found = bytearray()
        while data and len(found) <= room:
            if self._gzip.eof:
                self._gzip = zlib.decompressobj(31)
            found += self._gzip.decompress(data, room + 1 - len(found))
            data = self._gzip.unused_data if self._gzip.eof else self._gzip.unconsumed_tail
        return bytes(found)
