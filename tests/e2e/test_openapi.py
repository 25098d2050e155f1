"""/openapi.json: what two linters say of it, and a typed client made from it."""

import importlib.util
import json
import os
import shutil
import subprocess

import pytest

from conftest import ARTICLE, BUILD, JS, TESTMOD, TOP, Pair, in_threads, need, wait_until

needs_js = pytest.mark.usefixtures("node_modules")


@pytest.fixture
def jsonschema():
    need(importlib.util.find_spec("jsonschema"), "Python's jsonschema")
    return importlib.import_module("jsonschema")


def run(*argv, **kw):
    return subprocess.run(argv, capture_output=True, text=True, timeout=240, check=False, **kw)


def lint(path):
    r = run("node", os.path.join(JS, "lint.mjs"), path)
    assert r.stderr == "", r.stderr
    found = [json.loads(line) for line in r.stdout.splitlines()]
    return r.returncode, [f for f in found if f["error"]], {f["linter"] for f in found}


def test_answer(pair):
    r = pair.get("/openapi.json")
    assert r.status == 200 and r.headers["Content-Type"] == "application/json"
    assert r.headers["Cache-Control"] == "no-cache"
    tag = r.headers["ETag"]
    head = pair.request("HEAD", "/openapi.json")
    assert head.status == 200 and head.body == b"" and head.headers["ETag"] == tag
    assert int(head.headers["Content-Length"]) == len(r.body)
    same = pair.get("/openapi.json", headers={"If-None-Match": f'"other", W/{tag}'})
    assert same.status == 304 and same.body == b"" and same.headers["ETag"] == tag
    assert pair.get("/openapi.json", headers={"If-None-Match": '"other"'}).status == 200
    assert pair.post("/openapi.json").status == 405
    doc = r.json()
    assert doc["openapi"].startswith("3.1.")
    assert doc["info"]["title"] == "article.v1, errandtest.v1" and doc["info"]["version"] == "v1"
    assert doc["servers"] == [{"url": "/"}]
    # the modules' first, then those of errand.v1
    names = [t["name"] for t in doc["tags"]]
    assert names[:2] == ["Article", "Test"] and {"Tasks", "Store"} <= set(names[2:])


def test_each_route_is_there(pair):
    doc = pair.get("/openapi.json").json()
    items = {path: {k: op for k, op in item.items() if not k.startswith("x-")}
             for path, item in doc["paths"].items()}
    ids = [op["operationId"] for item in items.values() for op in item.values()]
    assert len(ids) == len(set(ids))
    article = {path for path, item in items.items()
               for op in item.values() if op["tags"] == ["Article"]}
    assert article == {"/items/{item_id}", "/sync-operation", "/send-notification/{email}",
                       "/search", "/encode"}
    encode = doc["paths"]["/encode"]["post"]
    assert encode["summary"] == "Transcodes a video with ffmpeg, as a durable task"
    assert set(encode["responses"]["202"]["links"]) == {"task", "result", "cancel"}
    schemas = doc["components"]["schemas"]
    preset = schemas["article.v1.EncodeRequest"]["properties"]["preset"]
    assert "libx264" in preset["description"]
    assert "post" in items["/test/names/{inner_weight}:go"]  # of {inner.weight}
    assert doc["paths"]["/test/any/{text_value}"]["x-errand-routes"][0]["verb"] == "*"
    # what is in it can be reached, and what is referred to is in it
    text = json.dumps(doc)
    for name in schemas:
        assert f'"#/components/schemas/{name}"' in text, name


def test_options(make_pair):
    p = make_pair(modules=(ARTICLE,), gateway_args=(
        "--api-title", "Videos & more", "--api-version", "2026-01",
        "--public-url", "https://api.example.org/v2"))
    doc = p.get("/openapi.json").json()
    assert doc["info"]["title"] == "Videos & more" and doc["info"]["version"] == "2026-01"
    assert doc["servers"] == [{"url": "https://api.example.org/v2"}]


