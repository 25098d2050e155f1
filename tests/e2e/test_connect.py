"""Connect's unary protocol: raw requests, and Connect's own clients in tests/js."""

import base64
import glob
import gzip
import json
import os
import shutil
import subprocess
import urllib.parse

import pytest

from conftest import JS, TOP

ECHO = "/errandtest.v1.Test/Echo"
V1 = {"Connect-Protocol-Version": "1"}
BINARY = {**V1, "Content-Type": "application/proto"}


def call(p, method="Echo", body=None, **headers):
    headers = {**V1, **{k.replace("_", "-"): v for k, v in headers.items()}}
    return p.post(f"/errandtest.v1.Test/{method}", {} if body is None else body, headers=headers)


def refused(r, status, code):
    assert r.status == status, r
    assert r.headers["Content-Type"] == "application/json"
    error = r.json()
    assert error["code"] == code and error["message"], error
    assert set(error) <= {"code", "message", "details"}
    return error


def test_json_and_binary(pair):
    r = call(pair, body={"text_value": "x", "int64Value": "5"})
    assert r.status == 200 and r.headers["Content-Type"] == "application/json"
    assert r.json()["text_value"] == "x"
    r = pair.post(ECHO, b"\x72\x01x", headers=BINARY)
    assert r.status == 200 and r.headers["Content-Type"] == "application/proto" and r.body == b"\x72\x01x"
    r = pair.post(ECHO, b"", headers=BINARY)
    assert r.status == 200 and r.body == b""
    r = call(pair, Content_Type="application/json; charset=utf-8", Accept="application/x-protobuf")
    assert r.headers["Content-Type"] == "application/json"  # the codec of the request


def test_errors(pair):
    for code, name, status in ((1, "canceled", 499), (3, "invalid_argument", 400), (4, "deadline_exceeded", 504),
                               (5, "not_found", 404), (6, "already_exists", 409), (7, "permission_denied", 403),
                               (8, "resource_exhausted", 429), (9, "failed_precondition", 400), (10, "aborted", 409),
                               (11, "out_of_range", 400), (12, "unimplemented", 501), (13, "internal", 500),
                               (14, "unavailable", 503), (15, "data_loss", 500), (16, "unauthenticated", 401)):
        refused(call(pair, "Fail", {"code": code, "message": "as told"}), status, name)


def test_faults_are_details(pair):
    error = refused(call(pair, body={"int32_value": "x", "nope": 1, "inner": {"weight": 1.5}}), 400, "invalid_argument")
    detail, = error["details"]
    assert detail["type"] == "google.rpc.BadRequest" and "=" not in detail["value"]
    raw = base64.b64decode(detail["value"] + "==")
    assert b"inner.weight" in raw and b"int32_value" in raw and b"nope" in raw
    assert {v["field"] for v in detail["debug"]["fieldViolations"]} == {"int32_value", "nope", "inner.weight"}
    refused(call(pair, body="{"), 400, "invalid_argument")
    refused(call(pair, body=""), 400, "invalid_argument")
    refused(pair.post(ECHO, b"\x72\x05x", headers=BINARY), 400, "invalid_argument")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-protobuf", "application/json; charset=latin1", "application/xml"])
def test_codecs(pair, kind):
    r = call(pair, Content_Type=kind)
    assert r.status == 415 and "application/proto" in r.headers["Accept-Post"]
    refused(r, 415, "unimplemented")


@pytest.mark.parametrize("version", ["2", "0", "", "1.0", "x"])
def test_versions(pair, version):
    refused(call(pair, Connect_Protocol_Version=version), 400, "invalid_argument")


def test_timeouts(pair):
    assert call(pair, Connect_Timeout_Ms="5000").status == 200
    for bad in ("x", "1.5", "-1", "12345678901", "0"):
        refused(call(pair, Connect_Timeout_Ms=bad), 400, "invalid_argument")
    refused(call(pair, "Sleep", {"ms": "2000"}, Connect_Timeout_Ms="50"), 504, "deadline_exceeded")


def test_compression(pair):
    body = gzip.compress(b'{"text_value":"' + b"x" * 5000 + b'"}')
    r = call(pair, body=body, Content_Encoding="gzip", Accept_Encoding="gzip")
    assert r.status == 200 and r.headers["Content-Encoding"] == "gzip"
    assert json.loads(gzip.decompress(r.body))["text_value"] == "x" * 5000
    error = refused(call(pair, body=body, Content_Encoding="br"), 501, "unimplemented")
    assert "gzip" in error["message"]
    refused(call(pair, body=body[:-4], Content_Encoding="gzip"), 400, "invalid_argument")
    bomb = gzip.compress(b" " * (60 << 20))
    refused(call(pair, body=bomb, Content_Encoding="gzip"), 429, "resource_exhausted")


