"""What the bytes of requests and answers look like: who may ask, codings, forms, tags."""

import gzip
import hashlib
import http.client
import subprocess

import pytest

from conftest import BUILD, Pair, rss_kb

APP = "https://app.example.org"


@pytest.fixture(scope="module")
def strict():
    """A gateway with its own list of names, and one page that may use it."""
    p = Pair(gateway_args=["--host", "localhost,127.0.0.1", "--host", "[::1]",
                           "--cors-origin", APP])
    try:
        yield p.start()
    finally:
        p.close()


@pytest.fixture(scope="module")
def plain():
    """A gateway as it comes: on loopback, without --host and --cors-origin."""
    p = Pair(any_host=False)
    try:
        yield p.start()
    finally:
        p.close()


# --- Host (FAULTS 62) ---

@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:80", "127.0.0.1:1", "[::1]", "[::1]:8080",
                                  "localhost."])
def test_host_known(strict, plain, host):
    for p in (strict, plain):
        assert p.get("/livez", headers={"Host": host}).status == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example",
                                  "xlocalhost", "10.0.0.1", "[::2]", "127.0.0.1x"])
def test_host_foreign(strict, plain, host):
    for p in (strict, plain):
        for path in ("/livez", "/test/stream?count=1", "/nowhere"):
            r = p.get(path, headers={"Host": host, "X-Forwarded-Host": "localhost"})
            assert r.status == 421, r
            assert r.headers["Content-Type"] == "application/problem+json"
        r = p.post("/test/echo", headers={"Host": host})
        assert r.status == 421, r


def test_host_any(pair):
    assert pair.get("/livez", headers={"Host": "whoever.example"}).status == 200


@pytest.mark.parametrize("args", [["--host", "a/b"], ["--host", "localhost:80"], ["--cors-origin", "example.org"],
                                  ["--cors-origin", "https://a/"], ["--cors-origin", "https://a:"]])
def test_bad_lists(args):
    p = subprocess.run([f"{BUILD}/errand-gateway", *args], capture_output=True, text=True, timeout=20)
    assert p.returncode == 64
    assert args[0] in p.stderr and args[1] in p.stderr


# --- Origin (FAULTS 62) ---

def origin_post(p, **headers):
    headers = {k.replace("_", "-"): v for k, v in headers.items()}
    return p.post("/test/echo", {"text_value": "x"}, headers=headers)


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1", "https://app.example.org:444",
                                    "http://app.example.org", APP + ".evil.example", ""])
def test_origin_foreign(strict, origin):
    assert origin_post(strict, Origin=origin).status == 403
    assert origin_post(strict, Origin=origin, Content_Type="text/plain").status == 403
    assert strict.request("DELETE", "/v1/tasks/x", headers={"Origin": origin}).status == 403
    r = strict.get("/test/stream?count=1", headers={"Origin": origin})  # reading changes nothing
    assert r.status == 200 and "Access-Control-Allow-Origin" not in r.headers


def test_origin_same(strict):
    assert origin_post(strict, Origin=f"http://127.0.0.1:{strict.port}").status == 200
    assert origin_post(strict, Host="localhost:80", Origin="http://localhost").status == 200
    assert origin_post(strict, Host="localhost", Origin="https://localhost").status == 200
    assert origin_post(strict, Host="localhost:81", Origin="http://localhost").status == 403
    assert origin_post(strict).status == 200


def test_fetch_metadata(strict):
    assert origin_post(strict, Sec_Fetch_Site="cross-site").status == 403
    assert origin_post(strict, Sec_Fetch_Site="same-origin").status == 200
    assert origin_post(strict, Sec_Fetch_Site="none").status == 200
    assert origin_post(strict, Sec_Fetch_Site="cross-site", Origin=APP).status == 200


def test_form_post_is_no_call(pair):
    """What a page may send without a preflight is not taken for JSON."""
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        assert pair.post("/test/echo", {}, headers={"Content-Type": kind}).status == 415


