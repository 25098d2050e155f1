"""Methods of `custom` routes, which evhttp has no names for: over HTTP as `errand routes`
says, and framed as any other request however the bytes come."""

import json
import re
import socket

import pytest

LONG = "SUBSCRIBE-WITH-NAME1"  # 20 bytes, the longest there is
UNLOCK = b"UNLOCK /test/any/u HTTP/1.1\r\nHost: localhost\r\n\r\n"
ANSWER = re.compile(rb"HTTP/1\.1 (\d\d\d) [^\r]*\r\n(.*?)\r\n\r\n((?:(?!HTTP/1\.1 ).)*)", re.S)


def lock(body=b"", verb="LOCK", target="/test/lock/x", headers=""):
    if body:
        headers += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return f"{verb} {target} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n".encode() + body


LAST = lock(target="/test/lock/last", headers="Connection: close\r\n")


def answers(out):
    return [(int(status), json.loads(body) if body else None) for status, _, body in ANSWER.findall(out)]


def test_lock(pair):
    r = pair.request("LOCK", "/test/lock/x?int32_value=7", {"label": "in"})
    assert r.status == 200, r
    assert (r.json()["text_value"], r.json()["int32_value"], r.json()["inner"]["label"]) == ("x", 7, "in")
    assert pair.request("LOCK", "/test/lock/x").status == 200
    r = pair.request(LONG, "/test/lock/y", {"int32_value": 3})
    assert (r.status, r.json()["text_value"], r.json()["int32_value"]) == (200, "y", 3)
    assert pair.request("BREW", "/test/any/x").status == 200


@pytest.mark.parametrize("verb,path,status,allow", [
    ("POST", "/test/lock/x", 405, f"LOCK, {LONG}, OPTIONS"),
    ("LOCK", "/test/echo", 405, "POST, OPTIONS"),
    ("LOCK", "/no/such/path", 404, None),
    ("LOCK", "/livez", 405, "GET, HEAD"),
    ("lock", "/test/lock/x", 501, None),
    ("BREW", "/test/lock/x", 501, None),
    ("BREW", "/no/such/path", 501, None),
    (LONG + "2", "/test/lock/x", 501, None),
    ("TRACE", "/test/any/x", 405, "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
    ("OPTIONS", "/test/lock/x", 204, f"LOCK, {LONG}, OPTIONS"),
])
def test_refused(pair, verb, path, status, allow):
    r = pair.request(verb, path)
    assert (r.status, r.headers.get("Allow")) == (status, allow), r


def test_pipeline(pair):
    """Each request keeps its own method and body, in one read or byte by byte."""
    echo = b'{"text_value":"p"}'
    requests = [
        lock(b'{"label":"1"}'), lock(echo, "POST", "/test/echo"), UNLOCK,
        lock(b'{"label":"GET / HTTP/1.1\\r\\n"}', target="/test/lock/2"),
        b"GET /test/echo/g HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"LOCK /test/lock/3 HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n5;x=y\r\n{\"lab\r\n8\r\nel\":\"3\"}\r\n0\r\nx: y\r\n\r\n",
        lock(echo, "BREW"), LAST]
    want = [(200, "x"), (200, "p"), (200, "u"), (200, "2"), (200, "g"), (200, "3"), (501, None), (200, "last")]
    raw = b"".join(requests)
    for step in (len(raw), 1, 7, 100):
        with socket.create_connection(("127.0.0.1", pair.port), timeout=20) as s:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for i in range(0, len(raw), step):
                s.sendall(raw[i:i + step])
            out = b"".join(iter(lambda: s.recv(65536), b""))
        assert [(st, body.get("text_value")) for st, body in answers(out)] == want, (step, out)


@pytest.mark.parametrize("headers,body", [
    ("Content-Length: 2\r\nContent-Length: 3\r\n", b"{}"), ("Transfer-Encoding: gzip\r\n", b""),
    ("Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", b"{}"), ("Content-Length: -1\r\n", b""),
])
def test_framing_refused(pair, headers, body):
    out = pair.raw(f"LOCK /test/lock/x HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n".encode() + body + LAST)
    assert len(answers(out)) == 1 and answers(out)[0][0] in (400, 501), out


def test_expect(pair):
    """The head alone is judged by its true method."""
    head = "Content-Type: application/json\r\nContent-Length: 13\r\nExpect: 100-continue\r\n"
    with socket.create_connection(("127.0.0.1", pair.port), timeout=20) as s:
        s.sendall(lock(headers=head))
        assert s.recv(4096).startswith(b"HTTP/1.1 100 ")
        s.sendall(b'{"label":"e"}' + LAST)
        out = b"".join(iter(lambda: s.recv(65536), b""))
    assert [(st, b["text_value"]) for st, b in answers(out)] == [(200, "x"), (200, "last")], out
    assert answers(out)[0][1]["inner"]["label"] == "e"
    assert answers(pair.raw(lock(verb="BREW", headers=head)))[0][0] == 501
    assert answers(pair.raw(lock(target="/test/echo", headers=head)))[0][0] == 405


def test_preflight(make_pair):
    pair = make_pair(gateway_args=["--cors-origin", "https://app.example"])
    r = pair.request("OPTIONS", "/test/lock/x", headers={
        "Origin": "https://app.example", "Access-Control-Request-Method": "LOCK"})
    assert r.status == 204 and "LOCK" in r.headers["Access-Control-Allow-Methods"].split(", ")
    assert pair.request("LOCK", "/test/lock/x", headers={"Origin": "https://evil.example"}).status == 403
