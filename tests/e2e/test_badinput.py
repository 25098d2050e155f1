"""Bad input: each kind has its own clear problem, and memory stays flat."""

import json
import socket
import time

import pytest
from conftest import SANITIZED, in_threads, rss_kb, wait_until


def problem(r, status, *words):
    assert r.status in (status if isinstance(status, tuple) else (status,)), r
    assert r.headers["Content-Type"] == "application/problem+json", r
    p = r.json()
    assert p["status"] == r.status and p["title"] and p["code"], p
    for w in words:
        assert w in r.body.decode(), p
    return p


def test_wrong_type(pair):
    p = problem(pair.post("/test/echo", {"int32_value": "many"}), 422, "#/int32_value")
    assert p["errors"][0]["pointer"] == "#/int32_value"
    problem(pair.get("/items/abc"), (400, 404, 422), "item_id")
    problem(pair.post("/test/echo", {"int32_value": 1 << 31}), 422, "#/int32_value")
    problem(pair.post("/test/echo", {"numbers": {}}), 422, "#/numbers")


def test_unknown_field(pair):
    problem(pair.post("/test/echo", {"int32_valeu": 1}), 422, "#/int32_valeu", "int32_value")
    problem(pair.get("/search?p=1"), (400, 422), "\"p\"")


def test_all_faults_at_once(pair):
    p = problem(pair.post("/test/echo", {"int32_value": "x", "nope": 1, "inner": {"weight": []}}), 422)
    assert {e["pointer"] for e in p["errors"]} == {"#/int32_value", "#/nope", "#/inner/weight"}


def test_malformed_json(pair):
    for body in ("{", "[1]x", '{"a":}', '{"text_value":"a","text_value":"b"}', "nul"):
        problem(pair.post("/test/echo", body), (400, 422))


def test_invalid_utf8_and_surrogates(pair):
    for body in (b'{"text_value":"\xff"}', b'{"text_value":"\\ud800"}', b'{"text_value":"\xc0\x80"}',
                 b'\xff\xfe{\x00}\x00'):
        problem(pair.post("/test/echo", body), (400, 422))


def test_nesting(pair):
    deep = '{"inner":' + '{"next":' * 10000 + "{}" + "}" * 10001
    problem(pair.post("/test/echo", deep), 400, "deep")
    problem(pair.post("/test/echo", '{"any_value":' + "[" * 10000 + "]" * 10000 + "}"), 400)
    ok = '{"inner":' + '{"next":' * 20 + "{}" + "}" * 21
    assert pair.post("/test/echo", ok).status == 200


def test_unknown_method_and_route(pair):
    problem(pair.post("/errandtest.v1.Test/Nope"), 404)
    problem(pair.post("/no.such.Service/Method"), 404)
    problem(pair.get("/no/such/route"), 404)
    r = pair.get("/encode")
    problem(r, 405)
    assert "POST" in r.headers["Allow"]
    r = pair.raw(b"BREW /items/1 HTTP/1.1\r\nHost: x\r\n\r\n")
    assert r.split(b" ")[1] in (b"405", b"501"), r


def test_content_type(pair):
    problem(pair.post("/test/echo", "{}", headers={"Content-Type": "text/plain"}), 415)