# --- CORS ---

def test_cors_answer(strict):
    r = origin_post(strict, Origin=APP)
    assert r.status == 200 and r.headers["Access-Control-Allow-Origin"] == APP
    assert "Location" in r.headers["Access-Control-Expose-Headers"]
    assert "Access-Control-Allow-Credentials" not in r.headers
    assert "Origin" in r.headers["Vary"]
    assert "Origin" in strict.get("/livez").headers["Vary"]
    bad = strict.post("/test/echo", "{", headers={"Origin": APP})
    assert bad.status == 400 and bad.headers["Access-Control-Allow-Origin"] == APP


def preflight(p, path, origin=APP, method="POST", **more):
    return p.request("OPTIONS", path, headers={"Origin": origin, "Access-Control-Request-Method": method, **more})


def test_cors_preflight(strict):
    r = preflight(strict, "/test/echo",
                  **{"Access-Control-Request-Headers": "content-type, X-Evil,authorization"})
    assert r.status == 204 and r.body == b""
    assert r.headers["Access-Control-Allow-Origin"] == APP
    assert "POST" in r.headers["Access-Control-Allow-Methods"]
    assert r.headers["Access-Control-Allow-Headers"] == "content-type, authorization"
    assert int(r.headers["Access-Control-Max-Age"]) > 0
    assert "Origin" in ", ".join(r.headers.get_all("Vary"))
    r = preflight(strict, "/livez", method="GET")
    assert r.headers["Access-Control-Allow-Methods"] == "GET, HEAD"


def test_cors_preflight_of_others(strict, plain):
    for p, origin in ((strict, "https://evil.example"), (plain, APP)):
        r = preflight(p, "/test/echo", origin)
        assert "Access-Control-Allow-Origin" not in r.headers
        assert "Access-Control-Allow-Methods" not in r.headers
    assert "Vary" not in plain.get("/livez").headers


def test_cors_any(make_pair):
    p = make_pair(gateway_args=["--cors-origin", "*"])
    for origin in ("https://whoever.example", "null"):
        r = origin_post(p, Origin=origin)
        assert r.status == 200 and r.headers["Access-Control-Allow-Origin"] == "*"


# --- gzip (FAULTS 66) ---

GZIP = {"Accept-Encoding": "gzip"}


def packed_post(p, data, **more):
    return p.request("POST", "/test/echo", data, headers={"Content-Encoding": "gzip", **more})


def test_packed_answers(pair):
    body = {"text_value": "lorem ipsum " * 1000}
    r = pair.post("/test/echo", body, headers=GZIP)
    assert r.status == 200 and r.headers["Content-Encoding"] == "gzip"
    assert r.headers["Vary"] == "Accept-Encoding"
    assert int(r.headers["Content-Length"]) == len(r.body) < 1000
    plain = pair.post("/test/echo", body)
    assert "Content-Encoding" not in plain.headers and plain.headers["Vary"] == "Accept-Encoding"
    assert gzip.decompress(r.body) == plain.body
    for unwanted in ("gzip;q=0", "br", "identity", "identity, gzip;q=0.5"):
        r = pair.post("/test/echo", body, headers={"Accept-Encoding": unwanted})
        assert r.status == 200 and "Content-Encoding" not in r.headers
    r = pair.post("/test/echo", body, headers={**GZIP, "Accept": "application/proto"})
    assert r.headers["Content-Type"] == "application/proto" and r.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(r.body).startswith(b"\x72")


def test_small_answers_stay(pair):
    r = pair.post("/test/echo", {"text_value": "x"}, headers=GZIP)
    assert "Content-Encoding" not in r.headers
    r = pair.post("/test/echo", {"text_value": "x" * 100}, headers={"Accept-Encoding": "gzip, identity;q=0"})
    assert r.headers["Content-Encoding"] == "gzip" and gzip.decompress(r.body)
    r = pair.post("/test/echo", {"text_value": "x"}, headers={"Accept-Encoding": "identity;q=0"})
    assert r.status == 406
    r = pair.get("/test/stream?count=3", headers=GZIP)
    assert r.status == 200 and "Content-Encoding" not in r.headers and len(r.json()) == 3


