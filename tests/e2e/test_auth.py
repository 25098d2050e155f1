"""Who may do what: nobody gets in without credentials, everybody as far as his scopes go and not too often, and no
secret gets out."""

import base64
import contextlib
import glob
import hashlib
import json
import os
import pickle
import re
import shutil
import signal
import subprocess
import tempfile
import time

import pytest
import rawworker
from conftest import ARTICLE, BUILD, Pair, in_threads, wait_until

ROOT = os.geteuid() == 0
OTHER = 65534  # another user
NEVER = "-"
PAST = "2020-01-01T00:00:00Z"
UNAUTHENTICATED, PERMISSION_DENIED = 16, 7
others = pytest.mark.skipif(not ROOT, reason="needs another user")


class Tokens:
    """A file of tokens, written as its manual page says."""

    def __init__(self, path, **scopes):
        self.path, self.lines, self.text = path, {}, {}
        for name, scope in scopes.items():
            self.add(name, scope, write=False)
        self.write()

    def add(self, name, scopes, expires=NEVER, revoked=NEVER, write=True):
        text = "erd_" + base64.urlsafe_b64encode(os.urandom(32)).decode().rstrip("=")
        digest = hashlib.sha256(text.encode()).hexdigest()
        self.text[name] = text
        self.lines[name] = f"{digest[:12]} {digest} {scopes} 2026-01-01T00:00:00Z {expires} {revoked} {name}"
        if write:
            self.write()
        return text

    def revoke(self, name):
        words = self.lines[name].split()
        words[5] = PAST
        self.lines[name] = " ".join(words)
        self.write()

    def write(self):
        with open(self.path + ".new", "w", encoding="utf-8") as f:
            os.chmod(f.name, 0o600)
            f.write("# made by a test\n" + "".join(line + "\n" for line in self.lines.values()))
        os.rename(f.name, self.path)

    def header(self, name):
        return {"Authorization": f"Bearer {self.text[name]}"}


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    t = Tokens(str(tmp_path_factory.mktemp("auth") / "tokens"), reader="read", caller="call", operator="operate",
               of_article="call:article.v1.Article", of_nothing="read:no.such.Service")
    t.add("expired", "operate", expires=PAST)
    t.add("revoked", "operate", revoked=PAST)
    return t


@contextlib.contextmanager
def guarded_by(tokens):
    p = Pair(gateway_args=["--tokens", tokens.path, "--auth-failures", "off"])
    try:
        yield p.start()
    finally:
        p.close()


@pytest.fixture(scope="module")
def guarded(tokens):
    with guarded_by(tokens) as p:
        yield p


@pytest.fixture(scope="module")
def routes(guarded):
    """(verb, path) of all that there is: bindings and methods of the schema, and what the gateway has itself."""
    out = subprocess.run([f"{BUILD}/errand", "routes", "--socket", guarded.socket, "--json"], check=True,
                         capture_output=True, text=True, timeout=60).stdout
    found = {("GET", p) for p in ("/docs", "/docs/", "/metrics", "/openapi.json")}
    for row in json.loads(out)["routes"] if out.lstrip().startswith('{"routes"') else map(json.loads, out.splitlines()):
        if row["path"]:
            found.add((row["verb"], re.sub(r"\{[^}]*\}|\*+", "x", row["path"])))
        found.add(("POST", "/" + row["method"].lstrip("/")))
    assert len(found) > 80 and ("POST", "/v1/queues/x:pause") in found, sorted(found)
    return sorted(found)


def refused(r, status, error):
    challenge = r.headers.get("WWW-Authenticate") or ""
    assert r.status == status, r
    assert challenge.startswith('Bearer realm="errand"'), r
    assert ('error="' + error + '"' in challenge) if error else ("error=" not in challenge), r
    assert r.headers["Cache-Control"] == "no-store"
    return True


def calls_seen(pair, tokens):
    """How many calls have come to the service."""
    text = pair.get("/metrics", headers=tokens.header("operator")).body.decode()
    return sum(int(n) for n in re.findall(r"^errand_gateway_calls_total\{.*\} (\d+)$", text, re.M))


# --- nobody gets in ---

