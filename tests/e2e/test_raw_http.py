"""Raw HTTP/1.1 against the real pair, judged by RFC 9110 and 9112 (FAULTS 50-61, 64).

A row is bytes and the statuses that must come back, in order. `close`: the gateway
must end the connection; `open`: the next request on it must be served. After what is
refused a request for /SMUGGLED follows, which must never be run."""

import re
import select
import socket
import struct
import time

import pytest
from conftest import SANITIZED, Pair, fd_count, in_threads, rss_kb, wait_until

SMUGGLED = b"GET /SMUGGLED HTTP/1.1\r\nHost: localhost\r\n\r\n"
H = "Host: localhost\r\n"
JSON = "Content-Type: application/json\r\n"


@pytest.fixture(scope="module")
def pair():
    p = Pair(gateway_args=["--host", "localhost", "--host", "127.0.0.1", "--host", "[::1]"])
    try:
        yield p.start()
    finally:
        p.close()


def send(pair, data, timeout=20, half_close=True):
    """The bytes on a connection of their own, which then sends no more; what comes back to the end."""
    with socket.create_connection(("127.0.0.1", pair.port), timeout=timeout) as s:
        out = b""
        try:
            s.sendall(data)
            if half_close:
                s.shutdown(socket.SHUT_WR)
            while chunk := s.recv(65536):
                out += chunk
        except ConnectionError:
            pass
        return out


class Answer:
    def __init__(self, status, headers, body, closes):
        self.status, self.headers, self.body, self.closes = status, headers, body, closes


def answers(data, heads=()):
    """Splits a connection's bytes into answers; heads are the indexes of HEAD requests."""
    found = []
    while data:
        head, sep, rest = data.partition(b"\r\n\r\n")
        assert sep, data
        lines = head.decode("latin-1").split("\r\n")
        m = re.fullmatch(r"HTTP/1\.1 (\d{3}) [A-Za-z ]+", lines[0])
        assert m, lines[0]
        headers = {}
        for line in lines[1:]:
            name, colon, value = line.partition(": ")
            assert colon and re.fullmatch(r"[A-Za-z0-9-]+", name), line
            assert name.lower() not in headers, line
            headers[name.lower()] = value
        status = int(m[1])
        length = int(headers.get("content-length", 0))
        if status < 200 or status in (204, 304) or len([a for a in found if a.status >= 200]) in heads:
            length = 0
        elif headers.get("transfer-encoding") == "chunked":
            body = b""
            while True:
                size, _, rest = rest.partition(b"\r\n")
                n = int(size, 16)
                body, rest = body + rest[:n], rest[n + 2:]
                if n == 0:
                    break
            found.append(Answer(status, headers, body, headers.get("connection") == "close"))
            data = rest
            continue
        assert status == 100 or "date" in headers or status >= 400, head
        assert len(rest) >= length, "a body cut short"
        found.append(Answer(status, headers, rest[:length], headers.get("connection") == "close"))
        data = rest[length:]
    return found


def get(headers=H, target="/test/echo/1", version="HTTP/1.1", verb="GET"):
    return f"{verb} {target} {version}\r\n{headers}\r\n".encode("latin-1")


def post(headers, body=b"{}", target="/test/echo"):
    return f"POST {target} HTTP/1.1\r\n{H}{JSON}{headers}\r\n".encode("latin-1") + body


def chunked(body, more=""):
    return post(f"Transfer-Encoding: chunked\r\n{more}", body)


NEXT = get(target="/test/echo/2")
OK, BAD = [200], [400]