def test_packed_requests(pair):
    data = gzip.compress(b'{"text_value":"packed"}')
    assert packed_post(pair, data).json()["text_value"] == "packed"
    two = gzip.compress(b'{"text_value":') + gzip.compress(b'"two"}')
    assert packed_post(pair, two).json()["text_value"] == "two"
    assert packed_post(pair, data, **{"Content-Encoding": "X-GZip"}).status == 200
    for broken in (data[:-1], data + b"x", data[:10], b"{}", data[:-6] + b"\0" + data[-5:]):
        r = packed_post(pair, broken)
        assert r.status == 400 and r.json()["code"] == "INVALID_ARGUMENT", r
    for coding in ("br", "deflate", "gzip, gzip"):
        r = packed_post(pair, data, **{"Content-Encoding": coding})
        assert r.status == 415 and r.headers["Accept-Encoding"] == "gzip, identity", r
    r = packed_post(pair, gzip.compress(b"[1,"))
    assert r.status in (400, 422) and r.json()["errors"]


def test_bombs(pair):
    before = rss_kb(pair.gateway.pid)
    bomb = gzip.compress(b"[" + b" " * (100 << 20), 9)
    for _ in range(5):
        r = packed_post(pair, bomb)
        assert r.status == 413 and r.headers["Content-Type"] == "application/problem+json"
    assert pair.get("/livez").status == 200
    assert rss_kb(pair.gateway.pid) - before < 40_000


def test_gzip_off(make_pair):
    p = make_pair(gateway_args=["--gzip", "off"])
    r = p.post("/test/echo", {"text_value": "x" * 5000}, headers=GZIP)
    assert r.status == 200 and "Content-Encoding" not in r.headers and "Vary" not in r.headers
    r = packed_post(p, gzip.compress(b"{}"))
    assert r.status == 415 and r.headers["Accept-Encoding"] == "identity"
    bad = subprocess.run([f"{BUILD}/errand-gateway", "--gzip", "maybe"], capture_output=True, timeout=20)
    assert bad.returncode == 64 and b"--gzip maybe" in bad.stderr


# --- entity tags ---

def test_tags_of_get(pair):
    path = "/test/echo/a"
    r = pair.get(path)
    tag = r.headers["ETag"]
    assert r.status == 200 and tag.startswith('W/"')
    assert r.headers["Vary"] == "Accept, Accept-Encoding"
    assert pair.get(path).headers["ETag"] == tag
    assert pair.get("/test/echo/b").headers["ETag"] != tag
    assert pair.get(path, headers={"Accept": "application/x-protobuf"}).headers["ETag"] != tag
    for known in (tag, tag[2:], f'"x", {tag}', "*"):
        again = pair.get(path, headers={"If-None-Match": known})
        assert again.status == 304 and again.body == b"" and again.headers["ETag"] == tag
        assert again.headers["Vary"] == r.headers["Vary"]
        assert pair.request("HEAD", path, headers={"If-None-Match": known}).status == 304
    assert pair.get(path, headers={"If-None-Match": '"x"'}).status == 200
    head = pair.request("HEAD", path)
    assert head.headers["ETag"] == tag and head.headers["Content-Length"] == str(len(r.body))
    assert "ETag" not in pair.post("/test/echo", {}).headers
    assert "ETag" not in pair.get("/test/echo/a?int32_value=x").headers


