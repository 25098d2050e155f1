"""The errand command against a URL: every command answers as on the socket; contexts, tokens,
TLS; what goes wrong on the way says what to do."""

import hashlib
import http.server
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import threading
import time

import pytest

from conftest import BUILD, REPORT, wait_until

ERRAND = os.path.join(BUILD, "errand")


class Run:
    def __init__(self, r):
        self.status, self.out, self.err = r.returncode, r.stdout, r.stderr
        assert REPORT.search(self.err) is None, self.err

    def __repr__(self):
        return f"{self.status} {self.out!r} {self.err!r}"


def errand(*args, text_in=None, timeout=60, **env):
    env = dict(os.environ, TZ="UTC", **{k: str(v) for k, v in env.items()})
    r = subprocess.run([ERRAND, *map(str, args)], env=env, input=text_in, capture_output=True, text=True,
                       timeout=timeout, check=False)
    return Run(r)


def url(pair):
    return f"http://127.0.0.1:{pair.port}"


# --- the same over both ---

IDS = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
TIMES = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z|\d\d:\d\d:\d\d|\b\d+(\.\d+)?(s|ms|m\d\ds)\b|\d+\.\d+/s")
PIDS = re.compile(r'(pid"?:? ?"?)\d+|errand-cli-\w+')

FIGURES = re.compile(r'(?<="rate":)[\d.e-]+|(?<="etag":"\\")\d+|\d+ under way|sessions +\d+')


def blurred(text):
    for pattern, word in ((IDS, "ID"), (TIMES, "TIME"), (PIDS, "PID"), (FIGURES, "N")):
        text = pattern.sub(word, text)
    return re.sub(r" +", " ", text)


def task_of(pair, *operands):
    r = errand("submit", *operands, "--socket", pair.socket)
    assert r.status == 0, r
    return IDS.search(r.out)[0]


@pytest.fixture(scope="module")
def done(pair):
    """Tasks that have ended: one well, one not, one with a log."""
    tasks = {"good": task_of(pair, "TaskSleep", "ms=1"),
             "bad": task_of(pair, "TaskFail", "code=3", "final=true"),
             "logs": task_of(pair, "TaskLog", "lines=3")}
    for task in tasks.values():
        pair.wait_task(task)
    errand("schedule", "create", "--id", "nightly", "0 3 * * *", "TaskSleep", "ms=1", "--socket", pair.socket)
    return tasks


SAME = [
    "call GetItem item_id=1", "call /items/1", "call GET /items/1", "--json call Test/Echo text_value=x",
    "call Test/Echo int64_value=-9223372036854775808 bytes_value=AAEC double_value=NaN numbers=1 numbers=2",
    "call GetItem item_id=abc", "call Nope", "call Test/Fail code=5 message=gone", "--json call Test/Fail code=5 message=gone",
    "call Test/Checked", "--json call Test/Checked", "call Test/Stream count=5 size=3", "--json call Test/Stream count=3", "call Test/Stream count=2 fail_code=9",
    "call TaskSleep ms=1 -q", "call TaskFail code=3 final=true -q", "--json call TaskFail code=3 final=true",
    "call Test/RawField", "call Test/Raw content_type=text/plain data=aGk=", "call Test/RawStream count=2 size=3", "list", "list --json", "tasks --state failed", "list --filter bad(", "list --state nonsense",
    "show {good}", "--json show {good}", "show {bad}", "show 01936b2c-0000-7000-8000-000000000000", "watch {good}", "watch {bad}",
    "watch --json {good}", "logs {logs}", "logs {logs} --json", "logs -f {logs}", "result {good}", "result {bad}",
    "--json result {bad}", "wait {good}", "retry {good}x", "hold {good}", "cancel {good}", "delete 0193",
    "queues", "queues --json", "queue show test", "queue set test concurrency=7", "queue set test nonsense=7",
    "queue pause test", "queue resume test", "queue show nothing", "schedules", "schedules --json", "schedule show nightly",
    "schedule pause nightly", "schedule resume nightly", "schedule show x", "store show --json", "store check", "store backup /nowhere/x",
    "deliveries", "deliveries --json", "delivery show x", "workers", "workers --json", "workers forget nobody",
    "ping -q -c 2 -i 1ms", "status -t 20s", "--timeout 200ms call Test/Sleep ms=5000",
]


