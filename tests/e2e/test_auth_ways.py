"""Ways around who may do what: by way of tasks, by streams that last, by another spelling of a path or a method, by what
comes behind a refusal; and what a user of this machine may do over a UNIX socket."""

import json
import os
import socket
import time

import pytest
import rawworker
from conftest import read_events, wait_until
from test_auth import OTHER, Tokens, as_user, guarded_by, others

OPERATE, ECHO = "errandtest.v1.Test/TaskOperate", "errandtest.v1.Test/TaskEcho"


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    return Tokens(str(tmp_path_factory.mktemp("ways") / "tokens"), reader="read", caller="call", operator="operate")


@pytest.fixture(scope="module")
def guarded(tokens):
    with guarded_by(tokens) as p:
        yield p


def tasks_of(pair, tokens, method):
    r = pair.get(f"/v1/tasks?method={method}", headers=tokens.header("operator"))
    assert r.status == 200, r
    return len(r.json().get("tasks", []))


# --- by way of tasks ---

def ask(method):
    return {"method": method, "input": {"textValue": "x"}}


def test_a_task_of_what_one_may_not_call(guarded, tokens):
    caller = tokens.header("caller")
    bodies = [("/v1/tasks", ask(OPERATE)), ("/v1/tasks:batchCreate", {"requests": [ask(ECHO), ask(OPERATE)]}),
              ("/errand.v1.Tasks/CreateTask", ask(OPERATE)),
              ("/errand.v1.Tasks/BatchCreateTasks", {"requests": [ask(OPERATE)]})]
    for path, body in bodies:
        for headers in ({}, {"Connect-Protocol-Version": "1"}):
            r = guarded.post(path, body, headers={**caller, **headers})
            if r.status == 404 and path == "/v1/tasks:batchCreate":
                pytest.fail("another path now")
            assert r.status == 403 and "operate" in r.body.decode(), (path, headers, r)
    r = guarded.post("/test/task-operate", {"textValue": "x"}, headers={**caller, "Prefer": "respond-async"})
    assert r.status == 403
    assert tasks_of(guarded, tokens, OPERATE) == 0 and tasks_of(guarded, tokens, ECHO) == 0
    assert guarded.post("/v1/tasks", ask(ECHO), headers=caller).status in (200, 201, 202)
    assert guarded.post("/v1/tasks", ask(OPERATE), headers=tokens.header("operator")).status in (200, 201, 202)
    assert guarded.post("/v1/tasks", ask("no.such.Service/Method"), headers=caller).status == 404
    assert guarded.post("/v1/tasks", {"input": {}}, headers=caller).status in (400, 422)


def protobuf(*names):
    """A CreateTaskRequest whose field `method` is there as often as that."""
    return b"".join(rawworker.field(31, name) for name in names)


@pytest.mark.parametrize("body", [
    protobuf(OPERATE), protobuf(OPERATE + "\0"), protobuf(OPERATE + "\0x"), protobuf("/" + OPERATE), protobuf(ECHO, OPERATE), protobuf(OPERATE, ECHO), b"\xfa\x81\x00" + protobuf(OPERATE)[2:],
    protobuf(ECHO) + b"\x0a\xff\xff\xff\xff\x0f" + protobuf(OPERATE), protobuf(ECHO) + b"\x0b" + protobuf(OPERATE) + b"\x0c",
])
def test_the_same_in_bytes(guarded, tokens, body):
    """Whichever of several counts, however a tag is written, and what one reader takes for a message and another one not."""
    before = tasks_of(guarded, tokens, OPERATE)
    for path, data in (("/v1/tasks", body), ("/v1/tasks:batchCreate", rawworker.field(1, protobuf(ECHO)) +
                                             rawworker.field(1, body))):
        r = guarded.request("POST", path, data, {**tokens.header("caller"), "Content-Type": "application/x-protobuf"})
        assert r.status < 500 and r.status not in (401, 429), (path, r)
    assert tasks_of(guarded, tokens, OPERATE) == before


# --- streams that last ---