# name: bytes, statuses. What begins with a refusal must end the connection.
ROWS = {
    # request line (RFC 9112 3)
    "plain": (get(), OK),
    "one empty line before": (b"\r\n" + get(), OK),
    "two empty lines before": (b"\r\n\r\n" + get(), BAD),
    "space before the method": (b" " + get(), BAD),
    "no version (HTTP/0.9)": (b"GET /test/echo/1\r\n\r\n", BAD),
    "no target": (b"GET HTTP/1.1\r\n" + H.encode() + b"\r\n", BAD),
    "two spaces after the method": (get(verb="GET "), BAD),
    "two spaces before the version": (get(target="/test/echo/1 "), BAD),
    "space after the version": (get(version="HTTP/1.1 "), BAD),
    "tab for a space": (b"GET\t/test/echo/1\tHTTP/1.1\r\n" + H.encode() + b"\r\n", BAD),
    "bare LF": (get().replace(b"\r\n", b"\n"), BAD),
    "bare CR": (get().replace(b"\r\n", b"\r"), BAD),
    "lower case version": (get(version="http/1.1"), BAD),
    "HTTP/1.10": (get(version="HTTP/1.10"), BAD),
    "HTTP/1.": (get(version="HTTP/1."), BAD),
    "HTTP/+1.+1": (get(version="HTTP/+1.+1"), BAD),
    "HTTP/1.2 is taken as 1.1": (get(version="HTTP/1.2"), OK),
    "HTTP/2.0": (get(version="HTTP/2.0"), [505]),
    "HTTP/0.9": (get(version="HTTP/0.9"), [505]),
    "HTTP/1.0": (get("", version="HTTP/1.0") + SMUGGLED, OK),
    "HTTP/1.0 keep-alive": (get("Connection: keep-alive\r\n", version="HTTP/1.0") + NEXT, [200, 200]),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", BAD),
    "TLS hello": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x11" * 500, BAD),
    "SOCKS": (b"\x05\x01\x00", BAD),
    "NUL": (b"\0", BAD),
    # methods
    "lower case method": (get(verb="get"), [501]),
    "unknown method": (get(verb="BREW"), [501]),
    "PROPFIND": (get(verb="PROPFIND"), [501]),
    "long method": (get(verb="A" * 5000), [501]),
    "method with a colon": (get(verb="GET:"), BAD),
    "method with a high byte": (get(verb="G\xc9T"), BAD),
    "TRACE": (get(verb="TRACE"), [405]),
    "TRACE with a body": (get(H + f"Content-Length: {len(SMUGGLED)}\r\n", verb="TRACE") + SMUGGLED, [405]),
    "CONNECT": (get(target="localhost:443", verb="CONNECT"), [405]),
    "DELETE where there is none": (get(verb="DELETE"), [405]),
    "OPTIONS *": (get(target="*", verb="OPTIONS"), [204]),
    "OPTIONS of a path": (get(verb="OPTIONS"), [204]),
    "GET *": (get(target="*"), BAD),
    # targets
    "absolute form": (get(target="http://localhost/test/echo/1"), OK),
    "absolute form with a port": (get(target="http://localhost:8080/test/echo/1"), OK),
    "absolute form, scheme in capitals": (get(target="HTTP://localhost/test/echo/1"), OK),
    "absolute form, Host ignored": (get("Host: evil.example\r\n", target="http://localhost/test/echo/1"), OK),
    "absolute form to another host": (get(target="http://evil.example/test/echo/1"), [421]),
    "absolute form without Host": (get("", target="http://localhost/test/echo/1"), BAD),
    "absolute form without a path": (get(target="http://localhost"), [404]),
    "absolute form, OPTIONS of the server": (get(target="http://localhost", verb="OPTIONS"), [204]),
    "absolute form, two requests": (get(target="http://localhost/test/echo/1") + NEXT, [200, 200]),
    "https over plain": (get(target="https://localhost/test/echo/1"), [421]),
    "user in the target": (get(target="http://u:p@localhost/"), BAD),
    "empty host in the target": (get(target="http:///test/echo/1"), BAD),
    "another scheme": (get(target="ftp://localhost/x"), BAD),
    "file": (get(target="file:///etc/passwd"), BAD),
    "authority form": (get(target="localhost:80"), BAD),
    "relative path": (get(target="items/1"), BAD),
    "fragment": (get(target="/test/echo/1#x"), BAD),
    "space in the path": (get(target="/test/echo/1 2"), BAD),
    "backslash": (get(target="/items\\1"), BAD),
    "two slashes first": (get(target="//test/echo/1"), BAD),
    "two slashes within": (get(target="/test/echo//1"), [404]),
    "NUL in the path": (get(target="/test/echo/\0"), BAD),
    "control byte in the path": (get(target="/test/echo/\x01"), BAD),
    "0xFF in the path": (get(target="/test/echo/\xff"), BAD),
    "UTF-8 in the path": (get(target="/test/echo/\xc3\xa9"), BAD),
    "DEL in the query": (get(target="/search?q=\x7f"), BAD),
    "%00": (get(target="/test/echo/%00"), BAD),
    "%zz": (get(target="/test/echo/%zz"), BAD),
    "%2e%2e%2f": (get(target="/%2e%2e%2fetc/passwd"), [404]),
    "/..": (get(target="/../../etc/passwd"), [404]),
    "..;/": (get(target="/..;/etc/passwd"), [404]),
    "overlong UTF-8": (get(target="/test/echo/%c0%af"), BAD),
    "64 KB": (get(target="/" + "a" * 65536), [414]),
    # Host
    "no Host": (get(""), BAD),
    "no Host in 1.0": (get("", version="HTTP/1.0"), OK),
    "two Hosts": (get(H + H), BAD),
    "two Hosts in 1.0": (get(H + H, version="HTTP/1.0"), BAD),
    "Host list": (get("Host: localhost, evil\r\n"), BAD),
    "foreign Host": (get("Host: evil.example\r\n"), [421]),
    "Host with a user": (get("Host: u@localhost\r\n"), BAD),
    "Host with a path": (get("Host: localhost/x\r\n"), BAD),
    "Host with a scheme": (get("Host: http://localhost\r\n"), BAD),
    "Host, port junk": (get("Host: localhost:80x\r\n"), BAD),
    "Host, port out of range": (get("Host: localhost:65536\r\n"), BAD),
    "Host, empty port": (get("Host: localhost:\r\n"), OK),
    "Host, tab before": (get("Host:\tlocalhost\r\n"), OK),
    "Host, space before the colon": (get("Host : localhost\r\n"), BAD),
    "Host, bad literal": (get("Host: [::1\r\n"), BAD),
    "Host, literal": (get("Host: [::1]:80\r\n"), OK),
    # header lines
    "no space after the colon": (get(H + "X:y\r\n"), OK),
    "empty value": (get(H + "X:\r\n"), OK),
    "tabs and spaces around": (get(H + "X: \t y \t\r\n"), OK),
    "obs-text in a value": (get(H + "X: \xff\x80\r\n"), OK),
    "space before the colon": (get(H + "X : y\r\n"), BAD),
    "tab before the colon": (get(H + "X\t: y\r\n"), BAD),
    "empty name": (get(H + ": y\r\n"), BAD),
    "no colon": (get(H + "X\r\n"), BAD),
    "name in brackets": (get(H + "(X): y\r\n"), BAD),
    "high byte in a name": (get(H + "X\xe9: y\r\n"), BAD),
    "NUL in a name": (get(H + "X\0: y\r\n"), BAD),
    "NUL in a value": (get(H + "X: y\0z\r\n"), BAD),
    "bare CR in a value": (get(H + "X: y\rZ: a\r\n"), BAD),
    "bare LF in a value": (get(H + "X: y\nZ: a\r\n"), BAD),
    "escape in a value": (get(H + "X: \x1b[2J\r\n"), BAD),
    "obs-fold": (get(H + "X: y\r\n z\r\n"), BAD),
    "obs-fold by tab": (get(H + "X: y\r\n\tz\r\n"), BAD),
    "first line indented": (get(" X: y\r\n" + H), BAD),
    "line of 64 KB": (get(H + "X: " + "a" * 65536 + "\r\n"), [431]),
    "cookie of 1 MB": (get(H + "Cookie: " + "a" * (1 << 20) + "\r\n"), [431]),
    "30,000 tiny headers": (get(H + "a:\r\n" * 30000), [431]),
    "10,000 of one name": (get(H + "X: y\r\n" * 10000), [431]),
    # Content-Length
    "length twice, the same": (post("Content-Length: 2\r\nContent-Length: 2\r\n"), BAD),
    "length twice, 0 and 31": (post("Content-Length: 0\r\nContent-Length: 31\r\n", b""), BAD),
    "length list": (post("Content-Length: 2, 2\r\n"), BAD),
    "length +2": (post("Content-Length: +2\r\n"), BAD),
    "length -2": (post("Content-Length: -2\r\n"), BAD),
    "length 0x2": (post("Content-Length: 0x2\r\n"), BAD),
    "length 2.0": (post("Content-Length: 2.0\r\n"), BAD),
    "length empty": (post("Content-Length:\r\n"), BAD),
    "length with a space in it": (post("Content-Length: 2 2\r\n"), BAD),
    "length, space before the colon": (post("Content-Length : 2\r\n"), BAD),
    "length 2^64": (post("Content-Length: 18446744073709551616\r\n"), [413]),
    "length 2^64 + 2": (post("Content-Length: 18446744073709551618\r\n"), [413]),
    "length, leading zeros": (post("Content-Length: 0002\r\n") + NEXT, [200, 200]),
    "length, tab before": (post("Content-Length:\t2\r\n") + NEXT, [200, 200]),
    "length, the rest is the next request": (post("Content-Length: 2\r\n") + NEXT, [200, 200]),
    "length too short": (post("Content-Length: 2\r\n", b"{}{}"), [200, 400]),
    # Transfer-Encoding
    "chunked": (chunked(b"2\r\n{}\r\n0\r\n\r\n") + NEXT, [200, 200]),
    "chunked, in capitals": (post("Transfer-Encoding: CHUNKED\r\n", b"2\r\n{}\r\n0\r\n\r\n") + NEXT, [200, 200]),
    "chunked, tabs around": (post("Transfer-Encoding:\tchunked\t\r\n", b"2\r\n{}\r\n0\r\n\r\n") + NEXT, [200, 200]),
    "chunked twice": (post("Transfer-Encoding: chunked\r\n" * 2, b"0\r\n\r\n"), BAD),
    "chunked, chunked": (post("Transfer-Encoding: chunked, chunked\r\n", b"0\r\n\r\n"), BAD),
    "xchunked": (post("Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n"), BAD),
    "gzip, chunked": (post("Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n"), [501]),
    "chunked, gzip": (post("Transfer-Encoding: chunked, gzip\r\n", b"0\r\n\r\n"), BAD),
    "gzip alone": (post("Transfer-Encoding: gzip\r\n", b"0\r\n\r\n"), BAD),
    "identity": (post("Transfer-Encoding: identity\r\n", b"{}"), BAD),
    "chunked with a parameter": (post("Transfer-Encoding: chunked;q=1\r\n", b"0\r\n\r\n"), BAD),
    "trailing comma": (post("Transfer-Encoding: chunked,\r\n", b"0\r\n\r\n"), BAD),
    "vertical tab": (post("Transfer-Encoding: chunked\x0b\r\n", b"0\r\n\r\n"), BAD),
    "coding, space before the colon": (post("Transfer-Encoding : chunked\r\n", b"0\r\n\r\n"), BAD),
    "chunked with a length": (post("Transfer-Encoding: chunked\r\nContent-Length: 2\r\n", b"0\r\n\r\n"), BAD),
    "a length and chunked": (post("Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"), BAD),
    "chunked in 1.0": (b"POST /test/echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", BAD),
    # chunks (RFC 9112 7.1)
    "chunk 0x2": (chunked(b"0x2\r\n{}\r\n0\r\n\r\n"), BAD),
    "chunk +2": (chunked(b"+2\r\n{}\r\n0\r\n\r\n"), BAD),
    "chunk -2": (chunked(b"-2\r\n{}\r\n0\r\n\r\n"), BAD),
    "chunk with a space before": (chunked(b" 2\r\n{}\r\n0\r\n\r\n"), BAD),
    "chunk with a space after": (chunked(b"2 \r\n{}\r\n0\r\n\r\n"), BAD),
    "chunk of 17 digits": (chunked(b"00000000000000002\r\n{}\r\n0\r\n\r\n"), BAD),
    "chunk of 2^64": (chunked(b"10000000000000000\r\n"), BAD),
    "chunk of 2^64 - 1": (chunked(b"ffffffffffffffff\r\n"), [413]),
    "chunk with zeros": (chunked(b"0002\r\n{}\r\n000\r\n\r\n") + NEXT, [200, 200]),
    "chunk without CRLF": (chunked(b"2\r\n{}0\r\n\r\n"), BAD),
    "chunk, bare LF": (chunked(b"2\n{}\n0\n\n"), BAD),
    "chunk longer than its size": (chunked(b"1\r\n{}\r\n0\r\n\r\n"), BAD),
    "chunk, empty line between": (chunked(b"2\r\n{}\r\n\r\n0\r\n\r\n"), BAD),
    "chunk without a size": (chunked(b"\r\n"), BAD),
    "chunk extension": (chunked(b"2;a=b\r\n{}\r\n0;c\r\n\r\n") + NEXT, [200, 200]),
    "chunk extension, quoted": (chunked(b'2 ; a="b;\\"c" ;d\r\n{}\r\n0\r\n\r\n') + NEXT, [200, 200]),
    "chunk extension, malformed": (chunked(b"2;\r\n{}\r\n0\r\n\r\n"), BAD),
    "chunk extension, bare LF": (chunked(b"2;a\n{}\r\n0\r\n\r\n"), BAD),
    "chunk extension of 1 MB": (chunked(b"2;" + b"a" * (1 << 20) + b"\r\n{}\r\n0\r\n\r\n"), BAD),
    "trailer": (chunked(b"2\r\n{}\r\n0\r\nX-Sum: 1\r\n\r\n") + NEXT, [200, 200]),
    "trailer that would frame": (chunked(b"2\r\n{}\r\n0\r\nContent-Length: 99\r\n\r\n") + NEXT, [200, 200]),
    "trailer, malformed": (chunked(b"2\r\n{}\r\n0\r\nX : 1\r\n\r\n"), BAD),
    "trailer of 64 KB": (chunked(b"2\r\n{}\r\n0\r\nX: " + b"a" * 65536 + b"\r\n\r\n"), [431]),
    # bodies where there are usually none
    "HEAD with a body": (get(H + f"Content-Length: {len(SMUGGLED)}\r\n", verb="HEAD") + SMUGGLED, BAD),
    "HEAD, chunked": (get(H + "Transfer-Encoding: chunked\r\n", verb="HEAD") + b"0\r\n\r\n", BAD),
    "OPTIONS with a body": (get(H + f"Content-Length: {len(SMUGGLED)}\r\n", verb="OPTIONS") + SMUGGLED + NEXT,
                            [204, 200]),
    "DELETE with a body": (get(H + f"Content-Length: {len(SMUGGLED)}\r\n", verb="DELETE") + SMUGGLED + NEXT,
                           [405, 200]),
    # Expect (RFC 9110 10.1.1)
    "Expect of something else": (post("Expect: tea\r\nContent-Length: 2\r\n"), [417]),
    "Expect of two things": (post("Expect: 100-continue, tea\r\nContent-Length: 2\r\n"), [417]),
    "Expect in 1.0": (b"GET /test/echo/1 HTTP/1.0\r\nExpect: 100-continue\r\n\r\n", OK),
    "Expect without a body": (get(H + "Expect: 100-continue\r\n"), OK),
    # the connection (RFC 9112 9)
    "Connection: close": (get(H + "Connection: close\r\n") + SMUGGLED, OK),
    "Connection: CLOSE in a list": (get(H + "Connection: x ,\tCLOSE\r\n") + SMUGGLED, OK),
    "Connection: closed": (get(H + "Connection: closed\r\n") + NEXT, [200, 200]),
    "Upgrade is ignored": (get(H + "Connection: Upgrade\r\nUpgrade: h2c\r\n") + NEXT, [200, 200]),
    "Upgrade to websocket": (get(H + "Connection: Upgrade\r\nUpgrade: websocket\r\n") + NEXT, [200, 200]),
    "good, then bad": (NEXT + post("Content-Length: 2\r\n") + get("") + SMUGGLED, [200, 200, 400]),
}