def wrong_ways(tokens):
    good = tokens.text["operator"]
    basic = base64.b64encode(f"{good}:".encode()).decode()
    return [
        ({}, None),
        ({"Authorization": "Bearer erd_" + "A" * 43}, "invalid_token"),
        ({"Authorization": f"Bearer {good[:-1]}"}, "invalid_token"),
        ({"Authorization": f"Bearer {good}A"}, "invalid_token"),
        ({"Authorization": f"Bearer {good.swapcase()}"}, "invalid_token"),
        ({"Authorization": f"Bearer {hashlib.sha256(good.encode()).hexdigest()}"}, "invalid_token"),
        ({"Authorization": f"Basic {basic}"}, "invalid_request"),
        ({"Authorization": good}, "invalid_request"),
        ({"Authorization": "Bearer "}, "invalid_request"),
        ({"Authorization": f"Bearer {good}, Bearer {good}"}, "invalid_token"),
        (tokens.header("expired"), "invalid_token"),
        (tokens.header("revoked"), "invalid_token"),
        ({"Cookie": f"token={good}", "X-Api-Key": good, "Proxy-Authorization": f"Bearer {good}"}, None),
        ({"errand-identity": "token:operator", "X-Forwarded-User": "root", "X-Errand-Identity": "uid:0"}, None),
    ]


def test_every_route_wants_credentials(guarded, tokens, routes):
    before = calls_seen(guarded, tokens)
    ways = wrong_ways(tokens)

    def ask(i):
        c = guarded.connect()
        for verb, path in routes[i::4]:
            for headers, error in ways:
                c.request(verb, path, b"{}" if verb in ("POST", "PATCH", "PUT") else None,
                          {"Content-Type": "application/json", **headers})
                r = c.getresponse()
                body = r.read()
                assert r.status == 401, (verb, path, headers, r.status, body)
                refused(r, 401, error)
                assert json.loads(body)["code"] == "UNAUTHENTICATED", (verb, path)
                if not r.will_close:
                    continue
                c.close()
                c = guarded.connect()
        c.close()
    in_threads(4, ask)
    assert calls_seen(guarded, tokens) == before


def test_every_form_of_a_request_wants_credentials(guarded, tokens):
    """Whatever else would be said of it comes after who asks."""
    good = tokens.text["operator"]
    before = calls_seen(guarded, tokens)
    for verb, path, headers in [
            ("GET", "/nowhere", {}), ("POST", "/nowhere", {}), ("OPTIONS", "/v1/tasks", {}), ("OPTIONS", "*", {}),
            ("HEAD", "/v1/tasks", {}), ("HEAD", "/metrics", {}), ("DELETE", "/metrics", {}), ("PROPFIND", "/v1/tasks", {}),
            ("GET", "/v1/tasks?access_token=" + good, {}), ("GET", f"/v1/tasks?token={good}", {}),
            ("GET", "/v1/events", {"Accept": "text/event-stream"}), ("GET", "/%zz", {}), ("GET", "//v1/tasks", {}),
            ("POST", "/errand.v1.Tasks/ListTasks", {"Connect-Protocol-Version": "1"}),
            ("GET", "/errand.v1.Tasks/ListTasks?connect=v1&encoding=json&message=%7B%7D", {}),
            ("GET", "/livez/", {}), ("GET", "/LIVEZ", {}), ("GET", "/docs/../v1/tasks", {}), ("GET", "/metrics/", {}),
            ("GET", "/docs/%2e%2e/metrics", {})]:
        r = guarded.request(verb, path, None, headers)
        assert r.status in (401, 400) and (r.status == 401 or path == "//v1/tasks"), (verb, path, r)
    assert calls_seen(guarded, tokens) == before
    answer = guarded.raw(b"POST /v1/tasks HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                         b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n", timeout=5)
    assert answer.startswith(b"HTTP/1.1 401 ") and b" 100 " not in answer.split(b"\r\n")[0]
    answer = guarded.raw(f"GET /v1/tasks HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {good}\r\n"
                         f"Authorization: Bearer {good}\r\nConnection: close\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 401 ") and b"invalid_request" in answer
    for path in ("/livez", "/readyz"):
        assert guarded.get(path).status == 200


