"""ttrpc with errand's additions (docs/PROTOCOL.md), without I/O: bytes in, events out.

Both clients put their sockets around a Connection. It trusts nothing it is fed: what breaks
the protocol raises ProtocolError, and the connection is to be closed."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any, Iterator, Mapping, Optional

MAX_FRAME = 4 << 20
MAX_METADATA = 64
WINDOW = 256 << 10
REQUEST, RESPONSE, DATA = 1, 2, 3
CANCEL, CREDIT, PING, GOAWAY = 0x40, 0x41, 0x42, 0x43
REMOTE_CLOSED, NO_DATA = 1, 4
AGENT = "errand-python"
_PROBLEM = "type.googleapis.com/errand.v1.Problem"

CODES = ("OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
         "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE",
         "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED")

CANCELLED, UNKNOWN, INVALID_ARGUMENT, DEADLINE_EXCEEDED, NOT_FOUND = 1, 2, 3, 4, 5
RESOURCE_EXHAUSTED, FAILED_PRECONDITION, ABORTED, UNIMPLEMENTED = 8, 9, 10, 12
INTERNAL, UNAVAILABLE, ALREADY_EXISTS, PERMISSION_DENIED = 13, 14, 6, 7


class ProtocolError(Exception):
    """The peer sent what is no ttrpc."""


class Error(Exception):
    """A call that failed: code (of google.rpc.Code), its name, and the service's words.
    problem: the errand.v1.Problem that came along, or None (bytes: not read yet)."""

    def __init__(self, code: int, message: str, problem: Any = None):
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.problem = problem

    @property
    def name(self) -> str:
        return CODES[self.code] if 0 <= self.code < len(CODES) else str(self.code)

    def __str__(self) -> str:
        return f"{self.name}: {self.message}"


# --- protobuf, as far as envelopes need it ---

def _varint(n: int) -> bytes:
    n &= (1 << 64) - 1
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def _uint(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _bytes(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    n = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise ProtocolError("a number that does not end")
        byte = data[at]
        at += 1
        n |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return n, at


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(number, value): an int for numbers, bytes for all that has a length."""
    at = 0
    while at < len(data):
        tag, at = _read_varint(data, at)
        wire = tag & 7
        if wire == 0:
            value: int | bytes
            value, at = _read_varint(data, at)
        elif wire in (1, 2, 5):
            size = 8 if wire == 1 else 4
            if wire == 2:
                size, at = _read_varint(data, at)
            if size > len(data) - at:
                raise ProtocolError("a field that is longer than its message")
            value = data[at:at + size]
            at += size
        else:
            raise ProtocolError(f"wire type {wire}")
        yield tag >> 3, value


def _text(value: int | bytes) -> str:
    if isinstance(value, int):
        raise ProtocolError("a number where a text belongs")
    return value.decode("utf-8", "replace")


