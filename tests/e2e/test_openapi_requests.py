"""The document of an odd schema: requests made from it are taken, and what it says of
limits is what the rules say. There is no service: what is taken is answered with 503."""

import json
import os
import subprocess
import urllib.parse

import pytest

from conftest import TOP, Pair

PROTO = """syntax = "proto3";
package odd.v1;
import "buf/validate/validate.proto";
import "google/api/annotations.proto";
import "google/protobuf/field_mask.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/timestamp.proto";
message Book {
  string name = 1 [(buf.validate.field).string.min_len = 3];
  string title = 2 [(buf.validate.field).required = true];
  Book next = 3;
  oneof kind { int32 a = 4; string b = 5; }
  string default = 6;
}
message Update {
  Book book = 1;
  google.protobuf.FieldMask update_mask = 2;
  oneof kind { int32 a = 4; string b = 5; }
  map<string, int64> counts = 6;
  map<bool, google.protobuf.Timestamp> times = 7;
  google.protobuf.NullValue null = 8;
  int64 id = 9;
  repeated int64 ids = 10;
  bytes raw = 11;
}
message Limits {
  int32 five = 1 [(buf.validate.field).int32 = {gte: 5, lte: 5}];
  int64 below = 2 [(buf.validate.field).int64.lt = 0];
  float outside = 3 [(buf.validate.field).float = {gte: 1, lte: -1}];
  double any = 4 [(buf.validate.field).double = {lt: inf, gt: -inf}];
  repeated float some = 5 [(buf.validate.field).repeated.items.float = {in: [inf, 1.5]}];
  google.protobuf.Timestamp first = 6 [(buf.validate.field).timestamp.const = {seconds: -62135596800}];
  google.protobuf.FieldMask mask = 7 [(buf.validate.field).field_mask.const = {paths: ["a", "b"]}];
}
service Odd {
  rpc Set(Update) returns (Book) {
    option (google.api.http) = {
      patch: "/v1/{book.name=shelves/*/books/*}" body: "book"
      additional_bindings { put: "/v2/{book.name}/{id}" body: "*" }
      additional_bindings { put: "/v3/{b}" body: "*" }
      additional_bindings { put: "/v4/{book.b}" body: "book" }
      additional_bindings { get: "/v5/{book.name}/{raw}" }
    };
  }
  rpc Limit(Limits) returns (Limits);
}
"""
VALUES = {"string": "abc", "integer": "1", "boolean": "true", "number": "1"}


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    folder = tmp_path_factory.mktemp("odd")
    (folder / "odd.proto").write_text(PROTO)
    subprocess.run(["protoc", "-I", folder, "-I", os.path.join(TOP, "proto"), "--include_imports",
                    f"--descriptor_set_out={folder}/odd.pb", "odd.proto"], check=True)
    p = Pair(gateway_args=("--schema", f"{folder}/odd.pb"))
    try:
        p.start_gateway()
        yield p, p.get("/openapi.json").json()
    finally:
        p.close()


def value(schema):
    if schema.get("format") == "date-time":
        return "2026-01-02T03:04:05Z"
    if "int64" in schema.get("format", ""):
        return "9007199254740993"
    return "YWI=" if "contentEncoding" in schema else VALUES[schema["type"]]


def as_query(parameter):
    name, schema = parameter["name"], parameter["schema"]
    if parameter.get("style") == "deepObject":
        key = "true" if "propertyNames" in schema else "k"
        return f"{name}[{key}]=" + value(schema["additionalProperties"])
    if schema["type"] == "array":
        return f"{name}={value(schema['items'])}&{name}={value(schema['items'])}"
    return f"{name}={value(schema)}"


def requests(doc):
    for path, item in doc["paths"].items():
        for verb, op in item.items():
            parameters = [p for p in op["parameters"] if "$ref" not in p]
            for p in (p for p in parameters if p["in"] == "path"):
                path = path.replace("{%s}" % p["name"], urllib.parse.quote(value(p["schema"]), safe=""))
            query = [p for p in parameters if p["in"] == "query"]
            given = "book.title=x&" if any(p["name"] == "book.title" for p in query) else ""
            example = op.get("requestBody", {}).get("content", {}).get("application/json", {}).get("example")
            yield verb, path + "?" + given, example
            for p in query:
                if p["name"] != "book.title":
                    yield verb, path + "?" + given + as_query(p), example


def test_requests_of_the_document_are_taken(odd):
    p, doc = odd
    n = 0
    for verb, target, example in requests(doc):
        if "/Limit" in target:
            continue
        r = p.request(verb.upper(), target, headers={"Content-Type": "application/json"} if example else {},
                      body=json.dumps(example) if example else None)
        assert r.status == 503, (verb, target, example, r)
        n += 1
    assert n >= 25
    body = doc["paths"]["/v1/shelves/{shelf}/books/{book}"]["patch"]["requestBody"]["content"]["application/json"]
    assert "name" not in body["schema"]["properties"] and "name" not in body["schema"]["required"]
    assert "name" not in body["example"] and "default" not in body["example"]
    put = doc["paths"]["/v4/{book_b}"]["put"]["requestBody"]["content"]["application/json"]
    assert {"a", "b"}.isdisjoint(put["schema"]["properties"]) and "a" not in put["example"]


def test_limits(odd):
    schema = odd[1]["components"]["schemas"]["odd.v1.Limits"]
    p = schema["properties"]
    assert schema["required"] == ["five", "below", "outside"]
    assert (p["five"]["minimum"], p["five"]["maximum"]) == (5, 5)
    assert p["any"]["x-errand-rules"] == {"double.lt": "Infinity", "double.gt": "-Infinity"}
    assert p["some"]["items"]["enum"] == ["Infinity", 1.5] and "anyOf" in p["some"]["items"]
    assert p["first"]["x-errand-rules"] == {"timestamp.const": "0001-01-01T00:00:00Z"}
    assert p["mask"]["x-errand-rules"] == {"field_mask.const": ["a", "b"]}