def test_strong_tags_tell_packed_answers(pair):
    """A task's own tag, on an answer that is large enough to be packed."""
    task = pair.submit("/test/task-echo", {"text_value": "y" * 5000})
    pair.wait_task(task)
    path = f"/v1/tasks/{task}"
    plain = pair.get(path)
    tag = plain.headers["ETag"]
    assert tag.startswith('"') and plain.headers["Cache-Control"] == "no-store"
    packed = pair.get(path, headers=GZIP)
    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.headers["ETag"] == tag[:-1] + '--gzip"'
    for known in (tag, packed.headers["ETag"]):
        for more in ({}, GZIP):
            assert pair.get(path, headers={"If-None-Match": known, **more}).status == 304


# --- Content-Type and Accept ---

def test_protobuf_both_ways(pair):
    wire = b"\x72\x01x"
    for kind in ("application/x-protobuf", "application/protobuf", "application/proto"):
        r = pair.post("/test/echo", wire, headers={"Content-Type": kind, "Accept": kind})
        assert r.status == 200 and r.headers["Content-Type"] == kind and r.body == wire
    r = pair.post("/test/echo", wire, headers={"Content-Type": "application/proto"})
    assert r.json()["text_value"] == "x"
    r = pair.post("/test/echo", b"\x72\x05x", headers={"Content-Type": "application/proto", "Accept": "application/proto"})
    assert r.status == 400 and r.headers["Content-Type"] == "application/problem+json"
    for bad in (b"\x72\x01\xff", b"\x72\x01\x00", b"\x0b" * 200, b"\xff"):
        assert pair.post("/test/echo", bad, headers={"Content-Type": "application/proto"}).status == 400


def test_content_type_to_the_letter(pair):
    def status(*lines):
        head = "".join(f"{line}\r\n" for line in lines)
        out = pair.raw(f"POST /test/echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{head}Content-Length: 2\r\n\r\n{{}}".encode())
        return int(out.split()[1])
    assert status("Content-Type: application/json") == 200
    assert status("Content-Type: Application/JSON ; Charset=\"UTF-8\"") == 200
    assert status("Content-Type: application/json; profile=\"a;charset=latin1\"") == 200
    assert status() == 415
    assert status("Content-Type:") == 415
    assert status("Content-Type: application/json; charset=iso-8859-1") == 415
    assert status("Content-Type: application/json; charset=utf-8; charset=utf-16") == 415
    assert status("Content-Type: application/json, text/plain") == 415
    assert status("Content-Type: application/json", "Content-Type: application/json") == 400


# --- google.api.HttpBody ---

PNG = b"\x89PNG\r\n\x1a\n\0\xff" * 3


def test_raw_whole_body(pair):
    r = pair.post("/test/raw", PNG, headers={"Content-Type": "image/png"})
    assert r.status == 200 and r.headers["Content-Type"] == "image/png" and r.body == PNG
    assert r.headers["X-Content-Type-Options"] == "nosniff"
    for kind in ("application/json", "application/proto", "text/plain; charset=latin1", "x"):
        r = pair.post("/test/raw", b"{not json", headers={"Content-Type": kind, "Accept": "image/*"})
        assert r.status == 200 and r.headers["Content-Type"] == kind and r.body == b"{not json"
    r = pair.request("POST", "/test/raw", b"", headers={})
    assert r.status == 200 and r.headers["Content-Type"] == "application/octet-stream" and r.body == b""
    r = pair.post("/test/raw", gzip.compress(PNG), headers={"Content-Type": "image/png", "Content-Encoding": "gzip"})
    assert r.body == PNG


def test_raw_field(pair):
    r = pair.post("/test/raw/picture", PNG, headers={"Content-Type": "image/png"})
    assert r.status == 200 and r.headers["Content-Type"] == "image/png" and r.body == PNG
    r = pair.get("/test/raw/picture")
    assert r.status == 200 and r.body == b"" and r.headers["ETag"]
    assert pair.get("/test/raw/picture", headers={"If-None-Match": r.headers["ETag"]}).status == 304