# Refused by its route, not by its form: the connection goes on.
ROUTED = {"%zz", "%00", "overlong UTF-8", "lower case method", "unknown method", "PROPFIND"}
FORM = (400, 413, 414, 417, 431, 501, 505)


@pytest.mark.parametrize("name", ROWS)
def test_rows(pair, name):
    raw, want = ROWS[name]
    refused = want[-1] in FORM and name not in ROUTED
    heads = (0,) if raw.startswith(b"HEAD") else ()
    got = answers(send(pair, raw + (SMUGGLED if refused else b""), half_close=not refused), heads)
    assert [a.status for a in got] == want, [(a.status, a.body) for a in got]
    for a in got:
        if a.status >= 400:
            assert a.headers["content-type"] == "application/problem+json"
        if a.status == 405:
            assert "GET" in a.headers["allow"] or "POST" in a.headers["allow"]
    assert got[-1].closes or not refused
    with open(pair.path("access.log"), encoding="utf-8") as f:
        assert "SMUGGLED" not in f.read()


def test_bytes_one_by_one(pair):
    """How the bytes come makes no difference: one at a time, in one segment each."""
    raw = (b"\r\n" + get(H + "X:\t y\r\n") + chunked(b"1;a=b\r\n{\r\n1\r\n}\r\n0\r\nT: u\r\n\r\n") +
           get(target="http://localhost/test/echo/1") + get(H + "Connection: close\r\n"))
    with socket.create_connection(("127.0.0.1", pair.port), timeout=20) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in raw:
            s.send(bytes([byte]))
        out = b""
        while chunk := s.recv(65536):
            out += chunk
    assert [a.status for a in answers(out)] == [200] * 4


