"""clients/python/errand/wire.py: the protocol without I/O, and what a peer may not send."""

import struct
import sys

import pytest
from conftest import TOP

sys.path.insert(0, f"{TOP}/clients/python")
from errand import wire  # pylint: disable=wrong-import-position
from errand.wire import (CANCEL, CREDIT, DATA, GOAWAY, NO_DATA, PING, REMOTE_CLOSED, REQUEST, RESPONSE, End, Error,
                         Message, ProtocolError)


def frame(stream, kind, flags=0, payload=b""):
    return struct.pack(">IIBB", len(payload), stream, kind, flags) + payload


def frames(data):
    out = []
    while data:
        length, stream, kind, flags = struct.unpack_from(">IIBB", data)
        out.append((stream, kind, flags, data[10:10 + length]))
        data = data[10 + length:]
    return out


def opened(window=wire.WINDOW, extended=True):
    """A connection whose Hello was answered."""
    c = wire.Connection(window)
    assert [(s, k) for s, k, _, _ in frames(c.take_outgoing())] == [(1, REQUEST)]
    hello = bytes.fromhex("12020801") if extended else bytes.fromhex("0a02080c")  # version 1; UNIMPLEMENTED
    assert c.feed(frame(1, RESPONSE, 0, hello)) == []
    assert c.extended == extended
    return c


def test_hello_as_the_document_has_it():
    c = wire.Connection()
    (_, _, _, payload), = frames(c.take_outgoing())
    assert payload.startswith(b"\x0a\x19errand.wire.v1.Connection\x12\x05Hello\x1a")


def test_a_call_as_the_document_has_it():
    c = opened()
    assert c.request("article.v1.Article", "GetItem", b"\x08\x01", 5) == 3
    sent = c.take_outgoing()
    assert sent == bytes.fromhex(
        "00000027 00000003 0100 0a12 61727469636c652e76312e41727469636c65"
        "1207 4765744974656d 1a020801 2080e497d012".replace(" ", ""))
    got = c.feed(bytes.fromhex("000000060000000302000a0012020801"))
    assert got == [Message(3, b"\x08\x01"), End(3)]
    assert c.streams == {}


def test_an_error_as_the_document_has_it():
    c = opened()
    for _ in range(2):
        c.request("a", "b", b"")
    (end,) = c.feed(bytes.fromhex("000000120000000502000a100805120c") + b"no such item")
    assert (end.stream, end.error.code, end.error.name, end.error.message) == (5, 5, "NOT_FOUND", "no such item")
    assert str(end.error) == "NOT_FOUND: no such item"


def test_any_cut_of_the_bytes_is_the_same():
    answer = bytes.fromhex("000000060000000302000a0012020801")
    for cut in range(1, len(answer)):
        c = opened()
        c.request("a", "b", b"")
        assert c.feed(answer[:cut]) + c.feed(answer[cut:]) == [Message(3, b"\x08\x01"), End(3)]


@pytest.mark.parametrize("last, events", [
    (frame(3, RESPONSE), [End(3)]),
    (frame(3, DATA, REMOTE_CLOSED | NO_DATA), [End(3)]),
    (frame(3, DATA, REMOTE_CLOSED, b"z"), [Message(3, b"z"), End(3)]),
])
def test_a_stream_ends_in_each_way(last, events):
    c = opened()
    c.request("a", "b", b"", streaming=True)
    assert frames(c.take_outgoing())[0][2] == REMOTE_CLOSED
    assert c.feed(frame(3, DATA, 0, b"x") + frame(3, DATA) + last) == [Message(3, b"x"), Message(3, b""), *events]
    assert c.feed(frame(3, DATA, 0, b"late")) == []  # crossed the end


def test_a_stream_that_fails():
    c = opened()
    c.request("a", "b", b"", streaming=True)
    (end,) = c.feed(frame(3, RESPONSE, 0, bytes.fromhex("0a020808")))
    assert end.error.name == "RESOURCE_EXHAUSTED"