@pytest.mark.parametrize("line", SAME)
def test_the_same_answer(pair, done, line):
    words = line.format(**done).split()
    socket_way = errand(*words, ERRAND_SOCKET=pair.socket)
    url_way = errand(*words, ERRAND_URL=url(pair))
    assert socket_way.status == url_way.status, (socket_way, url_way)
    if "--timeout" in line:  # who notices first, this side or that, says it in its words
        assert socket_way.status == 124
        return
    for a, b in ((socket_way.out, url_way.out), (socket_way.err, url_way.err)):
        a, b = (blurred(x).replace(pair.socket, "X").replace(url(pair), "X") for x in (a, b))
        if line.startswith("status"):  # over a URL there is a line of the gateway
            b = re.sub(r"gateway .*\n", "", b)
        if "store" in line or "status" in line:  # the log grows between the two
            a, b = (re.sub(r'"?(log_size|size|pages|log)"?:? ?"?[\d.]+"?( [KM]iB)?|\d+\.?\d* [KM]iB|\d+ bytes', "N", x) for x in (a, b))
        if line.startswith("ping"):
            a, b = (re.sub(r"[\d.]+/[\d.]+/[\d.]+", "N", x) for x in (a, b))
        assert a == b


def test_changes_over_a_url(pair):
    """What is made over one way is there on the other."""
    r = errand("submit", "TaskSleep", "ms=60000", "--url", url(pair))
    assert r.status == 0, r
    task = IDS.search(r.out)[0]
    pair.wait_task(task, ("RUNNING",))
    assert errand("cancel", task, "--url", url(pair)).status in (0, 3)
    pair.wait_task(task, ("CANCELLED",))
    r = errand("submit", "--key", "k one\"two", "TaskSleep", "ms=1", "--url", url(pair))
    again = errand("submit", "--key", "k one\"two", "TaskSleep", "ms=1", "--socket", pair.socket)
    assert r.status == again.status == 0 and IDS.search(r.out)[0] == IDS.search(again.out)[0], (r, again)


def test_http_over_a_socket(make_pair):
    pair = make_pair()
    path = pair.path("http.sock")
    pair.gateway.stop()
    pair.start_gateway("--listen", f"unix:{path}")
    r = errand("call", "GetItem", "item_id=1", "--url", f"unix:{path}")
    assert r.status == 0 and json.loads(r.out)["item_id"] == 1, r