def test_pipeline_of_a_thousand(pair):
    """FAULTS 58: answers in the order of their requests, methods and sizes mixed."""
    n = 1000
    raw = b"".join(
        get(target=f"/test/echo/n{i}") if i % 3 else
        post(f"Content-Length: {len(body)}\r\n", body)
        for i in range(n) for body in [b'{"text_value":"n%d"}' % i])
    got = answers(send(pair, raw, timeout=60))
    assert [a.status for a in got] == [200] * n
    for i, a in enumerate(got):
        assert b'"n%d"' % i in a.body


@pytest.mark.parametrize("path", ["/items/1", "/items/99999999999999999999", "/no/such", "/livez", "/readyz",
                                  "/openapi.json", "/test/echo/a", "/search?q=a", "/test/echo"])
def test_head_is_get_without_its_body(pair, path):
    """FAULTS 59."""
    def ask(verb):
        raw = get(H + "Connection: close\r\nX-Request-Id: fixed\r\n", target=path, verb=verb)
        a = answers(send(pair, raw), (0,) if verb == "HEAD" else ())
        assert len(a) == 1
        a[0].headers.pop("date")
        return a[0]
    head, body = ask("HEAD"), ask("GET")
    assert head.status == body.status
    if body.status == 405:  # the detail names the method
        head.headers.pop("content-length"), body.headers.pop("content-length")
    assert head.headers == body.headers
    assert head.body == b"" and len(body.body) > 0