def test_credit_is_given_in_steps_of_half_a_window():
    c = opened(window=10)
    c.request("a", "b", b"", streaming=True)
    c.take_outgoing()
    c.feed(frame(3, DATA, 0, b"123456") + frame(3, DATA, 0, b"123456"))
    c.consumed(3, 4)
    assert c.take_outgoing() == b""
    c.consumed(3, 8)
    assert frames(c.take_outgoing()) == [(3, CREDIT, 0, struct.pack(">I", 12))]
    c.feed(frame(3, DATA, 0, b"1234567890"))
    with pytest.raises(ProtocolError, match="window"):
        c.feed(frame(3, DATA, 0, b"1"))


def test_what_was_used_before_the_answer_to_hello_is_given_back_after_it():
    c = wire.Connection(window=10)
    c.request("a", "b", b"", streaming=True)
    c.feed(frame(3, DATA, 0, b"12345678"))
    c.consumed(3, 8)
    c.feed(frame(1, RESPONSE, 0, bytes.fromhex("12020801")) + frame(3, DATA, 0, b"1"))
    c.take_outgoing()
    c.consumed(3, 1)
    assert frames(c.take_outgoing()) == [(3, CREDIT, 0, struct.pack(">I", 9))]


def test_cancel_is_said_after_hello_only_and_once():
    c = opened()
    c.request("a", "b", b"")
    c.take_outgoing()
    c.cancel(3)
    c.cancel(3)
    assert frames(c.take_outgoing()) == [(3, CANCEL, 0, b"")]
    assert c.feed(frame(3, RESPONSE, 0, b"\x12\x01x")) == []
    plain = opened(extended=False)
    plain.request("a", "b", b"")
    plain.take_outgoing()
    plain.cancel(3)
    assert plain.take_outgoing() == b""
    assert plain.feed(frame(3, RESPONSE)) == []


def test_ping_and_goaway():
    c = opened()
    c.feed(frame(0, PING, 0, b"12345678"))
    assert frames(c.take_outgoing()) == [(0, PING, REMOTE_CLOSED, b"12345678")]
    c.feed(frame(0, PING, REMOTE_CLOSED, b"12345678"))
    assert c.take_outgoing() == b"" and not c.leaving
    c.feed(frame(0, GOAWAY, 0, b"\0\0\0\1"))
    assert c.leaving


def test_the_added_frames_mean_nothing_without_hello():
    c = opened(extended=False)
    for kind in (PING, GOAWAY, CREDIT, CANCEL):
        assert c.feed(frame(0, kind, 0, b"x")) == []
    assert c.take_outgoing() == b"" and not c.leaving


def test_a_problem_comes_as_it_is():
    c = opened()
    c.request("a", "b", b"")
    url = b"type.googleapis.com/errand.v1.Problem"
    detail = b"\x0a" + bytes([len(url)]) + url + b"\x12\x02\x18\x2a"
    status = b"\x08\x05\x1a\x03\x0a\x01x\x1a" + bytes([len(detail)]) + detail  # another detail before it
    (end,) = c.feed(frame(3, RESPONSE, 0, b"\x0a" + bytes([len(status)]) + status))
    assert end.error.problem == b"\x18\x2a"


def test_metadata_of_an_answer():
    c = opened()
    c.request("a", "b", b"")
    end = c.feed(frame(3, RESPONSE, 0, b"\x82\x04\x08\x0a\x01k\x12\x03abc"))[-1]
    assert end.metadata == {"k": "abc"}