def ended(pair, path, accept, headers, end):
    """The last of what came, once end() is done and the stream has begun."""
    c = pair.connect()
    c.request("GET", path, headers={**headers, "Accept": accept})
    r = c.getresponse()
    assert r.status == 200, (r.status, r.read())
    end()
    began = time.monotonic()
    if accept == "text/event-stream":
        last = list(read_events(r))[-1]
        last = (last.event, json.loads(last.data))
    else:
        last = r.read().decode()
    c.close()
    assert time.monotonic() - began < 20
    return last


@pytest.mark.parametrize("accept", ["text/event-stream", "application/x-ndjson"])
def test_a_stream_ends_with_its_token(make_pair, tmp_path, accept):
    tokens = Tokens(str(tmp_path / "tokens"), one="read", other="read", third="read", operator="operate")
    pair = make_pair(gateway_args=["--tokens", tokens.path])
    stays = pair.connect()
    stays.request("GET", "/v1/events", headers={**tokens.header("other"), "Accept": accept})
    staying = stays.getresponse()
    assert staying.status == 200

    def less():
        tokens.lines["third"] = tokens.lines["third"].replace(" read ", " call:a.B ")
        tokens.write()
    for name, end, why in (("one", lambda: tokens.revoke("one"), "the token was revoked"),
                           ("short", lambda: None, "the token has expired"),
                           ("third", less, "the token is not for this any more")):
        if name == "short":
            tokens.add(name, "read", expires=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 5)))
            wait_until(lambda: pair.get("/v1/tasks", headers=tokens.header("short")).status == 200, what="the short one")
        last = ended(pair, "/v1/events", accept, tokens.header(name), end)
        if accept == "text/event-stream":
            assert last[0] == "error"
            problem = last[1]
        else:
            problem = json.loads(last.splitlines()[-1])["@error"]
        assert (problem["code"], problem["status"], problem["detail"]) == ("UNAUTHENTICATED", 401, why)
        assert pair.get("/v1/tasks", headers=tokens.header(name)).status in (401, 403)
    task = pair.submit("/test/task-echo", {"textValue": "x"},
                       headers={**tokens.header("operator"), "Prefer": "respond-async"})
    assert any(task.encode() in line for line in iter(staying.readline, b""))  # it may, and goes on
    del tokens.lines["other"]
    tokens.write()
    assert b"the token was taken away" in staying.read()
    stays.close()


def test_an_answer_that_has_not_begun(make_pair, tmp_path):
    """An array of JSON has no head before its first element: so it is a plain 401."""
    tokens = Tokens(str(tmp_path / "tokens"), one="read")
    pair = make_pair(gateway_args=["--tokens", tokens.path])
    c = pair.connect()
    c.request("GET", "/v1/events", headers={**tokens.header("one"), "Accept": "application/json"})
    wait_until(lambda: pair.get("/v1/tasks", headers=tokens.header("one")).status == 200, what="an answer beside it")
    tokens.revoke("one")
    r = c.getresponse()
    assert r.status == 401 and 'error="invalid_token"' in r.headers["WWW-Authenticate"], (r.status, r.headers)
    assert json.loads(r.read())["detail"] == "the token was revoked"
    c.close()


# --- spellings ---