def test_oversize(make_pair):
    pair = make_pair(gateway_args=["--max-body", "64K"])
    problem(pair.post("/test/echo", {"text_value": "x" * 70000}), 413)
    r = pair.raw(b"POST /test/echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                 b"Content-Length: 1000000000\r\n\r\n")
    assert b" 413 " in r.split(b"\r\n")[0] + b" ", r
    chunk = b"4000\r\n" + b"x" * 0x4000 + b"\r\n"
    r = pair.raw(b"POST /test/echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                 b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 6)
    assert b" 413 " in r.split(b"\r\n")[0] + b" ", r
    assert b"414" in pair.raw(b"GET /" + b"a" * 70000 + b" HTTP/1.1\r\nHost: x\r\n\r\n").split(b"\r\n")[0]
    r = pair.raw(b"GET /items/1 HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 70000 + b"\r\n\r\n")
    assert b"431" in r.split(b"\r\n")[0], r


def test_half_a_request_and_silence(make_pair):
    pair = make_pair(gateway_args=["--head-timeout", "1s", "--body-timeout", "1s", "--idle-timeout", "2s"])
    halves = (b"GET /items/1 HT", b"GET /items/1 HTTP/1.1\r\nHost: x\r\nX-Y: ",
              b"POST /test/echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
              b"Content-Length: 100\r\n\r\n{", b"")

    def half(i):
        begin = time.monotonic()
        if i < len(halves):
            answer = pair.raw(halves[i], timeout=20)
            assert answer == b"" or answer.startswith(b"HTTP/1.1 408 "), answer
        else:  # one byte every 0.2 s does not put the deadline off
            with socket.create_connection(("127.0.0.1", pair.port), timeout=20) as s, pytest.raises(OSError):
                for byte in b"GET /items/1 HTTP/1.1\r\nHost: x\r\nX-Drip: " + b"a" * 1000:
                    s.send(bytes([byte]))
                    time.sleep(0.2)
        assert time.monotonic() - begin < 10, i
    in_threads(len(halves) + 1, half)
    assert pair.post("/test/echo", {}).status == 200


SMUGGLED = b"GET /SMUGGLED HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize("head", [
    b"POST /test/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 36\r\n\r\n",
    b"POST /test/echo HTTP/1.1\r\nHost: x\r\nContent-Length : 36\r\n\r\n",
    b"POST /test/echo HTTP/1.1\r\nHost: x\r\nContent-Length: +36\r\n\r\n",
    b"POST /test/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n",
    b"POST /test/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n",
    b"HEAD /items/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 36\r\n\r\n",
    b"POST /test/echo HTTP/1.1\r\n\r\n",
    b"POST /test/echo HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    b"POST /test/echo HTTP/1.1\nHost: x\n\n",
    b"POST /test/echo HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
])
def test_smuggling(pair, head):
    """FAULTS 51: refused and closed; what follows is never run."""
    answer = pair.raw(head + SMUGGLED)
    assert answer.split(b" ")[1] in (b"400", b"411", b"413", b"501"), answer
    assert answer.count(b"HTTP/1.1 ") == 1, answer
    with open(pair.path("access.log"), encoding="utf-8") as f:
        assert "SMUGGLED" not in f.read()


def test_garbage_on_the_service_socket(pair):
    """FAULTS 44: closed, and nothing else touched."""
    for data in (b"\0" * 10, b"\xff" * 64, b"\x80\0\0\0\0\0\0\x01\x01\0", b"GET / HTTP/1.1\r\n\r\n",
                 b"\0\0\0\x05\0\0\0\x01\x01\0hello", b"\0\0\0\x05\0\0\0\x02\x01\0hello"):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(5)
            s.connect(pair.socket)
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
            while True:
                try:
                    if not s.recv(4096):
                        break
                except ConnectionResetError:
                    break
    assert pair.post("/test/echo", {"text_value": "fine"}).json()["text_value"] == "fine"


@pytest.mark.skipif(SANITIZED == "thread", reason="ThreadSanitizer's own memory grows")
def test_memory_is_flat(pair):
    bodies = [json.dumps({"int32_value": "x"}), json.dumps({"nope": 1}), "{", b'{"text_value":"\xff"}',
              '{"inner":' + '{"next":' * 10000, json.dumps({"inners": [{}] * 2000})]

    def round_of(n):
        for _ in range(n):
            for body in bodies:
                pair.post("/test/echo", body)
            pair.post("/errandtest.v1.Test/Nope")
            pair.get("/test/echo")
            pair.raw(b"GARBAGE\r\n\r\n")

    round_of(30)
    before = rss_kb(pair.gateway.pid), rss_kb(pair.service.pid)
    round_of(100)
    after = rss_kb(pair.gateway.pid), rss_kb(pair.service.pid)
    limit = 8192 if SANITIZED else 1024
    assert after[0] - before[0] < limit and after[1] - before[1] < limit, (before, after)
    wait_until(lambda: pair.post("/test/echo", {}).status == 200)