def test_a_code_outside_the_table_is_unknown():
    for code in (b"\x11", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"):
        c = opened()
        c.request("a", "b", b"")
        status = b"\x08" + code
        (end,) = c.feed(frame(3, RESPONSE, 0, b"\x0a" + bytes([len(status)]) + status))
        assert end.error.name == "UNKNOWN"


@pytest.mark.parametrize("bad", [
    struct.pack(">IIBB", wire.MAX_FRAME + 1, 3, RESPONSE, 0),
    struct.pack(">IIBB", 0xFFFFFFFF, 3, 0x77, 0),
    frame(3, REQUEST), frame(2, REQUEST), frame(3, CANCEL),
    frame(0, RESPONSE), frame(2, RESPONSE), frame(9, RESPONSE),
    frame(0, DATA), frame(4, DATA), frame(9, DATA, 0, b"x"),
    frame(3, DATA, 0, b"x"),                                # a unary call
    frame(5, DATA, NO_DATA), frame(5, DATA, NO_DATA | REMOTE_CLOSED, b"x"),
    frame(3, PING, 0, b"12345678"), frame(0, PING, 0, b"1234567"),
    frame(3, GOAWAY, 0, b"\0\0\0\1"), frame(0, GOAWAY, 0, b"\0\0\1"),
    frame(0, CREDIT, 0, b"\0\0\0\1"), frame(5, CREDIT, 0, b"\0\0\1"),
    frame(3, RESPONSE, 0, b"\x12\x05x"),                    # longer than the message
    frame(3, RESPONSE, 0, b"\x12"), frame(3, RESPONSE, 0, b"\xff" * 11), frame(3, RESPONSE, 0, b"\x0b"),
    frame(3, RESPONSE, 0, b"\x10\x05"),                     # a number as the payload
    frame(3, RESPONSE, 0, b"\x0a\x03\x0a\x01x"),            # a text as the code
    frame(3, RESPONSE, 0, b"".join(b"\x82\x04\x04\x0a\x02" + b"%02x" % i for i in range(65))),
], ids=lambda b: b[:14].hex())
def test_what_may_not_come_ends_the_connection(bad):
    c = opened()
    c.request("a", "b", b"")
    c.request("a", "b", b"", streaming=True)
    with pytest.raises(ProtocolError):
        c.feed(bad)


def test_unknown_frames_are_passed_over():
    c = opened()
    assert c.feed(frame(0, 0x77, 0xFF, b"x") + frame(8, 0x04)) == []


def test_an_end_in_the_middle_of_a_frame():
    c = opened()
    c.eof()
    c.feed(b"\0\0")
    with pytest.raises(ProtocolError):
        c.eof()


def test_a_wrong_version_in_the_answer_to_hello():
    c = wire.Connection()
    with pytest.raises(ProtocolError, match="version"):
        c.feed(frame(1, RESPONSE, 0, bytes.fromhex("12020802")))


def test_what_cannot_be_sent_is_refused_before():
    c = opened()
    c.take_outgoing()
    with pytest.raises(Error, match="RESOURCE_EXHAUSTED"):
        c.request("a", "b", bytes(wire.MAX_FRAME))
    with pytest.raises(Error, match="metadata"):
        c.request("a", "b", b"", metadata={str(i): "" for i in range(65)})
    assert c.take_outgoing() == b"" and c.streams == {}


def test_ids_end():
    c = opened()
    c._last = 0xFFFFFFFD  # pylint: disable=protected-access
    assert c.request("a", "b", b"") == 0xFFFFFFFF
    with pytest.raises(Error, match="UNAVAILABLE"):
        c.request("a", "b", b"")


def test_garbage_never_does_more_than_that():
    import random
    rng = random.Random(5)
    for _ in range(3000):
        c = opened(window=64)
        c.request("a", "b", b"")
        c.request("a", "b", b"", streaming=True)
        data = b"".join(frame(rng.choice((0, 1, 2, 3, 3, 5, 5, 7)), rng.choice((1, 2, 2, 3, 3, 0x41, 0x42, 0x43, 9)),
                              rng.choice((0, 0, 1, 4, 5)), rng.randbytes(rng.choice((0, 1, 4, 8, 20)))) for _ in range(4))
        try:
            c.feed(data)
        except ProtocolError:
            pass
