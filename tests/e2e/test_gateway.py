"""The gateway's own manners: forms of answers, streams, being without a service, stopping."""
import json
import os
import re
import signal
import socket
import struct
import subprocess
import threading
import time

import pytest
from conftest import ARTICLE, BUILD, SANITIZED, TESTMOD, Pair, rss_kb, wait_until

SSE = {"Accept": "text/event-stream"}
NDJSON = {"Accept": "application/x-ndjson"}


def problem(r, status, code):
    assert r.status == status, r
    assert r.headers["Content-Type"] == "application/problem+json", r
    body = r.json()
    assert (body["status"], body["code"]) == (status, code), r
    return body


# --- routes and forms ---

def test_head_options_and_405(pair):
    r = pair.request("HEAD", "/search?q=x")
    assert (r.status, r.body) == (200, b"")
    assert int(r.headers["Content-Length"]) == len(pair.get("/search?q=x").body)
    r = pair.request("OPTIONS", "/search")
    assert (r.status, r.headers["Allow"]) == (204, "GET, HEAD, OPTIONS")
    r = pair.request("DELETE", "/search")
    problem(r, 405, "UNIMPLEMENTED")
    assert r.headers["Allow"] == "GET, HEAD, OPTIONS"
    r = pair.get("/v1/tasks/abc:cancel")
    assert (r.status, r.headers["Allow"]) == (405, "POST, OPTIONS")
    problem(pair.get("/nowhere"), 404, "NOT_FOUND")
    problem(pair.get("/items/%zz"), 400, "INVALID_ARGUMENT")


def test_head_of_a_stream_and_options_star(pair):
    r = pair.request("HEAD", "/test/stream?count=3", headers=NDJSON)
    assert (r.status, r.headers["Content-Type"], r.body) == (200, "application/x-ndjson", b"")
    assert "Content-Length" not in r.headers and r.headers["Cache-Control"] == "no-store"
    head = b" HTTP/1.1\r\nHost: x\r\n"
    answer = pair.raw(b"HEAD /test/stream" + head + b"\r\nOPTIONS *" + head + b"Connection: close\r\n\r\n")
    assert answer.count(b"HTTP/1.1 ") == 2 and b"HTTP/1.1 204 " in answer, answer
    assert b"\r\nAllow: GET, HEAD, POST," in answer, answer


def test_many_unknown_fields_are_cheap(pair):
    """Names are compared for the faults that are told, not for each that is counted."""
    body = json.dumps({f"text_valuf{i}": 1 for i in range(45000)})
    begin = time.monotonic()
    assert problem(pair.post("/test/echo", body), 422, "INVALID_ARGUMENT")["detail"].startswith("45000 faults")
    assert time.monotonic() - begin < (3 if SANITIZED else 0.4)


def test_content_negotiation(pair):
    r = pair.get("/search?q=x", headers={"Accept": "application/x-protobuf"})
    assert r.headers["Content-Type"] == "application/x-protobuf"
    assert r.body[:1] == b"\x0a"
    problem(pair.get("/search", headers={"Accept": "text/html"}), 406, "INVALID_ARGUMENT")
    problem(pair.get("/test/stream", headers={"Accept": "image/png"}), 406, "INVALID_ARGUMENT")
    # message {int32_value: 7} in, the same out
    r = pair.request("POST", "/test/echo", b"\x18\x07", {
        "Content-Type": "application/x-protobuf", "Accept": "application/x-protobuf"})
    assert (r.status, r.body) == (200, b"\x18\x07")


def test_request_id_and_access_log(pair):
    r = pair.get("/search?q=secret", headers={"X-Request-Id": "mine-1"})
    assert r.headers["X-Request-Id"] == "mine-1"
    made = pair.get("/search", headers={"X-Request-Id": "has space"}).headers["X-Request-Id"]
    assert len(made) == 16 and int(made, 16) >= 0

    def line():
        for text in open(pair.path("access.log")).read().splitlines():
            entry = json.loads(text)
            if entry.get("request_id") == "mine-1":
                return entry
    entry = wait_until(line, what="access log line")
    assert (entry["status"], entry["path"], entry["route"]) == (200, "/search", "/search")
    assert "secret" not in json.dumps(entry)


def test_path_and_body_disagree(pair):
    r = pair.get("/test/echo/hello?text_value=other")
    assert problem(r, 400, "INVALID_ARGUMENT")["errors"][0]["parameter"] == "text_value"
    r = pair.get("/test/echo/a%2Fb?inner.label=x&names=1&names=2&counts[k]=3")
    body = r.json()
    assert (body["text_value"], body["inner"]["label"]) == ("a/b", "x")
    assert (body["names"], body["counts"]) == (["1", "2"], {"k": 3})


def test_bad_headers(pair):
    for name, value in (("X-Server-Timeout", "soon"), ("Connect-Timeout-Ms", "-1"),
                        ("Grpc-Timeout", "1"), ("Prefer", "wait=x")):
        r = pair.get("/search", headers={name: value})
        assert problem(r, 400, "INVALID_ARGUMENT")["errors"][0]["header"] == name


# --- streams ---