def test_preflight_is_open_and_what_follows_is_not(make_pair, tokens):
    pair = make_pair(gateway_args=["--tokens", tokens.path, "--cors-origin", "https://shop.example"], modules=(ARTICLE,))
    page = {"Origin": "https://shop.example"}
    r = pair.request("OPTIONS", "/v1/tasks", None, {**page, "Access-Control-Request-Method": "GET",
                                                    "Access-Control-Request-Headers": "authorization"})
    assert r.status in (200, 204) and "authorization" in r.headers["Access-Control-Allow-Headers"]
    r = pair.get("/v1/tasks", headers=page)
    assert refused(r, 401, None) and "WWW-Authenticate" in r.headers["Access-Control-Expose-Headers"]


# --- scopes ---

def test_a_token_for_nothing_does_nothing(guarded, tokens, routes):
    """Valid, but of another service: 403 on each route, and no call."""
    before = calls_seen(guarded, tokens)
    for verb, path in routes:
        r = guarded.request(verb, path, b"{}" if verb in ("POST", "PATCH", "PUT") else None, tokens.header("of_nothing"))
        if r.status == 404 and path.startswith(("/errand.v1.Workers/", "/errand.v1.Schema/")):
            continue  # of the socket alone
        assert refused(r, 403, "insufficient_scope") and 'scope="' in r.headers["WWW-Authenticate"], (verb, path)
    assert calls_seen(guarded, tokens) == before
    assert guarded.get("/nowhere", headers=tokens.header("of_nothing")).status == 404


GONE = "01936b2c-0000-7000-8000-000000000000"


@pytest.mark.parametrize("name,good,bad", [
    ("reader", ["GET /v1/tasks", "GET /v1/queues", "GET /metrics", "GET /openapi.json", "GET /v1/server", "GET /docs"],
     ["POST /v1/tasks", "POST /v1/tasks:cancel", "GET /items/1", f"POST /v1/tasks/{GONE}:cancel", "POST /v1/queues/x:pause",
      f"DELETE /v1/tasks/{GONE}"]),
    ("caller", ["GET /items/1", "POST /v1/tasks", f"GET /v1/tasks/{GONE}", f"POST /v1/tasks/{GONE}:cancel"],
     ["GET /v1/tasks", "GET /v1/queues", "GET /metrics", "POST /v1/tasks:cancel", "POST /v1/queues/x:pause", "GET /v1/events"]),
    ("of_article", ["GET /items/1", f"GET /v1/tasks/{GONE}"],
     ["POST /v1/tasks:cancel", "GET /v1/tasks", "POST /errand.test.v1.Test/Echo", "POST /v1/queues/x:pause", "GET /metrics"]),
    ("operator", ["GET /items/1", "GET /v1/tasks", "GET /metrics", "POST /v1/queues/x:pause", f"POST /v1/tasks/{GONE}:cancel"],
     []),
])
def test_scopes(guarded, tokens, routes, name, good, bad):
    for what in good + bad:
        verb, path = what.split()
        r = guarded.request(verb, path, b"{}" if verb == "POST" else None, tokens.header(name))
        if what in good:
            assert r.status not in (401, 403, 429, 501), (what, r)
        elif path.startswith("/errand.test") and ("POST", path) not in routes:
            continue
        else:
            assert refused(r, 403, "insufficient_scope"), what


def test_a_scope_of_one_service_is_no_way_to_tasks_of_others(guarded, tokens):
    """CreateTask names a method itself."""
    other = next(m for m in re.findall(r"[\w.]+/\w+", guarded.get("/openapi.json", headers=tokens.header("operator"))
                                       .body.decode()) if m.startswith("errand.test") or m.startswith("test"))
    r = guarded.post("/v1/tasks", {"method": other, "input": {}}, headers=tokens.header("of_article"))
    assert r.status == 403, r


# --- the file ---

def test_created_revoked_and_rotated_while_serving(make_pair, tmp_path):
    tokens = Tokens(str(tmp_path / "tokens"), old="operate")
    pair = make_pair(gateway_args=["--tokens", tokens.path, "--auth-failures", "off"], modules=(ARTICLE,))
    old = tokens.header("old")

    def status(headers):
        return pair.get("/search", headers=headers).status
    assert status(old) == 200
    tokens.add("new", "call")
    wait_until(lambda: status(tokens.header("new")) == 200, 5, "the new token")
    tokens.revoke("old")
    wait_until(lambda: status(old) == 401, 5, "the end of the old one")
    with open(tokens.path, "a", encoding="utf-8") as f:
        f.write("this is no token\n")
    line = len(tokens.lines) + 2
    wait_until(lambda: [status(tokens.header("new")), f"{tokens.path}:{line}: " in pair.gateway.text()][1], 5, "log")
    assert status(tokens.header("new")) == 200 and status(old) == 401  # as before
    tokens.write()
    os.chmod(tokens.path, 0o644)
    wait_until(lambda: [status(old), "chmod" in pair.gateway.text()][1], 5, "log of the mode")
    assert status(tokens.header("new")) == 200
    os.unlink(tokens.path)
    assert status(tokens.header("new")) == 200
    tokens.write()
    soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 2))
    tokens.add("short", "call", expires=soon)
    wait_until(lambda: status(tokens.header("short")) == 200, 5, "the short one")
    wait_until(lambda: status(tokens.header("short")) == 401, 8, "its end")