def talk(pair, data, until=b"\r\n\r\n"):
    """A connection on which these bytes were sent and something has come back."""
    s = socket.create_connection(("127.0.0.1", pair.port), timeout=10)
    s.sendall(data)
    out = b""
    while until not in out:
        chunk = s.recv(65536)
        if not chunk:
            break
        out += chunk
    return s, out


EXPECT = "Expect: 100-continue\r\nContent-Length: 2\r\n"


@pytest.mark.parametrize("raw,status", [
    (post(EXPECT, b"", target="/no/such/route"), 404),
    (get(H + JSON + EXPECT, target="/encode"), 405),
    (f"POST /test/echo HTTP/1.1\r\n{H}Content-Type: text/plain\r\n{EXPECT}\r\n".encode(), 415),
    (f"POST /test/echo HTTP/1.1\r\nHost: evil.example\r\n{JSON}{EXPECT}\r\n".encode(), 421),
    (post("Expect: 100-continue\r\nContent-Length: 99999999\r\n", b""), 413),
    (f"POST /livez HTTP/1.1\r\n{H}{EXPECT}\r\n".encode(), 405),
    (f"POST /test/echo HTTP/1.1\r\n{H}{JSON}Expect: 100-continue\r\nOrigin: http://evil.example\r\n"
     f"Content-Length: 2\r\n\r\n".encode(), 403),
    (f"POST /no/such HTTP/1.1\r\n{H}Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n".encode(), 404),
])
def test_refused_without_100(pair, raw, status):
    """FAULTS 60: the final status at once, the connection's end, and no 100."""
    s, out = talk(pair, raw)
    with s:
        while chunk := s.recv(65536):
            out += chunk
    got = answers(out)
    assert [a.status for a in got] == [status] and got[0].closes, out