def test_follows_the_schema(make_pair):
    """Another schema, another document and tag; asked for by many at once."""
    p = make_pair(modules=(ARTICLE,), gateway_args=("--threads", "4"))
    old = p.get("/openapi.json")
    p.service.stop()
    p.modules = (ARTICLE, TESTMOD)
    p.start_service()
    wait_until(lambda: p.get("/test/stream?count=1").status == 200, 20, "the new schema")
    answers = in_threads(16, lambda i: p.get("/openapi.json"))
    assert len({(r.status, r.headers["ETag"], r.body) for r in answers}) == 1
    assert answers[0].headers["ETag"] != old.headers["ETag"]
    assert "/test/echo" in answers[0].json()["paths"] and "/test/echo" not in old.json()["paths"]
    again = p.get("/openapi.json", headers={"If-None-Match": old.headers["ETag"]})
    assert again.status == 200


@pytest.mark.parametrize("url", ["example.org", "ftp://example.org", "http://", "https:///x",
                                 "http://h/?q", "http://u@h", "http://h/", "http://h/a b"])
def test_bad_public_url(url):
    r = run(os.path.join(BUILD, "errand-gateway"), "--public-url", url)
    assert r.returncode == 64 and "--public-url" in r.stderr


def test_no_schema_yet():
    p = Pair()
    try:
        p.start_gateway()
        r = p.get("/openapi.json")
        assert r.status == 503 and r.headers["Retry-After"]
        assert r.headers["Content-Type"] == "application/problem+json"
    finally:
        p.close()


@pytest.fixture(scope="module")
def rich(tmp_path_factory):
    """The document of tests/golden/openapi/rich.proto, from a gateway without a service."""
    pb = tmp_path_factory.mktemp("rich") / "rich.pb"
    r = run("protoc", "-I", os.path.join(TOP, "proto"), "-I", os.path.join(TOP, "tests/golden/openapi"),
            "-I", "/usr/include", "--include_imports", "--include_source_info",
            f"--descriptor_set_out={pb}", "rich.proto")
    assert r.returncode == 0, r.stderr
    p = Pair(gateway_args=("--schema", str(pb)))
    try:
        p.start_gateway()
        yield p.get("/openapi.json").body
    finally:
        p.close()


def unique_keys(pairs):
    assert len(pairs) == len(dict(pairs)), [k for k, _ in pairs]
    return dict(pairs)


def test_rich(rich):
    doc = json.loads(rich, object_pairs_hook=unique_keys)
    routes = {(verb, path) for path, item in doc["paths"].items() for verb in item if verb[0] != "x"}
    # a template of several segments, one that shares its shape, a verb behind a colon
    assert {("get", "/v2/shelves/{shelf}/books/{book}"), ("post", "/v2/shelves/{shelf}/books"),
            ("post", "/v2/books/{text}:bind"), ("post", "/rich.v2.Library/Plain")} <= routes
    assert doc["paths"]["/v2/books/{name}"]["x-errand-routes"][0]["verb"] == "SYNC"
    assert not any("Upload" in path for _, path in routes)


def test_examples_keep_their_schemas(pair, rich, jsonschema):
    """Each example of a body is valid as JSON Schema judges it."""
    n = 0
    for doc in (json.loads(rich), pair.get("/openapi.json").json()):
        resolver = jsonschema.RefResolver("", doc)
        for item in doc["paths"].values():
            for op in (v for k, v in item.items() if not k.startswith("x-")):
                content = op.get("requestBody", {}).get("content", {}).get("application/json", {})
                if "example" not in content:
                    continue
                checker = jsonschema.Draft202012Validator(
                    content["schema"], resolver=resolver,
                    format_checker=jsonschema.draft202012_format_checker)
                checker.validate(content["example"])
                n += 1
        for schema in doc["components"]["schemas"].values():
            jsonschema.Draft202012Validator.check_schema(schema)
    assert n >= 20