# --- how often ---

def ratelimit(r, of="client"):
    limit = re.fullmatch(r'"(\w+)";r=(\d+);t=(\d+)', r.headers["RateLimit"])
    policy = re.fullmatch(r'"(\w+)";q=(\d+);w=(\d+)', r.headers["RateLimit-Policy"])
    assert limit[1] == policy[1] == of
    return int(limit[2]), int(policy[2]), int(policy[3])


def test_one_client_too_often_others_served(make_pair, tokens, tmp_path):
    """FAULTS 67."""
    conf = tmp_path / "errand.conf"
    conf.write_text("[gateway]\nrate-limit = 60/m:5\n")
    pair = make_pair(gateway_args=["--tokens", tokens.path, "--config", str(conf), "--anonymous", "call"], modules=(ARTICLE,))
    one, other = tokens.header("caller"), tokens.header("operator")
    for left in (4, 3, 2, 1, 0):
        r = pair.get("/search", headers=one)
        assert r.status == 200 and ratelimit(r)[1:] == (5, 5) and ratelimit(r)[0] >= left, r
    many = [r for r in (pair.get("/search", headers=one) for _ in range(20)) if r.status == 429]
    assert len(many) >= 15
    for r in many:
        assert r.headers["Retry-After"] == "1" and ratelimit(r)[0] == 0
        assert r.headers["Content-Type"] == "application/problem+json" and r.json()["code"] == "RESOURCE_EXHAUSTED"
    assert pair.get("/search", headers=other).status == 200  # another token
    assert pair.get("/search").status == 200  # nobody, by address
    assert all(pair.get("/livez").status == 200 for _ in range(20))
    wait_until(lambda: pair.get("/search", headers=one).status == 200, 10, "room again")
    conf.write_text("[gateway]\nrate-limit = off\n")
    pair.gateway.popen.send_signal(signal.SIGHUP)
    wait_until(lambda: all("RateLimit" not in pair.get("/search", headers=one).headers for _ in range(8)), 15, "reload")
    assert all(pair.get("/search", headers=one).status == 200 for _ in range(20))


def test_wrong_credentials_too_often(make_pair, tokens):
    pair = make_pair(gateway_args=["--tokens", tokens.path, "--auth-failures", "2/h:5"], modules=(ARTICLE,))
    wrong = {"Authorization": "Bearer erd_" + "B" * 43}
    assert [pair.get("/search", headers=wrong).status for _ in range(8)] == [401] * 5 + [429] * 3
    r = pair.get("/search", headers=tokens.header("revoked"))
    assert r.status == 429 and int(r.headers["Retry-After"]) > 1000
    assert pair.get("/search", headers=tokens.header("caller")).status == 200  # from the same address
    assert pair.get("/search").status == 401  # who says nothing has not lied


# --- users of this machine ---

def as_user(uid, work):
    """work() in a process of that user; what it returns."""
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(r)
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            try:
                got = work()
            except Exception as e:  # pylint: disable=broad-except
                got = repr(e)
            os.write(w, pickle.dumps(got))
        finally:
            os._exit(0)
    os.close(w)
    with open(r, "rb") as f:
        data = f.read()
    os.waitpid(pid, 0)
    return pickle.loads(data)


def call(path, method, payload=b"", metadata=()):
    """0, or the code and its text."""
    c = rawworker.Client(path)
    try:
        s = c.start(method, payload, metadata)
        s = s[1] if isinstance(s, tuple) else s
        s.get()
        return 0
    except rawworker.Failed as e:
        return e.code, str(e)
    except OSError as e:  # closed before it was written
        return 14, str(e)
    finally:
        c.close()


