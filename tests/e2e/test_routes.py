"""google.api.http through the real gateway, and `errand routes`, which must say the
same before any request is made."""

import json
import os
import subprocess

import pytest

from conftest import BUILD, REPORT, TOP

ERRAND = os.path.join(BUILD, "errand")


def routes(*args, status=0):
    r = subprocess.run([ERRAND, "routes", *args], capture_output=True, text=True, timeout=60, check=False)
    assert REPORT.search(r.stderr) is None, r.stderr
    assert r.returncode == status, (r.returncode, r.stdout, r.stderr)
    return r.stdout if status == 0 else r.stderr


def match(pair, line, status=0):
    return routes("--schema", pair.socket, "--match", line, status=status)


# what the request binds, by the gateway's answer and by the command
REQUESTS = [
    ("/test/names/shelves/a%2Fb%20c", {"text_value": "shelves/a%2Fb c"}),
    ("/test/echo/a%2Fb%20c", {"text_value": "a/b c"}),
    ("/test/echo/x?int32Value=-3&kind=KIND_UNSPECIFIED", {"text_value": "x", "int32_value": "-3",
                                                          "kind": "KIND_UNSPECIFIED"}),
    ("/test/echo/x?names=a&numbers=1&names=b+c", {"text_value": "x", "names": ["a", "b c"], "numbers": ["1"]}),
    ("/test/echo/x?counts[a]=1&counts[b]=2", {"text_value": "x", "counts[a]": "1", "counts[b]": "2"}),
    ("/test/echo/x?inner.next.label=y", {"text_value": "x", "inner.next.label": "y"}),
    ("/test/echo/x?at=2026-01-02T03:04:05Z&lasting=1.5s&wrapped=7", {
        "text_value": "x", "at": "2026-01-02T03:04:05Z", "lasting": "1.5s", "wrapped": "7"}),
    ("/test/any/x", {"text_value": "x"}),
]


def holds(message, part):
    """Is all of part in message?"""
    if isinstance(part, dict):
        return isinstance(message, dict) and all(k in message and holds(message[k], v) for k, v in part.items())
    return message == part


@pytest.mark.parametrize("target,bindings", REQUESTS)
def test_same_as_gateway(pair, target, bindings):
    if "kind=" in target:
        kind = pair.get("/test/echo/x").json()["kind"]
        target = target.replace("KIND_UNSPECIFIED", kind)
        bindings = dict(bindings, kind=kind)
    said = json.loads(match(pair, "GET " + target))
    assert said["method"] == "errandtest.v1.Test/Echo"
    assert said["bindings"] == bindings
    assert list(said["bindings"]) == list(bindings)
    r = pair.get(target)
    assert r.status == 200, r
    assert holds(r.json(), said["request"]), (said["request"], r.json())


def test_field_paths(pair):
    r = pair.get("/test/names/a/b?inner.next.label=x")
    assert (r.status, r.json()) == (200, "x")
    r = pair.get("/test/names/a/b")
    assert (r.status, r.json()) == (200, "")
    r = pair.post("/test/names/5:go?inner.label=q&text_value=t", {"label": "deep"})
    body = r.json()
    assert (r.status, body["text_value"]) == (200, "t")
    assert body["inner"] == {"label": "q", "weight": 5, "next": {"label": "deep", "weight": 0}}


@pytest.mark.parametrize("target,answer", [
    ("numbers?numbers=1&numbers=2", [1, 2]), ("numbers", []), ("counts?counts[a]=1", {"a": 1}), ("counts", {}),
    ("at?at=2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"), ("at", None), ("bytes?bytes_value=aGk", "aGk="),
    ("inner?inner.label=x", {"label": "x", "weight": 0}), ("inner", None)])
def test_response_body(pair, target, answer):
    r = pair.get("/test/part/" + target)
    assert (r.status, r.json()) == (200, answer)
    assert pair.get("/test/part/kind").json() == pair.get("/test/echo/x").json()["kind"]


def test_methods(pair):
    r = pair.request("DELETE", "/test/echo/x")
    assert (r.status, r.headers["Allow"]) == (405, "GET, HEAD, OPTIONS")
    assert "GET, HEAD, OPTIONS" in match(pair, "DELETE /test/echo/x", status=4)
    r = pair.request("OPTIONS", "/test/echo/x")
    assert r.status in (200, 204) and "HEAD" in r.headers["Allow"]
    for verb in ("PUT", "DELETE", "PATCH"):
        r = pair.request(verb, "/test/any/x")
        assert (r.status, r.json()["text_value"]) == (200, "x")
    whole, head = pair.get("/test/echo/x"), pair.request("HEAD", "/test/echo/x")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["Content-Length"] == str(len(whole.body))
    assert json.loads(match(pair, "HEAD /test/echo/x"))["verb"] == "GET"
    assert pair.get("/test/nothing").status == 404
    match(pair, "GET /test/nothing", status=4)