def test_raw_has_its_json_by_name(pair):
    """POST /pkg.Service/Method speaks ProtoJSON, whatever the message is."""
    body = {"content_type": "text/css", "data": "YQ=="}
    r = pair.post("/errandtest.v1.Test/Raw", body)
    assert r.status == 200 and r.headers["Content-Type"] == "application/json"
    assert r.json()["data"] == "YQ=="


def test_raw_type_is_checked(pair):
    """FAULTS 63: what a handler gives as a content type cannot begin a header of its own."""
    r = pair.post("/test/raw-typed", {"file": {"content_type": "text/html", "data": "PGI+"}})
    assert r.status == 200 and r.headers["Content-Type"] == "text/html" and r.body == b"<b>"
    for bad in ("text/html\r\nSet-Cookie: a=b", "text/\nhtml", "text/\u00e9", "x" * 300):
        r = pair.post("/test/raw-typed", {"file": {"content_type": bad, "data": "PGI+"}})
        assert r.status == 500 and r.headers["Content-Type"] == "application/problem+json"
        assert "Set-Cookie" not in r.headers


def test_raw_stream(pair):
    r = pair.get("/test/raw-stream?count=3")
    assert r.status == 200 and r.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert r.body == b"line 0\nline 1\nline 2\n"
    assert pair.get("/test/raw-stream?count=0&fail_code=5").status == 404
    with pytest.raises(http.client.IncompleteRead):  # an error can only show as an end that is none
        pair.get("/test/raw-stream?count=3&fail_code=13")
    assert pair.request("HEAD", "/test/raw-stream?count=3").status == 200


def test_host_of_an_absolute_target(strict):
    """The target's own host is what counts, whatever Host says (RFC 9112 3.2.2)."""
    def status(target, host):
        return int(strict.raw(f"GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()).split()[1])
    assert status("http://localhost/livez", "localhost") == 200
    assert status("http://evil.example/livez", "evil.example") == 421
    assert status("http://evil.example/livez", "localhost") == 421
    assert status("/livez", "localhost") == 200


# --- what only odd clients send ---

def raw_post(p, path, headers, body=b"{}"):
    head = "".join(f"{h}\r\n" for h in [f"POST {path} HTTP/1.1", "Host: localhost", "Connection: close",
                                        f"Content-Length: {len(body)}", *headers])
    head, _, rest = p.raw(head.encode() + b"\r\n" + body).partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    return int(status.split()[1]), dict(line.split(": ", 1) for line in lines), rest


def test_two_origins(strict):
    """Whichever came first, the other one is foreign."""
    mine, other = "Origin: http://localhost", "Origin: https://evil.example"
    assert raw_post(strict, "/test/echo", ["Content-Type: application/json", mine])[0] == 200
    for two in ([mine, other], [other, mine], [mine, mine]):
        assert raw_post(strict, "/test/echo", ["Content-Type: application/json", *two])[0] == 403


def test_nothing_but_gzip_is_taken(pair):
    """Also of a type that is not worth it, and of bytes that get no smaller."""
    noise = bytes(hashlib.sha256(bytes([i])).digest()[0] for i in range(256)) * 2
    for size in (1, 512):
        status, headers, body = raw_post(pair, "/test/raw", ["Content-Type: image/png",
                                                             "Accept-Encoding: gzip, identity;q=0"], noise[:size])
        assert status == 200 and headers["Content-Encoding"] == "gzip" and headers["Content-Type"] == "image/png"
        assert gzip.decompress(body) == noise[:size]


def test_too_large_is_not_to_be_tried_again(pair):
    bomb = gzip.compress(b" " * 50_000_000)
    status, headers, _ = raw_post(pair, "/test/echo", ["Content-Type: application/json",
                                                       "Content-Encoding: gzip"], bomb)
    assert status == 413 and "Retry-After" not in headers


def test_a_stream_may_have_a_deadline_far_away(pair):
    r = pair.get("/test/stream?count=2", headers={"Grpc-Timeout": "99999999H"})
    assert r.status == 200 and len(r.json()) == 2