PAUSE = ("errand.v1.Queues/PauseQueue", rawworker.field(1, "default"))


def open_socket(pair):
    os.chmod(pair.dir, 0o711)
    os.chmod(pair.socket, 0o666)


def audit(pair):
    return re.findall(r'msg="operator action".*identity=(\S+) method=(\S+) resource=(\S+) outcome=(\S+)', pair.service.text())


@others
def test_another_user_on_the_services_socket(make_pair):
    """FAULTS 43: not one byte is read."""
    pair = make_pair(modules=(ARTICLE,))
    open_socket(pair)
    code, _ = as_user(OTHER, lambda: call(pair.socket, *PAUSE))
    assert code == 14
    pair.service.wait_line(rf"connection refused: this user may not connect.*uid={OTHER}")
    assert audit(pair) == []


@others
def test_forged_identity(make_pair):
    pair = make_pair(modules=(ARTICLE,), service_args=["--allow-uid", str(OTHER)])
    open_socket(pair)
    assert as_user(OTHER, lambda: call(pair.socket, *PAUSE)) == 0
    wait_until(lambda: audit(pair)[-1:] and audit(pair)[-1][0] == f"uid:{OTHER}", 10, "its own name")
    n = len(audit(pair))
    for said in ("token:admin", "uid:0", f"uid:{OTHER}", "\n", "x" * 5000):
        got = as_user(OTHER, lambda said=said: call(pair.socket, *PAUSE, [("errand-identity", said)]))
        assert got[0] == PERMISSION_DENIED, (said, got)
    assert len(audit(pair)) == n
    pair.service.wait_line(rf"says that it is somebody else.*uid={OTHER}.*--gateway-uid")
    assert call(pair.socket, *PAUSE, [("errand-identity", "token:ops")]) == 0  # root may speak for others
    wait_until(lambda: audit(pair)[-1][0] == "token:ops", 10, "the name that it was told")


@others
def test_gateway_of_another_user(make_pair):
    pair = make_pair(modules=(ARTICLE,), service_args=["--allow-uid", str(OTHER), "--gateway-uid", str(OTHER)])
    open_socket(pair)
    assert as_user(OTHER, lambda: call(pair.socket, *PAUSE, [("errand-identity", "token:ci")])) == 0
    wait_until(lambda: audit(pair)[-1:] and audit(pair)[-1][0] == "token:ci", 10, "the client's name")


@others
def test_connections_of_one_user(make_pair):
    pair = make_pair(modules=(ARTICLE,), service_args=["--allow-uid", str(OTHER), "--max-user-connections", "3"],
                     gateway_args=["--threads", "1"])
    open_socket(pair)

    def ask():
        clients = [rawworker.Client(pair.socket) for _ in range(4)]
        out = []
        for c in clients:
            try:
                s = c.start("errand.v1.Servers/GetServer")
                (s[1] if isinstance(s, tuple) else s).get()
                out.append(0)
            except (rawworker.Failed, OSError) as e:
                out.append(getattr(e, "code", 14))
        for c in clients:
            c.close()
        return out
    assert as_user(OTHER, ask) == [0, 0, 0, 14]
    pair.service.wait_line("connection refused.*too many connections of this user")
    assert pair.get("/items/1").status == 200
    wait_until(lambda: as_user(OTHER, lambda: call(pair.socket, "errand.v1.Servers/GetServer")) == 0, 10, "room again")


def test_headers_are_no_identity(guarded, tokens):
    r = guarded.request("POST", "/v1/queues/x:pause", b"{}", {
        **tokens.header("operator"), "errand-identity": "token:forged", "Errand-Identity": "token:forged",
        "x-request-id": "errand-identity", "traceparent": "errand-identity: token:forged"})
    assert r.status not in (401, 403), r
    wait_until(lambda: audit(guarded), 10, "audit")
    assert {line[0] for line in audit(guarded)} == {"token:operator"}
    assert "forged" not in guarded.service.text()