@pytest.mark.parametrize("expect", ["100-continue", "100-Continue"])
def test_100_then_the_answer(pair, expect):
    head = post(f"Expect: {expect}\r\nContent-Length: 20\r\n", b"")
    for data in (head, get(target="/test/echo/1") + head):  # also behind another request
        s, out = talk(pair, data, until=b" 100 Continue\r\n\r\n")
        with s:
            assert out.endswith(b"HTTP/1.1 100 Continue\r\n\r\n"), out
            s.sendall(b'{"text_value":"abc"}' + get(H + "Connection: close\r\n"))
            while chunk := s.recv(65536):
                out += chunk
        got = [a for a in answers(out)]
        assert [a.status for a in got][-3:] == [100, 200, 200] and b'"abc"' in got[-2].body


def test_100_is_left_out_when_the_body_is_there(pair):
    got = answers(send(pair, post(EXPECT)))
    assert [a.status for a in got] == [200]


def test_100_waits_for_the_answers_before(pair):
    """Not between a request and its answer."""
    s, out = talk(pair, post('Content-Length: 10\r\n', b'{"ms":300}', target="/test/wait") + post(EXPECT, b""),
                  until=b" 100 Continue\r\n\r\n")
    with s:
        s.sendall(b"{}")
        while out.count(b"HTTP/1.1 ") < 3:
            out += s.recv(65536)
    assert [a.status for a in answers(out)] == [200, 100, 200]