# FAULTS 71 and 75: the same field or oneof given twice, by whomever
SAID_TWICE = [
    ("PUT", "/test/names/5", {"int32_value": 6}, "int32_value"),
    ("PUT", "/test/names/5", {"int32_value": 0}, "int32_value"),
    ("PUT", "/test/names/0", {"int32_value": 6}, "int32_value"),
    ("POST", "/test/names/5:go?inner.next.label=x", {"label": "y"}, "inner.next.label"),
    ("POST", "/test/names/5:go?inner.weight=5", None, "inner.weight"),
    ("GET", "/test/echo/x?words=a&digits=1", None, "digits"),
    ("GET", "/test/echo/x?whole.next.label=a&words=", None, "words"),
    ("GET", "/test/echo/x?int32_value=1&int32Value=1", None, "int32Value"),
    ("GET", "/test/echo/x?text_value=x", None, "text_value"),
    ("GET", "/test/echo/x?counts[a]=1&counts[a]=1", None, "counts[a]"),
]


@pytest.mark.parametrize("verb,target,body,parameter", SAID_TWICE)
def test_said_twice(pair, verb, target, body, parameter):
    r = pair.request(verb, target, body)
    assert r.status == 400, r
    assert [e["parameter"] for e in r.json()["errors"]] == [parameter]


def test_agreeing(pair):
    r = pair.request("PUT", "/test/names/5", {"int32_value": 5, "text_value": "t"})
    assert (r.status, r.json()["int32_value"]) == (200, 5)
    r = pair.request("PUT", "/test/names/0", {"int32_value": 0})
    assert (r.status, r.json()["int32_value"]) == (200, 0)


# FAULTS 57: paths that somebody else may read differently are nobody's
@pytest.mark.parametrize("path", [
    "/test/names/%2e%2e%2f", "/test/names/%2e%2e/x", "/test/names/..;/x", "/test/names//x", "/test//echo/x",
    "/test/names/a%2f..%2fb", "/test/names/..%5cx", "/test/echo/%00", "/test/echo/%zz", "/test/echo/%c0%af",
    "/test/echo/../../etc/passwd", "/test/names/\\..\\x", "/test/names/x/"])
def test_odd_paths(pair, path):
    r = pair.get(path)
    assert r.status in (400, 404), r
    assert r.headers["Content-Type"].startswith("application/problem+json")


def test_refused(pair):
    problem = json.loads(match(pair, "GET /test/echo/x?int32_value=a&nope=1&at=now", status=65))
    assert [(e["parameter"], e["rule"]) for e in problem["errors"]] == [
        ("int32_value", "type"), ("nope", "unknown"), ("at", "type")]
    r = pair.get("/test/echo/x?int32_value=a&nope=1&at=now")
    assert r.status == problem["status"] and r.json()["errors"] == problem["errors"]
    assert json.loads(match(pair, "GET /test/echo/x%zz", status=65))["status"] == 400


def test_command(pair, tmp_path):
    lines = [json.loads(line) for line in routes("--json", "--schema", "unix:" + pair.socket).splitlines()]
    assert {"method": "errandtest.v1.Test/Stream", "verb": "GET", "path": "/test/stream", "body": "",
            "response_body": "", "streaming": "server", "run": "SYNC"} in lines
    assert sum(r["path"] == "/errandtest.v1.Test/Echo" for r in lines) == 1
    assert "/test/names/{inner.weight}:go" in routes("--schema", pair.socket)
    routes("--schema", pair.socket, "--match", "GET", status=64)
    routes("--schema", pair.socket, "extra", status=64)
    routes("--match", "GET /", "--socket", "/nonexistent/s", status=69)
    routes("--schema", str(tmp_path / "none.sock"), status=69)
    routes("--schema", "unix:" + str(tmp_path / "none"), status=69)
    assert "none.pb" in routes("--schema", str(tmp_path / "none.pb"), status=64)


def protoc(tmp_path, text, *args):
    source = tmp_path / "plain.proto"
    source.write_text(text)
    out = tmp_path / "plain.pb"
    subprocess.run(["protoc", "-I", str(tmp_path), "-I", os.path.join(TOP, "proto"), *args,
                    f"--descriptor_set_out={out}", str(source)], check=True, timeout=60)
    return str(out)


def test_plain_sets(tmp_path):
    plain = 'syntax = "proto3"; package p; message M {int32 a = 1;} service S {rpc Do(M) returns (M);}'
    out = protoc(tmp_path, plain)
    assert json.loads(routes("--schema", out, "--json"))["path"] == "/p.S/Do"
    assert json.loads(routes("--schema", out, "--match", "POST /p.S/Do"))["method"] == "p.S/Do"
    routes("--schema", out, "--match", "GET /p.S/Do", status=4)
    needs = ('syntax = "proto3"; package p; import "google/api/annotations.proto"; message M {string a = 1;}'
             'import "errand/v1/problem.proto"; message N {errand.v1.Problem p = 1;}'
             'service S {rpc Do(M) returns (N) {option (google.api.http) = {get: "/v1/{a}"};}'
             'rpc Too(M) returns (M) {option (google.api.http) = {get: "/v1/{a=*}"};}}')
    assert "include_imports" in routes("--schema", protoc(tmp_path, needs), status=65)
    said = routes("--schema", protoc(tmp_path, needs, "--include_imports"), status=65)
    assert "p.S/Do" in said and "p.S/Too" in said
    (tmp_path / "bad.pb").write_bytes(b"\xff\xff")
    routes("--schema", str(tmp_path / "bad.pb"), status=65)