@pytest.mark.parametrize("verb,path,headers", [
    ("POST", "/v1/queues/default:pause", {}), ("POST", "/v1/queues/default%3Apause", {}), ("POST", "/v1/queues/default:%70ause", {}),
    ("POST", "/v1/queues/%64efault:pause", {}), ("POST", "/v1//queues/default:pause", {}), ("POST", "//v1/queues/default:pause", {}),
    ("POST", "/v1/queues/default:pause/", {}), ("POST", "/v1/queues/default:pause.", {}), ("POST", "/v1/queues%2fdefault:pause", {}),
    ("POST", "/V1/queues/default:pause", {}), ("POST", "/v1/queues/default:PAUSE", {}), ("POST", "/v1/./queues/default:pause", {}),
    ("POST", "/docs/../v1/queues/default:pause", {}), ("POST", "/livez/../v1/queues/default:pause", {}),
    ("POST", "/livez%2f..%2fv1%2fqueues%2fdefault:pause", {}), ("POST", "/v1/queues/default:pause;x=/livez", {}),
    ("POST", "/errand.v1.Queues/PauseQueue", {}), ("POST", "/errand.v1.Queues%2FPauseQueue", {}),
    ("POST", "/errand.v1.Queues/PauseQueue", {"Connect-Protocol-Version": "1"}),
    ("POST", "/errand.v1.queues/pausequeue", {}), ("POST", "/errand.v1.Queues./PauseQueue", {}),
    ("POST", "/errand.v1.Queues//PauseQueue", {}), ("GET", "/errand.v1.Queues/PauseQueue?connect=v1&encoding=json&message=%7B%7D", {}),
    ("GET", "/v1/queues/default", {"X-HTTP-Method-Override": "POST", "X-Original-URL": "/v1/queues/default:pause"}),
    ("POST", "/items/1", {"X-Original-URL": "/v1/queues/default:pause", "X-Rewrite-URL": "/v1/queues/default:pause"}),
    ("POST", "/test/echo?_method=DELETE", {"X-HTTP-Method": "DELETE"}), ("post", "/v1/queues/default:pause", {}),
    ("POST", "http://x/v1/queues/default:pause", {}), ("HEAD", "/v1/queues/default:pause", {}),
    ("OPTIONS", "/v1/queues/default:pause", {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}),
])
def test_spellings(guarded, tokens, verb, path, headers):
    """None of them lets a caller pause a queue, or nobody anything."""
    lines = "".join(f"{k}: {v}\r\n" for k, v in {**headers, "Content-Type": "application/json"}.items())
    for who in ("", f"Authorization: Bearer {tokens.text['caller']}\r\n"):
        answer = guarded.raw(f"{verb} {path} HTTP/1.1\r\nHost: x\r\n{who}{lines}Content-Length: 2\r\nConnection: close\r\n\r\n{{}}"
                             .encode())
        status = int(answer.split()[1])
        assert status in (400, 401, 501) if not who else status in (200, 204, 400, 403, 404, 405, 415, 422, 501), answer
    r = guarded.get("/v1/queues/default", headers=tokens.header("operator"))
    assert r.status == 200 and not r.json().get("paused"), r
    assert "PauseQueue" not in guarded.service.text()


@pytest.mark.parametrize("value,good", [
    ("Bearer {}", True), ("bearer {}", True), ("BEARER   {} ", True), ("Bearer\t{}", False), ("Bearer {},", False),
    ("Bearer {}\t", True), ("Bearer {} {}", False), ("Bearer={}", False), ("Bearer: {}", False), ("Bearer \"{}\"", False),
    ("Token {}", False), ("Bearer {}\x0b", False), ("Bearer \xa0{}", False),
])
def test_the_header(guarded, tokens, value, good):
    answer = guarded.raw(("GET /v1/tasks HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: " +
                          value.replace("{}", tokens.text["operator"]) + "\r\n\r\n").encode("latin-1"))
    assert int(answer.split()[1]) in ((200,) if good else (400, 401)), answer


# --- more than one request ---

def get(path, token=None, extra=""):
    who = f"Authorization: Bearer {token}\r\n" if token else ""
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n{who}{extra}\r\n"


def statuses(data):
    """Of the answers, one behind the other, each read by its length."""
    out = []
    while data:
        head, _, data = data.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        length = [int(line.split(b":")[1]) for line in lines if line.lower().startswith(b"content-length:")]
        assert lines[0].startswith(b"HTTP/1.1 ") and len(length) == 1, head
        out.append(int(lines[0].split()[1]))
        data = data[length[0]:]
    return out


def test_who_one_is_is_of_one_request(guarded, tokens):
    good = tokens.text["operator"]
    data = "".join([get("/v1/tasks"), get("/v1/tasks", good), get("/v1/tasks"), get("/v1/tasks", good + "x"),
                    get("/livez"), get("/v1/tasks", good), get("/v1/tasks", extra="Connection: close\r\n")])
    assert statuses(guarded.raw(data.encode())) == [401, 200, 401, 401, 200, 200, 401]