def test_gone_in_every_phase(pair):
    """FAULTS 61: with FIN and with RST, before, within and after a request."""
    raw = post(EXPECT, b"{}") + post('Content-Length: 10\r\n', b'{"ms":500}', target="/test/wait") + \
        chunked(b"2;a=b\r\n{}\r\n0\r\nX: y\r\n\r\n") + get(target="/test/stream?count=1000&size=1000")
    for i in range(0, len(raw) + 1, 3):
        s = socket.create_connection(("127.0.0.1", pair.port))
        s.sendall(raw[:i])
        if i % 2:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.close()
    assert pair.post("/test/echo", {}).status == 200


def test_half_closed_client_is_answered(pair):
    """FAULTS 61: all that was asked whole, in order, however long it takes; then the end."""
    slow = post('Content-Length: 11\r\n', b'{"ms":1700}', target="/test/wait")
    bad, part = get(""), get()[:-9]
    cases = [(get(), [200])] * 100 + [(get() * 7 + part, [200] * 7), (get() + bad, [200, 400]), (bad, [400]),
                                      (part, []), (post("Content-Length: 2\r\n") * 40, [200] * 40)] * 5
    for raw, want in cases + [(slow + get(), [200, 200])]:
        assert [a.status for a in answers(send(pair, raw))] == want
    stream = get(H + "Accept: application/x-ndjson\r\n", target="/test/stream?count=3&size=9&interval_ms=800")
    got = answers(send(pair, stream + get()))
    assert [a.status for a in got] == [200, 200] and got[0].body.count(b'"index"') == 3
    large = post("Content-Length: 60017\r\n", b'{"text_value":"' + b"x" * 60000 + b'"}')
    assert [a.status for a in answers(send(pair, large * 30))] == [200] * 30


def open_sockets(pair):
    """What the gateway holds; its own listening sockets and uplinks included."""
    return fd_count(pair.gateway.pid)