def test_stream_forms_end_with_a_record(pair):
    r = pair.get("/test/stream?count=2&size=1", headers=NDJSON)
    assert r.headers["Content-Type"] == "application/x-ndjson"
    lines = [json.loads(x) for x in r.body.splitlines()]
    assert [x["index"] for x in lines[:-1]] == [0, 1]
    assert lines[-1] == {"@end": {}}
    r = pair.get("/test/stream?count=2")
    assert [x["index"] for x in r.json()] == [0, 1]
    assert pair.get("/test/stream?count=0").json() == []
    r = pair.get("/test/stream?count=1", headers=SSE)
    assert r.body.endswith(b"event: end\ndata: {}\n\n")


def test_stream_errors(pair):
    body = problem(pair.get("/test/stream?count=0&fail_code=5", headers=SSE), 404, "NOT_FOUND")
    assert body["detail"] == "asked to fail"
    r = pair.get("/test/stream?count=1&fail_code=5", headers=SSE)
    assert r.status == 200
    event, data = r.body.decode().strip().split("\n\n")[-1].split("\n")
    assert event == "event: error" and json.loads(data[6:])["status"] == 404
    r = pair.get("/test/stream?count=1&fail_code=5", headers=NDJSON)
    assert json.loads(r.body.splitlines()[-1])["@error"]["code"] == "NOT_FOUND"
    r = pair.get("/test/stream?count=1&fail_code=5")
    assert r.json()[-1]["@error"]["code"] == "NOT_FOUND"


def test_heartbeats(make_pair):
    p = make_pair(gateway_args=["--heartbeat", "50ms"])
    r = p.get("/test/stream?count=2&interval_ms=700", headers=SSE)
    assert r.body.startswith(b":\n\n") or b"\n\n:\n\n" in r.body
    assert r.body.count(b":\n\n") >= 5
    assert r.body.count(b"\ndata: {\"index\"") + r.body.startswith(b"data: {\"index\"") == 2


def test_slow_reader_holds_the_handler_back(pair):
    """256 MiB are asked for; neither daemon takes more than its windows."""
    before = rss_kb(pair.gateway.pid), rss_kb(pair.service.pid)
    with socket.create_connection(("127.0.0.1", pair.port)) as s:
        s.sendall(b"GET /test/stream?count=4096&size=65536 HTTP/1.1\r\nHost: x\r\n"
                  b"Accept: application/x-ndjson\r\n\r\n")
        assert s.recv(1000).startswith(b"HTTP/1.1 200")
        for _ in range(200):
            assert pair.get("/search").status == 200  # others are served meanwhile
        assert rss_kb(pair.gateway.pid) - before[0] < 40000
        assert rss_kb(pair.service.pid) - before[1] < 40000
    wait_until(lambda: os.path.exists(pair.path("cancelled.log")) and
               "stream" in open(pair.path("cancelled.log")).read(), what="cancel")


# --- without a service ---

def test_service_comes_back(make_pair):
    p = make_pair()
    p.service.kill()
    r = wait_until(lambda: (x := p.get("/search")).status == 503 and x, what="503")
    problem(r, 503, "UNAVAILABLE")
    assert r.headers["Retry-After"] == "1"
    problem(p.get("/readyz"), 503, "UNAVAILABLE")
    assert p.get("/livez").status == 200
    p.start_service()
    begun = time.monotonic()
    p.wait_ready()
    assert time.monotonic() - begun < 3
    assert p.get("/search?q=x").status == 200


def test_new_schema_is_taken_live(make_pair):
    p = make_pair(modules=[ARTICLE])
    problem(p.post("/test/echo", {}), 404, "NOT_FOUND")
    p.service.stop()
    p.modules = [ARTICLE, TESTMOD]
    p.start_service()
    p.wait_ready()
    assert p.post("/test/echo", {"int32_value": 5}).json()["int32_value"] == 5


