"""Rules of the schema: refused by the gateway with every violation and its place, and
by the service again, for those who come over the socket."""

import json
import os
import subprocess

from conftest import BUILD, TOP

ERRAND = os.path.join(BUILD, "errand")


def violations(r, status=422):
    assert r.status == status, r
    assert r.headers["Content-Type"] == "application/problem+json", r
    p = r.json()
    assert p["status"] == status and p["code"] == "INVALID_ARGUMENT", p
    return [(e.get("pointer") or "?" + e["parameter"], e["rule"]) for e in p["errors"]]


def call(pair, method, body):
    """The exit status and the problem, which is None when it went well."""
    r = subprocess.run([ERRAND, "call", method, "-", "--json", "--socket", pair.socket],
                       input=json.dumps(body), capture_output=True, text=True, timeout=30, check=False)
    return r.returncode, json.loads(r.stderr) if r.returncode else None


def test_all_at_once_with_their_places(pair):
    r = pair.post("/test/checked", {"name": "A", "size": 10,
                                    "inner": {"tags": ["a", "", "a"], "mail": "nobody"}})
    assert violations(r) == [
        ("#/name", "string.min_len"), ("#/name", "string.pattern"), ("#/size", "int32.gte_lt"),
        ("#/inner/tags", "repeated.unique"), ("#/inner/tags/1", "string.min_len"),
        ("#/inner/mail", "string.email")]
    errors = r.json()["errors"]
    assert errors[0]["detail"] == "must have at least 2 characters, has 1" and errors[0]["value"] == "A"
    assert errors[2]["detail"] == "must be greater than or equal to 0 and less than 10"
    assert pair.post("/test/checked", {"name": "ab", "size": 9}).json()["name"] == "ab"


def test_places_of_path_query_and_body(pair):
    r = pair.post("/test/checked/A?size=-1", {"mail": "nobody"})
    assert violations(r) == [("?name", "string.min_len"), ("?name", "string.pattern"),
                             ("?size", "int32.gte_lt"), ("#/mail", "string.email")]
    r = pair.get("/test/checked?name=ab&inner.tags=&inner.mail=x")
    assert violations(r) == [("?inner.tags", "string.min_len"), ("?inner.mail", "string.email")]
    assert pair.get("/test/checked?name=ab&inner.tags=x").status == 200


def test_what_is_no_message_comes_first(pair):
    r = pair.post("/test/checked", {"name": 1, "size": 10})
    assert violations(r) == [("#/name", "type")]


def test_tasks_are_refused_before_they_are_stored(pair):
    before = pair.get("/v1/tasks?page_size=500").json()
    r = pair.post("/test/task-checked", {"name": "a"})
    assert violations(r) == [("#/name", "string.min_len")]
    status, problem = call(pair, "errandtest.v1.Test/TaskChecked", {"name": "a"})
    assert status != 0 and problem["errors"][0]["rule"] == "string.min_len"
    r = pair.post("/test/checked", {"name": "a"}, headers={"Prefer": "respond-async"})
    assert violations(r) == [("#/name", "string.min_len")]
    assert pair.get("/v1/tasks?page_size=500").json() == before
    task = pair.wait_task(pair.submit("/test/task-checked", {"name": "ab"}))
    assert task["state"] == "SUCCEEDED"


def test_over_the_socket(pair):
    for method in ("Checked", "SyncChecked", "TaskChecked"):
        status, problem = call(pair, f"errandtest.v1.Test/{method}",
                               {"name": "A", "size": 11, "inner": {"mail": "x"}})
        assert status != 0 and problem["code"] == "INVALID_ARGUMENT", method
        assert problem["status"] == 422 and problem["detail"] == "4 faults in the request"
        assert [(e["pointer"], e["rule"]) for e in problem["errors"]] == [
            ("#/name", "string.min_len"), ("#/name", "string.pattern"), ("#/size", "int32.gte_lt"),
            ("#/inner/mail", "string.email")]
        assert problem["errors"][3]["value"] == "x"
    assert call(pair, "errandtest.v1.Test/SyncChecked", {"name": "ab"}) == (0, None)


def test_what_people_see(pair):
    r = subprocess.run([ERRAND, "call", "errandtest.v1.Test/Checked", "name=A", "--socket", pair.socket],
                       capture_output=True, text=True, timeout=30, check=False)
    assert "#/name: must have at least 2 characters, has 1 (there was A)" in r.stderr
    assert "#/name: must match the pattern ^[a-z]+$" in r.stderr


def test_a_big_input_is_checked_on_its_thread(pair):
    tags = [f"{i}" * 10 for i in range(5000)]
    assert pair.post("/test/sync-checked", {"name": "ab", "inner": {"tags": tags}}).status == 200
    status, problem = call(pair, "errandtest.v1.Test/SyncChecked",
                           {"name": "ab", "inner": {"tags": tags + tags[:1]}})
    assert status != 0 and problem["errors"][0]["rule"] == "repeated.unique"


def test_binary_bodies_are_checked(pair):
    r = pair.post("/test/checked", b"\x0a\x01a", headers={"Content-Type": "application/x-protobuf"})
    assert violations(r) == [("#/name", "string.min_len")]


def test_article_has_rules(pair):
    assert violations(pair.post("/send-notification/" + "a" * 300)) == [("?email", "string.max_len")]
    r = pair.post("/encode", {"input_path": "", "output_path": "x", "preset": "fast -f null"})
    assert violations(r) == [("#/input_path", "string.min_len"), ("#/preset", "string.in")]


# --- refused when loaded ---

CEL = """syntax = "proto3";
package bad.v1;
import "buf/validate/validate.proto";
message In { int32 v = 1 [(buf.validate.field).cel = {id: "x" expression: "this > 1"}]; }
"""

MODULE = """#include <errand/service.h>
static const uint8_t set[] = {%s};
static ProtobufCService *const services[] = {NULL};
extern const struct errand_module errand_module;
const struct errand_module errand_module = {ERRAND_MODULE_ABI, "bad", services, set, sizeof set};
"""

REASON = "bad.v1.In.v: (buf.validate.field).cel: errand does not evaluate CEL"


def descriptor_set(tmp_path):
    (tmp_path / "bad.proto").write_text(CEL, encoding="utf-8")
    subprocess.run(["protoc", "-I", os.path.join(TOP, "proto"), "-I", str(tmp_path), "--include_imports",
                    f"--descriptor_set_out={tmp_path}/bad.pb", "bad.proto"], check=True, timeout=60)
    return tmp_path / "bad.pb"


def refused(*argv):
    r = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    assert r.returncode == 78, r.stderr
    assert REASON in r.stderr, r.stderr


def test_gateway_refuses_a_schema_with_cel(tmp_path):
    refused(os.path.join(BUILD, "errand-gateway"), "--schema", str(descriptor_set(tmp_path)),
            "--listen", "127.0.0.1:0")


def test_service_refuses_a_module_with_cel(tmp_path):
    data = descriptor_set(tmp_path).read_bytes()
    (tmp_path / "bad.c").write_text(MODULE % ",".join(map(str, data)), encoding="utf-8")
    subprocess.run(["cc", "-shared", "-fPIC", "-I", os.path.join(TOP, "include"), "-o",
                    str(tmp_path / "bad.so"), str(tmp_path / "bad.c")], check=True, timeout=60)
    refused(os.path.join(BUILD, "errand-service"), "--module", str(tmp_path / "bad.so"), "--socket",
            str(tmp_path / "s"), "--store", "memory")