def test_operators_are_in_the_log(make_pair, tokens):
    """Each of their methods, whatever came of it, from a gateway and from the socket."""
    pair = make_pair(modules=(ARTICLE,), gateway_args=["--tokens", tokens.path])
    pair.request("POST", "/v1/queues/default:pause", b"{}", tokens.header("operator"))
    pair.request("POST", "/v1/queues/no-such-queue-of-ours:resume", b"{}", tokens.header("operator"))
    pair.request("GET", "/v1/queues", None, tokens.header("operator"))
    assert call(pair.socket, *PAUSE) == 0
    lines = wait_until(lambda: len(audit(pair)) >= 3 and audit(pair), 10, "three lines")
    assert lines[0] == ("token:operator", "errand.v1.Queues/PauseQueue", "default", "OK")
    assert lines[-1][:3] == (f"uid:{os.geteuid()}", "errand.v1.Queues/PauseQueue", "default")
    assert not any("ListQueues" in line[1] for line in lines)


def test_operators_tasks_are_in_the_log(make_pair, tokens):
    """Of a method of theirs that is a task each attempt: who has made it, whichever way, and what came of it."""
    pair = make_pair(gateway_args=["--tokens", tokens.path])
    operate, operator = "errandtest.v1.Test/TaskOperate", tokens.header("operator")
    r = pair.post("/test/task-operate", {"textValue": "a"}, headers={**operator, "Prefer": "respond-async"})
    assert r.status == 202, r
    id_ = r.json()["id"]
    wait_until(lambda: audit(pair) == [("token:operator", operate, "-", "OK")], 20, "its line")
    assert re.search(rf'msg="operator action".*task={id_}', pair.service.text())
    out = subprocess.run([f"{BUILD}/errand", "submit", operate, "textValue=fail", "--socket", pair.socket, "--wait"],
                         capture_output=True, text=True, timeout=60, check=False)
    assert out.returncode != 0
    wait_until(lambda: len(audit(pair)) == 2, 20, "the second line")
    assert audit(pair)[1] == (f"uid:{os.geteuid()}", operate, "-", "FAILED_PRECONDITION")
    r = pair.post("/v1/schedules", {"id": "nightly", "cron": "0 3 1 1 *", "method": operate, "input": {}},
                  headers=operator)
    assert r.status in (200, 201), r
    assert pair.post("/v1/schedules/nightly:trigger", {}, headers=operator).status in (200, 201, 202)
    wait_until(lambda: ("-", operate, "-", "OK") in audit(pair), 20, "that of a schedule, which nobody has made")
    who = [(line[0], line[1].split("/")[1]) for line in audit(pair)[2:]]
    assert ("token:operator", "CreateSchedule") in who and ("token:operator", "TriggerSchedule") in who


def test_a_task_keeps_who_has_made_it(make_pair, tokens):
    pair = make_pair(gateway_args=["--tokens", tokens.path])
    caller = {**tokens.header("caller"), "Prefer": "wait=20"}
    r = pair.post("/test/task-who", {}, headers=caller)
    assert r.status == 200 and r.json()["message"] == "token:caller", r
    r = pair.post("/v1/tasks", {"method": "errandtest.v1.Test/TaskWho", "input": {}}, headers=caller)
    assert r.status in (200, 201, 202), r
    path = f"/v1/tasks/{r.json()['id']}/result"
    r = wait_until(lambda: [r for r in [pair.get(path, headers=tokens.header("caller"))] if r.status == 200], 20, "result")[0]
    assert r.json()["message"] == "token:caller", r
    c = rawworker.Client(pair.socket)
    assert dict(rawworker.fields(c.call("errandtest.v1.Test/TaskWho")))[1].decode() == f"uid:{os.geteuid()}"
    assert dict(rawworker.fields(c.call("errandtest.v1.Test/TaskWho", metadata=[("errand-identity", "cert:x")])))[1] == b"cert:x"
    c.close()


def test_no_task_without_its_maker(pair):
    """Nor by metadata that says nobody, or leaves no room."""
    def who(*metadata):
        c = rawworker.Client(pair.socket)
        try:
            return dict(rawworker.fields(c.call("errandtest.v1.Test/TaskWho", metadata=metadata)))[1].decode()
        finally:
            c.close()
    me, some = f"uid:{os.geteuid()}", [(f"key-{i}", "x") for i in range(64)]
    assert who(("errand-identity", "")) == me
    assert who(("errand-identity", ""), ("errand-identity", "token:admin")) == me
    assert who(*some[:63]) == me
    assert who(*some[:63], ("errand-identity", "")) == me
    with pytest.raises(rawworker.Failed, match="too much metadata") as e:
        who(*some)
    assert e.value.code == 3