def test_oneofs_and_rules_as_schema(rich, jsonschema):
    """The keywords mean what the rules mean: what breaks one is not valid."""
    doc = json.loads(rich)
    checker = jsonschema.Draft202012Validator(doc["components"]["schemas"]["rich.v2.Rules"],
                                              resolver=jsonschema.RefResolver("", doc))
    good = doc["paths"]["/v2/rules"]["post"]["requestBody"]["content"]["application/json"]["example"]
    assert not list(checker.iter_errors(good))
    for change in ({"sized": "x"}, {"exact": "four"}, {"pattern": "A"}, {"prefixed": "axb/$"},
                   {"avoiding": "ax*yb"}, {"one_of": "c"}, {"none_of": "a"}, {"constant": "d"},
                   {"between": 3}, {"between": 10}, {"one_of_large": "7"}, {"finite": "NaN"},
                   {"half": 0.5}, {"yes": False}, {"defined": "LOST"}, {"lent": "IN"},
                   {"tags": []}, {"tags": ["a", "a"]}, {"tags": [""]}, {"scores": {"x": 1}},
                   {"scores": {"xx": -1}}, {"second": "both"}, {"wrapped": "abc"}):
        assert list(checker.iter_errors(good | change)), change
    for missing in ("required", "sized", "between", "tags", "first"):
        assert list(checker.iter_errors({k: v for k, v in good.items() if k != missing})), missing


@needs_js
@pytest.mark.parametrize("modules", ["article", "both", "rich"])
def test_linters(make_pair, tmp_path, modules, rich):
    path = tmp_path / "openapi.json"
    if modules == "rich":
        path.write_bytes(rich)
        assert lint(path)[:2] == (0, [])
        return
    p = make_pair(**({"modules": (ARTICLE,)} if modules == "article" else {}))
    body = p.get("/openapi.json").body
    path.write_bytes(body)
    assert lint(path)[:2] == (0, [])
    # and they do look: a parameter that the path has not, a reference to nothing
    doc = json.loads(body)
    doc["paths"]["/items/{item_id}"]["get"]["parameters"][0]["name"] = "id"
    doc["components"]["schemas"]["article.v1.Item"] = {"$ref": "#/components/schemas/Nowhere"}
    path.write_text(json.dumps(doc))
    code, errors, linters = lint(path)
    assert code == 1 and len(errors) >= 2 and linters == {"redocly", "spectral"}


@needs_js
def test_typed_client(pair, tmp_path):
    (tmp_path / "openapi.json").write_bytes(pair.get("/openapi.json").body)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "node_modules").symlink_to(os.path.join(JS, "node_modules"))
    shutil.copy(os.path.join(JS, "client.ts"), tmp_path)
    tools = os.path.join(JS, "node_modules", ".bin")
    r = run(os.path.join(tools, "openapi-typescript"), "openapi.json", "-o", "api.d.ts", cwd=tmp_path)
    assert r.returncode == 0, r.stdout + r.stderr
    (tmp_path / "tsconfig.json").write_text(json.dumps({"files": ["client.ts"], "compilerOptions": {
        "strict": True, "noUncheckedIndexedAccess": True, "module": "nodenext", "target": "es2022",
        "lib": ["es2022", "dom", "dom.iterable"], "types": []}}))
    r = run(os.path.join(tools, "tsc"), cwd=tmp_path)
    assert r.returncode == 0, r.stdout
    r = run("node", "client.js", f"http://127.0.0.1:{pair.port}", cwd=tmp_path)
    assert r.returncode == 0, r.stderr
    got = json.loads(r.stdout)
    assert got["unary"]["id"] == 7
    echo = got["unary"]["echo"]
    assert echo["int64_value"] == "9007199254740993" and echo["kind"] == "SECOND"
    assert echo["inner"]["next"]["weight"] == 2 and echo["double_value"] == "NaN"
    assert got["query"]["text_value"] == "a b/c" and got["query"]["numbers"] == [1, 2]
    assert got["query"]["counts"] == {"x": 3, "y": 4}
    assert got["query"]["inner"]["label"] == "deep" and got["query"]["bool_value"] is True
    task = got["task"]
    assert task["status"] == 202 and task["location"].startswith("/v1/tasks/")
    assert task["state"] == "SUCCEEDED" and task["result"]["text_value"] == "durable"
    assert task["waited"][0] == 200 and task["waited"][1]["text_value"] == "waited"
    assert task["forgotten"] == 204
    assert got["problem"] == {"status": 422, "pointer": "#/int32_value", "code": "NOT_FOUND"}
    assert got["stream"] == [0, 1, 2]