def test_silent_service_is_504_and_late_answers_are_dropped(make_pair):
    p = make_pair(gateway_args=["--threads", "1"])
    os.kill(p.service.pid, signal.SIGSTOP)
    try:
        results = []
        threads = [threading.Thread(target=lambda i=i: results.append(p.get(
            f"/test/echo/late{i}", headers={"Connect-Timeout-Ms": "200"}))) for i in range(20)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        for r in results:
            problem(r, 504, "DEADLINE_EXCEEDED")
    finally:
        os.kill(p.service.pid, signal.SIGCONT)
    for i in range(50):
        assert p.get(f"/test/echo/now{i}").json()["text_value"] == f"now{i}"


def test_stopped_service_is_noticed(make_pair):
    """Asked by PING: 503 at once instead of 504 at each deadline; what runs is not run again."""
    p = make_pair(gateway_args=["--threads", "2", "--ping-interval", "200ms", "--reconnect-wait", "1s"])
    calling = p.connect()
    calling.request("POST", "/test/wait", b'{"ms": 300}', {"Content-Type": "application/json"})
    wait_until(lambda: re.search(r"calls_in_flight 1$", p.get("/metrics").body.decode(), re.M), what="the call")
    os.kill(p.service.pid, signal.SIGSTOP)
    try:
        wait_until(lambda: p.get("/readyz").status == 503, what="503 on /readyz")
        wait_until(lambda: "upstream_up 0\n" in p.get("/metrics").body.decode(), what="all threads")
        begin = time.monotonic()
        for i in range(20):
            r = p.get(f"/test/echo/gone{i}")
            problem(r, 503, "UNAVAILABLE")
            assert r.headers["Retry-After"]
        assert time.monotonic() - begin < 10  # a deadline is 30 s
    finally:
        os.kill(p.service.pid, signal.SIGCONT)
    assert calling.getresponse().status == 200
    p.wait_ready()
    for i in range(20):
        assert p.get(f"/test/echo/back{i}").status == 200
    metrics = p.get("/metrics").body.decode()
    assert 'Echo",code="OK"} 20\n' in metrics and 'Wait",code="OK"} 1\n' in metrics


# --- start and stop ---

def test_drain_ends_streams_and_finishes_calls(make_pair):
    p = make_pair(gateway_args=["--threads", "1"])
    streaming, calling = p.connect(), p.connect()
    streaming.request("GET", "/test/stream?count=2&interval_ms=3000", headers=SSE)
    stream = streaming.getresponse()
    assert stream.readline().startswith(b"data:")
    calling.request("POST", "/test/wait", b'{"ms": 700}', {"Content-Type": "application/json"})
    assert p.get("/livez").status == 200  # one thread: what was sent before has been read
    os.kill(p.gateway.pid, signal.SIGTERM)
    rest = stream.read()
    assert b"event: error" in rest and b"UNAVAILABLE" in rest
    assert calling.getresponse().status == 200
    assert p.gateway.popen.wait(10) == 0
    p.gateway.check_reports()


@pytest.mark.parametrize("options,status,word", [
    (["--listen", "nowhere"], 1, "listen"),
    (["--schema", "/nonexistent.pb"], 78, "schema"),
    (["--log-level", "loud"], 64, "log-level"),
    (["--max-body", "lots"], 64, "max-body"),
    (["operand"], 64, "operand"),
    (["--socket", "/" + "x" * 200], 64, "201"),
    (["--socket", ""], 64, "path"),
])
def test_wrong_options(options, status, word):
    r = subprocess.run([os.path.join(BUILD, "errand-gateway"), "--listen", "127.0.0.1:0"] + options,
                       capture_output=True, text=True, timeout=20)
    assert r.returncode == status, r
    assert word in r.stderr


def test_port_in_use(pair):
    r = subprocess.run([os.path.join(BUILD, "errand-gateway"), "--listen", f"127.0.0.1:{pair.port}"],
                       capture_output=True, text=True, timeout=20)
    assert r.returncode == 1
    assert str(pair.port) in r.stderr


# --- in front of any ttrpc server ---

def plain_ttrpc(listener):
    """Knows ttrpc, not Hello; answers every other method with its own input."""
    def serve(s):
        with s, s.makefile("rb") as f:
            while len(head := f.read(10)) == 10:
                length, stream = struct.unpack(">II", head[:8])
                request = f.read(length)
                if b"Hello" in request:
                    answer = b"\x0a\x04\x08\x0c\x12\x00"  # Status{code: 12}
                else:
                    answer = b"\x12" + field(request, 3)  # Response.payload = 2
                s.sendall(struct.pack(">IIBB", len(answer), stream, 2, 0) + answer)
    while True:
        try:
            serve(listener.accept()[0])
        except OSError:
            return


def field(message, number):
    """Length and bytes of a short field; all fields before it are strings."""
    at = 0
    while at < len(message):
        n = message[at + 1]
        if message[at] == number << 3 | 2:
            return message[at + 1:at + 2 + n]
        at += 2 + n
    return b"\x00"


def test_in_front_of_a_plain_ttrpc_server(tmp_path):
    top = os.path.join(os.path.dirname(__file__), "..", "..")
    subprocess.run(["protoc", "-I", f"{top}/proto", "-I", f"{top}/examples/article", "--include_imports",
                    f"--descriptor_set_out={tmp_path}/a.pb", "article.proto"], check=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{tmp_path}/s")
    listener.listen()
    server = threading.Thread(target=plain_ttrpc, args=(listener,), daemon=True)
    server.start()
    p = Pair(gateway_args=["--threads", "1", "--schema", f"{tmp_path}/a.pb"])
    p.socket = f"{tmp_path}/s"
    try:
        p.start_gateway()
        p.wait_ready()
        assert p.get("/items/7").json() == {"item_id": 7, "name": "", "price": 0}
        problem(p.get("/v1/tasks"), 404, "NOT_FOUND")
    finally:
        p.close()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        server.join(5)


def test_headers_that_are_not_text_harm_nobody(pair):
    for name in ("If-None-Match", "Last-Event-ID", "traceparent", "Prefer", "Accept", "X-Request-Id"):
        out = pair.raw(f"GET /search HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{name}: ".encode() +
                       b"\xff\xfe\r\n\r\n")
        assert out.split(b" ")[1] in (b"200", b"400", b"406"), out
    assert "service down" not in pair.gateway.text().split("service up")[-1]