def _blob(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ProtocolError("a number where bytes belong")
    return value


def encode_request(service: str, method: str, payload: bytes, timeout: Optional[float],
                   metadata: Mapping[str, str]) -> bytes:
    out = _bytes(1, service.encode()) + _bytes(2, method.encode()) + _bytes(3, payload)
    if timeout is not None:
        out += _uint(4, max(1, int(min(timeout, 9e9) * 1e9)))
    for key, value in metadata.items():
        out += _bytes(5, _bytes(1, key.encode()) + _bytes(2, str(value).encode()))
    return out


def _decode_status(data: bytes) -> Optional[Error]:
    code, message, problem = 0, "", None
    for number, value in fields(data):
        if number == 1:
            if not isinstance(value, int):
                raise ProtocolError("a status whose code is no number")
            code = value if value < len(CODES) else UNKNOWN
        elif number == 2:
            message = _text(value)
        elif number == 3:
            detail = dict(fields(_blob(value)))
            if _text(detail.get(1, b"")) == _PROBLEM:
                problem = _blob(detail.get(2, b""))
    return Error(code, message, problem) if code else None


# --- events ---

@dataclass
class Event:
    stream: int


@dataclass
class Message(Event):
    """One message of a stream, or the answer of a unary call (then End follows)."""
    data: bytes


@dataclass
class End(Event):
    """The last event of a stream: error is None when it went well. unseen: the service was stopping and has
    not looked at it, so it may be sent again, to the next one."""
    error: Optional[Error] = None
    metadata: dict[str, str] = field(default_factory=dict)
    unseen: bool = False


@dataclass
class _Stream:
    """given: bytes of Data the peer may still send; used: consumed, not given back yet."""
    streaming: bool
    given: int
    used: int = 0


class Connection:
    """outgoing holds what is to be written; the owner takes it with take_outgoing."""

    def __init__(self, window: int = WINDOW):
        self.window = window
        self.streams: dict[int, _Stream] = {}
        self.extended = False
        self.leaving = False   # GOAWAY: no new calls here
        self.last_seen = 0     # and none with a higher number was looked at
        self._buffer = bytearray()
        self._outgoing = bytearray()
        self._last = 1
        self._hello = 1
        hello = _uint(1, 1) + _uint(2, window) + _bytes(3, AGENT.encode())
        self._send(1, REQUEST, 0, encode_request("errand.wire.v1.Connection", "Hello", hello, None, {}))

    def _send(self, stream: int, kind: int, flags: int, payload: bytes) -> None:
        self._outgoing += struct.pack(">IIBB", len(payload), stream, kind, flags) + payload

    def take_outgoing(self) -> bytes:
        data = bytes(self._outgoing)
        self._outgoing.clear()
        return data

    def request(self, service: str, method: str, payload: bytes, timeout: Optional[float] = None,
                metadata: Mapping[str, str] = {}, streaming: bool = False) -> int:
        if len(metadata) > MAX_METADATA:
            raise Error(INVALID_ARGUMENT, f"{len(metadata)} pairs of metadata: at most {MAX_METADATA} are taken")
        body = encode_request(service, method, payload, timeout, metadata)
        if len(body) > MAX_FRAME:
            raise Error(RESOURCE_EXHAUSTED, f"a request of {len(body)} bytes: at most {MAX_FRAME} fit a frame")
        if self._last > (1 << 32) - 3:
            raise Error(UNAVAILABLE, "the connection has used up its streams: connect again")
        self._last += 2
        self.streams[self._last] = _Stream(streaming, self.window)
        self._send(self._last, REQUEST, REMOTE_CLOSED if streaming else 0, body)
        return self._last

    def cancel(self, stream: int) -> None:
        """Nothing more is heard of it. A plain server is not told: what it sends is dropped."""
        if self.streams.pop(stream, None) is not None and self.extended:
            self._send(stream, CANCEL, 0, b"")

    def consumed(self, stream: int, n: int) -> None:
        """The owner has used up n bytes of Data: gives credit back in steps."""
        s = self.streams.get(stream)
        if s is None:
            return
        s.used += n
        if self.extended and s.used >= (self.window + 1) // 2:
            self._send(stream, CREDIT, 0, struct.pack(">I", s.used))
            s.given += s.used
            s.used = 0

    def feed(self, data: bytes) -> list[Event]:
        self._buffer += data
        events: list[Event] = []
        while len(self._buffer) >= 10:
            length, stream, kind, flags = struct.unpack_from(">IIBB", self._buffer)
            if length > MAX_FRAME:
                raise ProtocolError(f"a frame of {length} bytes")
            if len(self._buffer) < 10 + length:
                break
            payload = bytes(self._buffer[10:10 + length])
            del self._buffer[:10 + length]
            self._take(stream, kind, flags, payload, events)
        return events

    def lost(self, stream: int, why: str) -> End:
        """The end of a stream that was open when the connection ended."""
        return End(stream, Error(UNAVAILABLE, why), unseen=self._crossed(stream))

    def _crossed(self, stream: int) -> bool:
        """Has GOAWAY come that leaves this one out?"""
        return self.leaving and stream > self.last_seen

    def eof(self) -> None:
        """The peer has closed: a ProtocolError when that was in the middle of a frame."""
        if self._buffer:
            raise ProtocolError("the end in the middle of a frame")

    def _take(self, stream: int, kind: int, flags: int, payload: bytes, events: list[Event]) -> None:
        if kind == RESPONSE and stream == self._hello:
            self._take_hello(payload)
        elif kind == RESPONSE:
            self._take_response(stream, payload, events)
        elif kind == DATA:
            self._take_data(stream, flags, payload, events)
        elif kind == REQUEST:
            raise ProtocolError("a Request from the server")
        elif self.extended:
            self._take_added(stream, kind, flags, payload)

    def _take_hello(self, payload: bytes) -> None:
        self._hello = 0
        reply = dict(fields(payload))
        if _decode_status(_blob(reply.get(1, b""))) is not None:
            return  # plain ttrpc
        version = dict(fields(_blob(reply.get(2, b"")))).get(1, 0)
        if version != 1:
            raise ProtocolError(f"version {version!r} in the answer to Hello")
        self.extended = True

    def _take_added(self, stream: int, kind: int, flags: int, payload: bytes) -> None:
        if kind == PING:
            if stream != 0 or len(payload) != 8:
                raise ProtocolError("PING on a stream, or not of 8 bytes")
            if not flags & REMOTE_CLOSED:
                self._send(0, PING, REMOTE_CLOSED, payload)
        elif kind == GOAWAY:
            if stream != 0 or len(payload) != 4:
                raise ProtocolError("GOAWAY on a stream, or not of 4 bytes")
            self.leaving = True
            self.last_seen = int.from_bytes(payload, "big")
        elif kind == CREDIT:
            if stream == 0 or len(payload) != 4:
                raise ProtocolError("CREDIT without a stream, or not of 4 bytes")
        elif kind == CANCEL:
            raise ProtocolError("CANCEL from the server")

    def _find(self, stream: int) -> Optional[_Stream]:
        """None: it has ended here, and the frame crossed its end."""
        if stream % 2 == 0 or stream > self._last:
            raise ProtocolError(f"a frame for stream {stream}, which was never begun")
        return self.streams.get(stream)

    def _take_response(self, stream: int, payload: bytes, events: list[Event]) -> None:
        s = self._find(stream)
        error, answer, metadata = None, b"", {}
        for number, value in fields(payload):
            if number == 1:
                error = _decode_status(_blob(value))
            elif number == 2:
                answer = _blob(value)
            elif number == 64:
                pair = dict(fields(_blob(value)))
                metadata[_text(pair.get(1, b""))] = _text(pair.get(2, b""))
        if len(metadata) > MAX_METADATA:
            raise ProtocolError(f"{len(metadata)} pairs of metadata in a Response")
        if s is None:
            return
        del self.streams[stream]
        if error is None and not s.streaming:
            events.append(Message(stream, answer))
        unseen = error is not None and error.code == UNAVAILABLE and self._crossed(stream)
        events.append(End(stream, error, metadata, unseen))

    def _take_data(self, stream: int, flags: int, payload: bytes, events: list[Event]) -> None:
        s = self._find(stream)
        if s is None:
            return
        if not s.streaming:
            raise ProtocolError("Data for a call that answers with one message")
        if flags & NO_DATA and (payload or not flags & REMOTE_CLOSED):
            raise ProtocolError("Data that says it holds none, and does, or does not end the stream")
        if self.extended and payload and s.given <= 0:
            raise ProtocolError("more Data than the window allows")
        s.given -= len(payload)
        if not flags & NO_DATA:
            events.append(Message(stream, payload))
        if flags & REMOTE_CLOSED:
            del self.streams[stream]
            events.append(End(stream))