def test_a_refused_body_is_no_request(guarded, tokens):
    """What stands in it is not read as the next one, however its length is told."""
    inner = get("/v1/tasks", tokens.text["operator"])
    chunked = f"{len(inner):x}\r\n{inner}\r\n0\r\n\r\n"
    post = "POST /v1/tasks HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    for head, body in (
            (f"Content-Length: {len(inner)}\r\n\r\n", inner), ("Transfer-Encoding: chunked\r\n\r\n", chunked),
            (f"Content-Length: {len(inner)}\r\nExpect: 100-continue\r\n\r\n", inner)):
        answer = guarded.raw((post + head + body + get("/livez", extra="Connection: close\r\n")).encode(), timeout=3)
        assert statuses(answer) in ([401, 200], [401]), (head, answer)
    for head, body in (
            (f"Content-Length: 0\r\nContent-Length: {len(inner)}\r\n\r\n", inner),
            (f"Content-Length: {len(inner)}\r\nTransfer-Encoding: chunked\r\n\r\n", chunked),
            ("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n", chunked),
            ("Transfer-Encoding: chunked, identity\r\n\r\n", chunked), ("Transfer-Encoding:\tchunked\x0b\r\n\r\n", chunked),
            ("Transfer-Encoding: xchunked\r\n\r\n", chunked), (f"Content-Length: +{len(inner)}\r\n\r\n", inner),
            (f"Content-Length : {len(inner)}\r\n\r\n", inner), (f"X: y\n Content-Length: {len(inner)}\r\n\r\n", inner),
            ("Transfer-Encoding: chunked\r\n\r\n", "0;x=\n\r\n" + inner), ("Transfer-Encoding: chunked\r\n\r\n", "0\r\n" + inner)):
        for auth in ("", f"Authorization: Bearer {tokens.text['caller']}\r\n"):
            answer = guarded.raw((post + auth + head + body).encode("latin-1"), timeout=3)
            assert all(400 <= s < 600 for s in statuses(answer)) and len(statuses(answer)) == 1, (head, answer)


# --- users of this machine ---

def over_unix(path, target, headers="", verb="GET"):
    """The status of one request over that socket."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(20)
        s.connect(path)
        s.sendall(f"{verb} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n"
                  f"Content-Type: application/json\r\n{headers}\r\n{{}}".encode())
        return int(b"".join(iter(lambda: s.recv(65536), b"")).split()[1])


ASKED = [("GET", "/v1/tasks"), ("GET", "/items/1"), ("POST", "/v1/queues/default:pause")]


@others
@pytest.mark.parametrize("scopes,statuses_", [
    (None, [401, 401, 401]), ("read", [200, 403, 403]), ("call", [403, 200, 403]), ("call:article.v1.Article", [403, 200, 403]),
    ("call:errandtest.v1.Test", [403, 403, 403]), ("operate", [200, 200, 200]),
])
def test_users(make_pair, tokens, scopes, statuses_):
    """--peer: allowed, refused, unknown; what one says to be counts before who one is, and over TCP nobody is anybody."""
    pair = make_pair(gateway_args=["--tokens", tokens.path])
    sock = pair.path("http.sock")
    pair.gateway.stop()
    pair.start_gateway("--listen", f"unix:{sock},mode=0666", *(["--peer", f"{OTHER}={scopes}"] if scopes else []))
    os.chmod(pair.dir, 0o711)
    assert as_user(OTHER, lambda: [over_unix(sock, path, verb=verb) for verb, path in ASKED]) == statuses_
    assert as_user(OTHER - 1, lambda: over_unix(sock, "/items/1")) == 401
    reader = f"Authorization: Bearer {tokens.text['reader']}\r\n"
    assert as_user(OTHER, lambda: [over_unix(sock, path, reader, verb) for verb, path in ASKED]) == [200, 403, 403]
    assert as_user(OTHER, lambda: over_unix(sock, "/items/1", "Authorization: Bearer erd_\r\n")) == 401
    assert [over_unix(sock, path, verb=verb) for verb, path in ASKED] == [200, 200, 200]  # our own user
    assert pair.get("/items/1").status == 401