def test_tasks_are_waited_for(pair):
    r = call(pair, "TaskEcho", {"text_value": "done"}, Prefer="respond-async")
    assert r.status == 200 and r.json()["text_value"] == "done"
    assert "Location" not in r.headers


def test_streams_are_not_served(pair):
    refused(call(pair, "Stream", {"count": 1}), 415, "unimplemented")
    r = call(pair, "Stream", b"\0\0\0\0\2{}", Content_Type="application/connect+json")
    assert r.status == 200 and r.headers["Content-Type"] == "application/connect+json"
    assert r.body[0] == 2 and int.from_bytes(r.body[1:5], "big") == len(r.body) - 5
    assert json.loads(r.body[5:])["error"]["code"] == "unimplemented"


def test_without_the_version_it_is_ours(pair):
    r = pair.post(ECHO, {"nope": 1})
    assert r.status == 422 and r.headers["Content-Type"] == "application/problem+json"
    r = pair.post("/test/echo", {"nope": 1}, headers=V1)  # on another path the header says nothing
    assert r.status == 422 and r.headers["Content-Type"] == "application/problem+json"
    assert pair.post("/errandtest.v1.Test/Nope", {}, headers=V1).status == 404


# --- GET ---

def get(p, method="Echo", headers=None, **query):
    query = {"connect": "v1", "encoding": "json", **query}
    return p.get(f"/errandtest.v1.Test/{method}?" + urllib.parse.urlencode({k: v for k, v in query.items() if v is not None}),
                 headers=headers)


def test_get(pair):
    message = json.dumps({"text_value": "a b&c+ü"})
    r = get(pair, message=message)
    assert r.status == 200 and r.headers["Content-Type"] == "application/json"
    assert r.json()["text_value"] == "a b&c+ü"
    tag = r.headers["ETag"]
    assert get(pair, message=message, headers={"If-None-Match": tag}).status == 304
    for encoded in (base64.urlsafe_b64encode(message.encode()), base64.b64encode(message.encode()).rstrip(b"=")):
        assert get(pair, message=encoded.decode(), base64="1").body == r.body
    packed = base64.urlsafe_b64encode(gzip.compress(message.encode())).decode()
    assert get(pair, message=packed, base64="1", compression="gzip").body == r.body
    assert get(pair, message=message, compression="identity").body == r.body
    r = get(pair, encoding="proto", message="cgF4", base64="1")
    assert r.status == 200 and r.headers["Content-Type"] == "application/proto" and r.body == b"\x72\x01x"
    assert get(pair, encoding="proto", message="").body == b""


def test_get_errors(pair):
    refused(get(pair), 400, "invalid_argument")  # no message
    refused(get(pair, message="{"), 400, "invalid_argument")
    refused(get(pair, message="!", base64="1"), 400, "invalid_argument")
    refused(get(pair, message="{}", connect="v2"), 400, "invalid_argument")
    refused(get(pair, message="{}", encoding="xml"), 415, "unimplemented")
    refused(get(pair, message="{}", encoding=None), 415, "unimplemented")
    refused(get(pair, message="{}", compression="br"), 501, "unimplemented")
    r = get(pair, "SyncEcho", message="{}")  # it may have side effects
    assert r.headers["Allow"] == "POST"
    refused(r, 405, "unimplemented")
    r = pair.get(ECHO + "?message={}&encoding=json")  # not Connect's
    assert r.status == 405 and r.headers["Content-Type"] == "application/problem+json"


# --- Connect's own clients ---

def test_connect_node(pair, tmp_path, node_modules):
    """@connectrpc/connect-node with code of protoc-gen-es."""
    imports = [os.path.relpath(f, f"{TOP}/proto") for f in glob.glob(f"{TOP}/proto/*/*/*.proto")]
    subprocess.run(["protoc", f"--plugin=protoc-gen-es={JS}/node_modules/.bin/protoc-gen-es",
                    f"-I{TOP}/tests/e2e", f"-I{TOP}/proto", "-I/usr/include", f"--es_out={tmp_path}", "--es_opt=target=js,import_extension=js",
                    "testmod.proto", *imports], check=True)
    shutil.copy(f"{JS}/connect.mjs", tmp_path)
    os.symlink(f"{JS}/node_modules", tmp_path / "node_modules")
    (tmp_path / "package.json").write_text('{"type":"module"}')
    r = subprocess.run(["node", "connect.mjs", f"http://127.0.0.1:{pair.port}"], cwd=tmp_path,
                       capture_output=True, text=True, timeout=60)
    assert r.returncode == 0, r.stdout + r.stderr
    assert "24 checks" in r.stdout
