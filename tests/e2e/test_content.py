"""What the bytes of requests and answers look like: who may ask, codings, forms, tags."""

import subprocess

import pytest

from conftest import BUILD, Pair

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
