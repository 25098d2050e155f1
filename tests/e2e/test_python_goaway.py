"""clients/python against a service that is stopping, to the byte: a call that crossed GOAWAY is sent again, to the next
one, and no other is."""

import asyncio
import contextlib
import os
import socket
import struct
import sys
import threading

import pytest
from conftest import TOP
from google.protobuf import descriptor_pb2
from rawworker import field, fields

sys.path.insert(0, f"{TOP}/clients/python")
import errand  # pylint: disable=wrong-import-position

REQUEST, RESPONSE, DATA, GOAWAY = 1, 2, 3, 0x43
UNAVAILABLE = 14
SAY = "goaway.v1.Goaway/Say"


def schema():
    files = descriptor_pb2.FileDescriptorSet()
    file = files.file.add(name="goaway.proto", package="goaway.v1", syntax="proto3")
    file.message_type.add(name="Word").field.add(name="text", number=1, type="TYPE_STRING", label="LABEL_OPTIONAL")
    methods = file.service.add(name="Goaway").method
    methods.add(name="Say", input_type=".goaway.v1.Word", output_type=".goaway.v1.Word")
    methods.add(name="Tell", input_type=".goaway.v1.Word", output_type=".goaway.v1.Word", server_streaming=True)
    return files.SerializeToString()


class Service(threading.Thread):
    """A service whose connections each do with the call of Say, or of `of`, what their turn is in the script."""

    def __init__(self, path, script, of="Say"):
        super().__init__(daemon=True)
        self.script, self.of, self.calls = script, of, []
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(path)
        self.listener.listen(8)
        self.start()

    def run(self):
        try:
            for turn in self.script:
                self.serve(self.listener.accept()[0], turn)
        except (OSError, struct.error):
            pass  # the client has closed, or the test is over

    def serve(self, conn, turn):
        with conn, conn.makefile("rb") as f:
            while True:
                length, stream, kind, _ = struct.unpack(">IIBB", f.read(10))
                body = dict(fields(f.read(length)))
                if kind != REQUEST:
                    continue
                method = body[2].decode()
                if method == self.of:
                    self.calls.append((method, stream))
                    if turn(conn, stream) is not ON:
                        return
                elif method == "Hello":
                    send(conn, stream, RESPONSE, bytes.fromhex("12020801"))
                elif method == "Get":
                    send(conn, stream, RESPONSE, field(2, field(2, schema())))
                elif method == "Say":
                    answers(conn, stream)


def send(conn, stream, kind, payload):
    conn.sendall(struct.pack(">IIBB", len(payload), stream, kind, 0) + payload)


def goaway(conn, last):
    send(conn, 0, GOAWAY, struct.pack(">I", last))


def refuses(conn, stream):
    send(conn, stream, RESPONSE, field(1, field(1, UNAVAILABLE) + field(2, "no")))


ON = object()


def answers(conn, stream):
    send(conn, stream, RESPONSE, field(2, field(1, str(os.getpid()))))
    return ON


def closes_at_once(conn, stream):
    """As it dies."""


def crosses(conn, stream):
    """GOAWAY was on its way when the request was."""
    goaway(conn, stream - 2)


def crosses_and_is_refused(conn, stream):
    goaway(conn, stream - 2)
    refuses(conn, stream)


def covers(conn, stream):
    """It has begun there, whatever became of it."""
    goaway(conn, stream)


def covers_and_refuses(conn, stream):
    goaway(conn, stream)
    refuses(conn, stream)


def answers_and_goes(conn, stream):
    answers(conn, stream)
    goaway(conn, stream - 2)


def refuses_and_goes(conn, stream):
    """The answer is its method's: GOAWAY came later."""
    refuses(conn, stream)
    goaway(conn, stream - 2)


def call_blocking(path, **kw):
    with errand.Client(path, patience=20) as client:
        return client.call(SAY, text="x", **kw).text


def call_asyncio(path, **kw):
    async def main():
        async with errand.AsyncClient(path, patience=20) as client:
            return (await client.call(SAY, text="x", **kw)).text
    return asyncio.run(main())


@pytest.fixture(params=[call_blocking, call_asyncio], name="call")
def either_client(request):
    return request.param


@contextlib.contextmanager
def service(tmp_path, *script, **kw):
    path = str(tmp_path / "s")
    s = Service(path, script, **kw)
    s.path = path
    try:
        yield s
    finally:
        s.listener.close()


@pytest.mark.parametrize("first", [crosses, crosses_and_is_refused])
def test_what_crossed_is_sent_again(tmp_path, call, first):
    with service(tmp_path, first, first, answers) as s:
        assert call(s.path) == str(os.getpid())
        assert len(s.calls) == 3
        assert call is not call_blocking or s.calls[0][1] == 5  # behind Hello and the schema


@pytest.mark.parametrize("first", [closes_at_once, covers, covers_and_refuses, refuses_and_goes])
def test_what_may_have_begun_is_not(tmp_path, call, first):
    with service(tmp_path, first, answers) as s:
        with pytest.raises(errand.Error) as e:
            call(s.path)
        assert e.value.name == "UNAVAILABLE"
        assert len(s.calls) == 1


def test_what_was_answered_is_not(tmp_path, call):
    with service(tmp_path, answers_and_goes, answers) as s:
        assert call(s.path) == str(os.getpid())
        assert len(s.calls) == 1


def tells(conn, stream):
    for word in ("a", "b"):
        send(conn, stream, DATA, field(1, word))
    send(conn, stream, RESPONSE, b"")
    return ON


def tells_one(conn, stream):
    send(conn, stream, DATA, field(1, "a"))
    covers(conn, stream)


def stream_blocking(path):
    with errand.Client(path, patience=20) as client:
        return [word.text for word in client.stream("goaway.v1.Goaway/Tell", text="x")]


def stream_asyncio(path):
    async def main():
        async with errand.AsyncClient(path, patience=20) as client:
            return [word.text async for word in await client.stream("goaway.v1.Goaway/Tell", text="x")]
    return asyncio.run(main())


@pytest.mark.parametrize("call_stream", [stream_blocking, stream_asyncio])
def test_streams(tmp_path, call_stream):
    with service(tmp_path, crosses, crosses_and_is_refused, tells, of="Tell") as s:
        assert call_stream(s.path) == ["a", "b"]
        assert len(s.calls) == 3
    os.unlink(s.path)
    with service(tmp_path, tells_one, tells, of="Tell") as s:
        with pytest.raises(errand.Error) as e:
            call_stream(s.path)
        assert e.value.name == "UNAVAILABLE"
        assert len(s.calls) == 1


def test_neither_is_the_question_for_the_schema_lost(tmp_path, call):
    with service(tmp_path, crosses, answers_schema, of="Get") as s:
        assert call(s.path) == str(os.getpid())
        assert [m for m, _ in s.calls] == ["Get", "Get"]


def answers_schema(conn, stream):
    send(conn, stream, RESPONSE, field(2, field(2, schema())))
    return ON


def test_all_of_it_in_the_time_of_one_call(tmp_path, call):
    """Nobody answers the second time: the deadline is the first one's."""
    with service(tmp_path, crosses, lambda conn, stream: ON) as s:
        with pytest.raises(errand.Error) as e:
            call(s.path, timeout=0.5)
        assert e.value.name == "DEADLINE_EXCEEDED"
        assert len(s.calls) == 2