def test_watch_goes_on_after_a_restart(make_pair):
    """The gateway dies in the middle of a stream: the command finds the next one, and the end."""
    pair = make_pair()
    task = task_of(pair, "TaskSleep", "ms=2500")
    watching = subprocess.Popen([ERRAND, "watch", task, "--url", url(pair)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                text=True, env=dict(os.environ, TZ="UTC"))
    pair.wait_task(task, ("RUNNING",))
    pair.gateway.kill()
    pair.start_gateway()
    out, err = watching.communicate(timeout=30)
    assert watching.returncode == 0 and "SUCCEEDED" in out + err, (out, err)
    assert REPORT.search(err) is None, err


def test_events_over_a_url(pair):
    following = subprocess.Popen([ERRAND, "events", "--json", "--url", url(pair)], stdout=subprocess.PIPE,
                                 text=True, env=dict(os.environ, TZ="UTC"))
    try:
        wait_until(lambda: task_of(pair, "TaskSleep", "ms=1") and _readable(following.stdout), what="an event")
        event = json.loads(following.stdout.readline())
        assert event["event"] in ("state", "progress", "result") and IDS.fullmatch(event["task_id"]), event
    finally:
        following.send_signal(signal.SIGINT)
        assert following.wait(20) in (130, -signal.SIGINT)
        following.stdout.close()


def _readable(f):
    import select  # pylint: disable=import-outside-toplevel
    return bool(select.select([f], [], [], 0.2)[0])


# --- what a URL cannot do, and what is wrong with one ---

def test_worker_needs_the_socket(pair):
    r = errand("worker", "--queue", "x", "--url", url(pair), "--", "true")
    assert r.status == 64 and "socket" in r.err and "ssh -L" in r.err, r


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.mark.parametrize("where, status, words", [
    ("ftp://x", 64, ["http://HOST", "unix:PATH"]),
    ("http://", 64, ["is no URL"]),
    ("http://me:secret@localhost", 64, ["neither query nor user"]),
    ("http://localhost/?a=b", 64, ["neither query nor user"]),
    ("unix:/nowhere/x.sock", 69, ["/nowhere/x.sock"]),
    ("http://127.0.0.1:{free}", 69, ["127.0.0.1"]),
])
def test_wrong_urls(where, status, words):
    r = errand("list", "--url", where.format(free=free_port()))
    assert r.status == status and all(w in r.err for w in words), r
    assert "secret" not in r.err or "me:secret" in where


class Foreign(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status = int(self.path.split("/")[1])
        self.send_response(status)
        self.send_header("Content-Type", "text/html")
        if status == 302:
            self.send_header("Location", "https://elsewhere.example/")
        self.send_header("Content-Length", "6")
        self.end_headers()
        self.wfile.write(b"<html>")

    def log_message(self, *args):
        pass


@pytest.mark.parametrize("status, code, words", [
    (200, 65, ["is no errand gateway", "text/html"]), (302, 65, ["redirects to https://elsewhere.example/"]),
    (502, 69, ["HTTP 502", "not by errand itself"]), (404, 4, ["HTTP 404"]), (401, 1, ["UNAUTHENTICATED", "errand token create"]),
    (403, 1, ["PERMISSION_DENIED", "scope"]),
])
def test_somebody_else_answers(status, code, words):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Foreign)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        r = errand("queues", "--url", f"http://127.0.0.1:{server.server_address[1]}/{status}")
        assert r.status == code and all(w in r.err for w in words), r
    finally:
        server.shutdown()
        server.server_close()


def test_who_is_meant(pair, tmp_path):
    """One name only; the line before the environment, a URL before the socket there."""
    r = errand("list", "--url", url(pair), "--socket", pair.socket)
    assert r.status == 64 and "only one" in r.err, r
    assert errand("list", "--socket", pair.socket, ERRAND_URL="http://127.0.0.1:1").status == 0
    assert errand("list", "--url", url(pair), ERRAND_SOCKET=tmp_path / "none").status == 0
    assert errand("list", ERRAND_URL=url(pair), ERRAND_SOCKET=tmp_path / "none").status == 0
    assert errand("list", ERRAND_URL="", ERRAND_SOCKET=pair.socket).status == 0


# --- contexts ---

def test_contexts(pair, tmp_path):
    home = {"XDG_CONFIG_HOME": tmp_path}

    def context(*words, status=0):
        r = errand("context", *words, **home)
        assert r.status == status, r
        return r

    assert "no contexts" in context("list").err
    context("add", "near", "--socket", pair.socket)
    context("add", "far", "--url", url(pair))
    file = tmp_path / "errand" / "contexts.conf"
    assert file.stat().st_mode & 0o777 == 0o600
    file.write_text("# mine\n" + file.read_text() + "\n[context other]\n; a remark\nurl = http://127.0.0.1:1\n")
    assert context("list").out.split() == ["near", pair.socket, "far", url(pair), "other", "http://127.0.0.1:1"]
    context("use", "far")
    assert "* far" in context("list").out and context("show").out == f"[context far]\nurl = {url(pair)}\n"
    assert errand("queues", **home).status == 0
    assert errand("queues", "--context", "near", **home).status == 0
    assert errand("queues", ERRAND_CONTEXT="near", **home).status == 0
    assert errand("queues", "--context", "other", **home).status == 69
    assert errand("queues", ERRAND_SOCKET=tmp_path / "none", **home).status == 69  # before the one in use
    lines = [json.loads(line) for line in context("list", "--json").out.splitlines()]
    assert lines[1] == {"name": "far", "url": url(pair), "current": True}
    context("remove", "far")
    assert "# mine" in file.read_text() and "a remark" in file.read_text() and "far" not in file.read_text()
    assert not (tmp_path / "errand" / "context").exists()
    context("use", "near")
    context("use", "-")
    assert "*" not in context("list").out


@pytest.mark.parametrize("text, words", [
    ("[context a]\nurl = http://x\nsocket = /y\n", ["contexts.conf:1", "either url or socket"]),
    ("[context a]\nurl = http://x\ntoken-fle = x\n", ["contexts.conf:3", "did you mean 'token-file'"]),
    ("[context a]\nurl = http://x\ntoken = erd_secret\n", ["contexts.conf:3", "token-file"]),
    ("[contxt a]\nurl = http://x\n", ["[context NAME]"]),
    ("[context a]\nurl = http://x\ninsecure = maybe\n", ["yes or no"]),
    ("[context a]\nurl = http://x\n[context a]\nurl = http://y\n", ["already"]),
])
def test_broken_contexts(tmp_path, text, words):
    (tmp_path / "errand").mkdir()
    (tmp_path / "errand" / "contexts.conf").write_text(text)
    r = errand("list", "--context", "a", XDG_CONFIG_HOME=tmp_path)
    assert r.status == 65 and all(w in r.err for w in words), r
    assert "erd_secret" not in r.err


def test_context_errors(tmp_path):
    home = {"XDG_CONFIG_HOME": tmp_path}
    for words, said in ((["add", "a"], "either --url"), (["add", "a b", "--url", "http://x"], "no name"), (["use"], "one NAME"),
                        (["add", "a", "--url", "ftp://x"], "is no URL"), (["add", "a", "--url", "http://me@x"], "nor user"),
                        (["lits"], "did you mean 'list'"), (["show", "a", "b"], "too many")):
        r = errand("context", *words, **home)
        assert r.status == 64 and said in r.err, r
    assert errand("context", "add", "near", "--url", "http://x", **home).status == 0
    r = errand("list", "--context", "nea", **home)
    assert r.status == 64 and "did you mean 'near'" in r.err, r


# --- tokens and certificates ---

def make_token(path, scopes, name, expires="-"):
    text = "erd_" + secrets.token_urlsafe(32)
    digest = hashlib.sha256(text.encode()).hexdigest()
    with open(path, "a", encoding="utf-8") as f:
        f.write(f"{digest[:12]} {digest} {scopes} 2026-01-01T00:00:00Z {expires} - {name}\n")
    os.chmod(path, 0o600)
    return text


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A gateway that wants tokens, over TLS too; its tokens in files."""
    from conftest import Pair  # pylint: disable=import-outside-toplevel
    d = tmp_path_factory.mktemp("tokens")
    pair = Pair()
    tokens = {name: make_token(d / "tokens", scopes, name) for name, scopes in
              (("reader", "read"), ("caller", "call"), ("operator", "operate"))}
    for name, text in tokens.items():
        (d / name).write_text(text + "\n")
        (d / name).chmod(0o600)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-keyout", d / "key.pem", "-out", d / "cert.pem", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"], check=True, capture_output=True)
    pair.tls = free_port()
    pair.gateway_args = ["--tokens", str(d / "tokens"), "--listen", f"tls:127.0.0.1:{pair.tls}",
                         "--tls-cert", str(d / "cert.pem"), "--tls-key", str(d / "key.pem")]
    pair.files = d
    try:
        yield pair.start()
    finally:
        pair.close()


def test_tokens(guarded):
    at = {"ERRAND_URL": url(guarded)}
    r = errand("queues", **at)
    assert r.status == 1 and "UNAUTHENTICATED" in r.err and "errand token create" in r.err, r
    r = errand("queues", ERRAND_TOKEN="erd_" + "x" * 43, **at)
    assert r.status == 1 and "does not take this token" in r.err and "xxxx" not in r.err, r
    assert errand("queues", ERRAND_TOKEN_FILE=guarded.files / "reader", **at).status == 0
    assert errand("queues", ERRAND_TOKEN=(guarded.files / "reader").read_text().strip(), **at).status == 0
    r = errand("queue", "pause", "test", ERRAND_TOKEN_FILE=guarded.files / "caller", **at)
    assert r.status == 1 and "PERMISSION_DENIED" in r.err and "operate" in r.err, r
    assert errand("call", "GetItem", "item_id=1", ERRAND_TOKEN_FILE=guarded.files / "caller", **at).status == 0
    assert errand("status", ERRAND_TOKEN_FILE=guarded.files / "operator", **at).status == 0


def test_token_files(guarded, tmp_path):
    file = tmp_path / "token"

    def refused(*words, **env):
        r = errand("queues", **dict({"ERRAND_URL": url(guarded), "ERRAND_TOKEN_FILE": file}, **env))
        assert r.status == 64 and all(w in r.err for w in words), r

    refused("token file", "No such file")
    file.write_text("two words\n")
    file.chmod(0o600)
    refused("is no token")
    file.write_text("")
    refused("is empty")
    file.write_text((guarded.files / "reader").read_text())
    file.chmod(0o644)
    refused("mode 0644", "chmod 600")
    file.chmod(0o640)
    assert errand("queues", ERRAND_URL=url(guarded), ERRAND_TOKEN_FILE=file).status == 0
    refused("unencrypted", "https://", ERRAND_URL="http://errand.example.org")


def test_tls(guarded):
    at = {"ERRAND_URL": f"https://localhost:{guarded.tls}", "ERRAND_TOKEN_FILE": guarded.files / "operator"}
    r = errand("queues", **at)
    assert r.status == 69 and "certificate" in r.err, r
    r = errand("queues", ERRAND_CA=guarded.files / "cert.pem", **at)
    assert r.status == 0, r
    home = guarded.files / "home"
    r = errand("context", "add", "tls", "--url", at["ERRAND_URL"], "--ca", guarded.files / "cert.pem",
               "--token-file", guarded.files / "operator", XDG_CONFIG_HOME=home)
    assert r.status == 0, r
    assert errand("call", "GetItem", "item_id=1", "--context", "tls", XDG_CONFIG_HOME=home).status == 0


def test_the_token_stays_out_of_sight(guarded):
    """FAULTS 86: neither argv nor errors have it."""
    token = (guarded.files / "reader").read_text().strip()
    p = subprocess.Popen([ERRAND, "events", "--url", url(guarded)], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
                         env=dict(os.environ, ERRAND_TOKEN_FILE=str(guarded.files / "reader")))
    try:
        time.sleep(0)  # it reads its file at once; its argv never has it
        with open(f"/proc/{p.pid}/cmdline", "rb") as f:
            assert token.encode() not in f.read()
    finally:
        p.send_signal(signal.SIGINT)
        assert token.encode() not in p.communicate(timeout=20)[1]


# --- ping, version ---

def test_ping(pair):
    r = errand("ping", "-c", "3", "-i", "1ms", "--url", url(pair))
    assert r.status == 0 and r.out.count("answer from") == 3 and "3 calls, 3 answered, 0% lost" in r.out, r
    lines = [json.loads(x) for x in errand("ping", "-c", "2", "-i", "1ms", "--json", "--socket", pair.socket).out.splitlines()]
    assert lines[0]["seq"] == 1 and lines[0]["pid"] == pair.service.pid and lines[2]["answered"] == 2, lines
    assert errand("ping", "-c", "1", "--url", f"http://127.0.0.1:{free_port()}").status == 69
    p = subprocess.Popen([ERRAND, "ping", "-i", "10ms", "--socket", pair.socket], stdout=subprocess.PIPE, text=True)
    p.stdout.readline()
    p.stdout.readline()
    p.send_signal(signal.SIGINT)
    assert "answered, 0% lost" in p.communicate(timeout=20)[0] and p.returncode == 0


def test_ping_while_it_is_stopped(make_pair):
    pair = make_pair()
    os.kill(pair.service.pid, signal.SIGSTOP)
    try:
        r = errand("ping", "-c", "2", "-i", "1ms", "-W", "100ms", "--url", url(pair))
        assert r.status == 69 and r.out.count("no answer") == 2 and "100% lost" in r.out, r
    finally:
        os.kill(pair.service.pid, signal.SIGCONT)


def test_version():
    r = errand("version")
    assert r.status == 0 and re.fullmatch(r"errand \d+\.\d+\.\d+\n", r.out), r
    assert json.loads(errand("version", "--json").out)["version"] == r.out.split()[1]


def test_schema_of_a_url(pair):
    over = [errand("routes", "--json", "--schema", at) for at in (url(pair), pair.socket)]
    assert over[0].status == 0 and over[0].out == over[1].out and "GetItem" in over[0].out, over[0]