def test_a_thousand_that_drip(make_pair):
    """FAULTS 52: in the request line, the headers, the body and a chunk's line."""
    pair = make_pair(gateway_args=["--head-timeout", "1s", "--body-timeout", "1s", "--idle-timeout", "2s",
                                   "--access-log", "off"])
    n = 1000 if not SANITIZED else 400
    starts = [b"GET /test/echo/", get()[:-2] + b"X-Drip: ", post("Content-Length: 4000\r\n", b"{"),
              chunked(b"2;a="), b""]
    begin = time.monotonic()
    socks = []
    for i in range(n):
        s = socket.create_connection(("127.0.0.1", pair.port), timeout=30)
        s.sendall(starts[i % len(starts)])
        s.setblocking(False)
        socks.append(s)
    live, slowest, statuses = set(socks), 0.0, []
    poll = select.epoll()
    by_fd = {s.fileno(): s for s in socks}
    for fd in by_fd:
        poll.register(fd, select.EPOLLIN)
    next_drip = begin
    while live:
        assert time.monotonic() - begin < 25, len(live)
        for fd, _ in poll.poll(0.05):
            s = by_fd[fd]
            try:
                data = s.recv(4096)
            except OSError:
                data = b""
            if data:
                statuses.append(data[9:12])
            else:
                poll.unregister(fd)
                live.discard(s)
                s.close()
        if time.monotonic() >= next_drip:
            next_drip = time.monotonic() + 0.25
            for s in list(live):
                try:
                    if starts[socks.index(s) % len(starts)]:
                        s.send(b"a")
                except OSError:
                    pass
            t = time.monotonic()
            assert pair.get("/test/echo/1").status == 200
            slowest = max(slowest, time.monotonic() - t)
    assert set(statuses) <= {b"408"}, set(statuses)
    assert len(statuses) >= n * 3 // 5
    assert slowest < (1 if not SANITIZED else 5), slowest
    wait_until(lambda: open_sockets(pair) < 60, what="all closed")


def cpu_s(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
        fields = f.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


@pytest.mark.parametrize("endless", [
    chunked(b"") + b"1" * (8 << 20), chunked(b"") + b"\r\n" * (4 << 20),
    chunked(b"1;") + b"a" * (8 << 20), chunked(b"") + b"0\r\n" + b"X:y\r\n" * (1 << 20),
    b"\r\n" * (4 << 20), b"GET /" + b"a" * (8 << 20), get(H)[:-2] + b"a:\r\n" * (2 << 20),
], ids=["digits", "empty lines", "extension", "trailers", "before", "target", "headers"])
def test_endless(pair, endless):
    """FAULTS 55, 56: refused at once, without memory or CPU for what follows."""
    rss, cpu = rss_kb(pair.gateway.pid), cpu_s(pair.gateway.pid)
    out = send(pair, endless, timeout=20)
    assert out == b"" or out[9:12] in (b"400", b"431", b"414"), out[:100]
    assert cpu_s(pair.gateway.pid) - cpu < (2 if SANITIZED else 0.5)
    assert rss_kb(pair.gateway.pid) - rss < (16384 if SANITIZED else 4096)


def test_extensions_cost_little(pair):
    """As many small chunks with extensions as are taken."""
    body = b"".join(b"1;a=b\r\n" + c + b"\r\n" for c in [b"{"] + [b" "] * 1000 + [b"}"]) + b"0\r\n\r\n"
    cpu = cpu_s(pair.gateway.pid)
    got = answers(send(pair, chunked(body) * 20))
    assert [a.status for a in got] == [200] * 20
    assert cpu_s(pair.gateway.pid) - cpu < (5 if SANITIZED else 1)


def test_churn(pair):
    """FAULTS 64: connections opened and closed for three seconds leave nothing."""
    def churn(i, seconds):
        n, end = 0, time.monotonic() + seconds
        while time.monotonic() < end:
            s = socket.create_connection(("127.0.0.1", pair.port))
            if n % 3 == 0:
                s.sendall(get())
            elif n % 3 == 1:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            s.close()
            n += 1
        return n
    in_threads(4, lambda i: churn(i, 1.5))  # as many at once as there will be
    wait_until(lambda: pair.get("/livez").status == 200)
    fds, rss = fd_count(pair.gateway.pid), rss_kb(pair.gateway.pid)
    total = sum(in_threads(4, lambda i: churn(i, 3)))
    assert total > 1000, total
    wait_until(lambda: fd_count(pair.gateway.pid) <= fds + 5, what="descriptors given back")
    # a connection is 1.5 KB and more: one leaked each would be over 20 MB (LeakSanitizer looks at the exit)
    assert SANITIZED or rss_kb(pair.gateway.pid) - rss < max(total, 10240)