# --- no secret gets out ---

@pytest.fixture
def private(make_pair, tmp_path):
    tokens = Tokens(str(tmp_path / "tokens"), good="operate", weak="read:no.such.Service")
    keys = tmp_path / "keys"
    keys.write_text("whsec_" + base64.b64encode(os.urandom(32)).decode() + "\n")
    keys.chmod(0o600)
    pair = make_pair(modules=(ARTICLE,), gateway_args=["--tokens", tokens.path, "--log-level", "debug"],
                     service_args=["--callback-keys", str(keys), "--log-level", "debug"])
    return pair, tokens, keys.read_text().strip()


def test_secrets_are_told_nobody(private):
    """FAULTS 86."""
    pair, tokens, key = private
    wrong = "erd_" + base64.urlsafe_b64encode(os.urandom(32)).decode().rstrip("=")
    seen = b""
    for text in (*tokens.text.values(), wrong):
        for verb, path in (("GET", "/items/1"), ("POST", "/v1/queues/default:pause"), ("GET", "/nowhere"), ("POST", "/v1/tasks")):
            r = pair.request(verb, path, b"{}" if verb == "POST" else None, {"Authorization": f"Bearer {text}"})
            seen += r.body + str(r.headers).encode()
    with open(tokens.path, "a", encoding="utf-8") as f:
        f.write(f"{wrong} is no hash\n")  # who writes a token there is not told of it in the log
    wait_until(lambda: [pair.get("/items/1", headers=tokens.header("good")), f"{tokens.path}:4: " in pair.gateway.text()][1], 5)
    pair.gateway.popen.send_signal(signal.SIGHUP)
    pair.service.popen.send_signal(signal.SIGHUP)
    for path in [*glob.glob(pair.path("*.log")), *(f"/proc/{d.pid}/{n}" for d in (pair.gateway, pair.service)
                                                   for n in ("cmdline", "environ"))]:
        with open(path, "rb") as f:
            seen += f.read()
    for secret in (*tokens.text.values(), wrong, key, key.removeprefix("whsec_")):
        assert secret.encode() not in seen and secret.encode()[4:-4] not in seen


@pytest.mark.release  # sanitizers write no core files
def test_no_core_file(private):
    """FAULTS 86: who holds secrets cannot be dumped, which is seen in who owns its files in /proc."""
    pair, _, _ = private
    for daemon, args in ((pair.gateway, ["--tokens"]), (pair.service, ["--callback-keys"])):
        assert args[0] in daemon.argv
        with open("/proc/sys/kernel/core_pattern", encoding="utf-8") as f:
            if not f.read().startswith("core"):
                continue
        cwd = os.readlink(f"/proc/{daemon.pid}/cwd")
        before = set(glob.glob(f"{cwd}/core*"))
        subprocess.run(["prlimit", f"--pid={daemon.pid}", "--core=unlimited:unlimited"], check=False)
        daemon.popen.send_signal(signal.SIGABRT)
        daemon.popen.wait(20)
        assert set(glob.glob(f"{cwd}/core*")) == before


@others
def test_nobody_else_looks_into_it(tokens):
    """FAULTS 86: nor may the gateway's own user, who may be that of other programs: what shows is whose its /proc is."""
    with tempfile.TemporaryDirectory(prefix="errand-auth-") as d:
        os.chown(d, OTHER, OTHER)
        shutil.copy(tokens.path, f"{d}/tokens")
        os.chmod(f"{d}/tokens", 0o600)
        os.chown(f"{d}/tokens", OTHER, OTHER)

        def owner(*args):
            r, w = os.pipe()
            with subprocess.Popen([f"{BUILD}/errand-gateway", "--config", "none", "--listen", "127.0.0.1:0", "--socket",
                                   f"{d}/none.sock", "--access-log", "off", "--ready-fd", str(w), *args], pass_fds=[w],
                                  user=OTHER, group=OTHER, extra_groups=[], stderr=subprocess.DEVNULL, cwd="/") as p:
                os.close(w)
                with open(r, encoding="utf-8") as f:
                    assert f.readline().strip().isdigit()
                uid = os.stat(f"/proc/{p.pid}/environ").st_uid
                p.terminate()
            return uid
        assert owner() == OTHER
        assert owner("--tokens", f"{d}/tokens") == 0
