"""Callbacks: what is sent, when again, and where they must not go (FAULTS 79 to 84)."""

import base64
import http.server
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import threading
import time

import pytest
from conftest import BUILD, JS, Pair, fd_count, rss_kb, wait_until

NAMES = os.path.join(BUILD, "tests", "e2e", ".libs", "names.so")
SECRETS = ["whsec_" + base64.b64encode(bytes(range(i, i + 32))).decode() for i in (1, 101)]
ECHO = "errandtest.v1.Test/TaskEcho"
FAIL = "errandtest.v1.Test/TaskFail"
SLEEP = "errandtest.v1.Test/TaskSleep"


class Receiver:
    """An endpoint on loopback: notes what comes; answer(path, n) says with what, n counts
    the requests of that path: a status, (status, headers), or a function of the handler."""

    def __init__(self, address="127.0.0.1", port=0, context=None):
        self.requests, self.answer, self.lock = [], lambda path, n: 200, threading.Lock()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):  # pylint: disable=invalid-name
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with receiver.lock:
                    n = sum(r["path"] == self.path for r in receiver.requests)
                    receiver.requests.append({
                        "path": self.path, "headers": {k.lower(): v for k, v in self.headers.items()},
                        "body": body.decode(), "time": time.monotonic()})
                answer = receiver.answer(self.path, n)
                if callable(answer):
                    answer(self)
                    return
                status, headers = answer if isinstance(answer, tuple) else (answer, {})
                self.send_response(status)
                for k, v in headers.items():
                    self.send_header(k, v)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_POST

            def log_message(self, *args):  # pylint: disable=arguments-differ
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, client_address):
                pass

        self.server = Server((address, port), Handler)
        if context:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        self.url = f"http{'s' if context else ''}://{address}:{self.port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def of(self, path):
        with self.lock:
            return [r for r in self.requests if r["path"] == path]

    def wait(self, path, n=1, timeout=20):
        return wait_until(lambda: self.of(path)[:n] if len(self.of(path)) >= n else None, timeout,
                          f"{n} requests of {path}")

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def receiver():
    r = Receiver()
    yield r
    r.close()


@pytest.fixture(autouse=True)
def fresh(request):
    if "receiver" in request.fixturenames:
        request.getfixturevalue("receiver").answer = lambda path, n: 200


def write_keys(path, secrets):
    with open(path, "w", encoding="ascii", opener=lambda p, f: os.open(p, f, 0o600)) as f:
        f.write("".join(s + "\n" for s in secrets))
    return path


class Caller(Pair):
    """A pair that sends callbacks."""

    def __init__(self, allow=("127.0.0.1",), args=(), secrets=SECRETS[:1], store="sqlite"):
        super().__init__(store=store)
        self.keys = write_keys(self.path("keys"), secrets)
        self.service_args += ["--callback-keys", self.keys, "--callback-retry", "50ms,100ms,200ms,400ms",
                              "--callback-pause", "200ms", *args]
        for a in allow:
            self.service_args += ["--callback-allow", a]

    def create(self, callback, method=ECHO, body=None, **options):
        return self.post("/v1/tasks", {"method": method, "input": body or {}, "callback": callback, **options})

    def make(self, callback, **kw):
        r = self.create(callback, **kw)
        assert r.status == 201, r
        return r.json()["id"]

    def deliveries(self, task_id):
        r = self.get(f"/v1/deliveries?task_id={task_id}")
        assert r.status == 200, r
        return r.json().get("deliveries", [])

    def wait_delivery(self, task_id, state, timeout=20):
        return wait_until(lambda: next((d for d in self.deliveries(task_id) if d["state"] == state), None),
                          timeout, f"delivery of {task_id} {state}")


@pytest.fixture(scope="module")
def caller():
    p = Caller()
    try:
        yield p.start()
    finally:
        p.close()


@pytest.fixture
def make_caller():
    made = []

    def make(start=True, **kw):
        made.append(Caller(**kw))
        return made[-1].start() if start else made[-1]
    yield make
    for p in made:
        p.close()


def verify(requests, secret):
    """What standardwebhooks says of each."""
    lines = "".join(json.dumps({"headers": r["headers"], "body": r["body"]}) + "\n" for r in requests)
    done = subprocess.run(["node", "webhook.mjs", secret], cwd=JS, input=lines, text=True,
                          capture_output=True, timeout=60, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


# --- what is sent ---

def test_verified_by_standardwebhooks(caller, receiver, node_modules):
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    r = caller.post("/v1/tasks", {"method": ECHO, "input": {"text_value": "grüße"},
                                  "callback": {"url": receiver.url + "/signed"}}, headers={"traceparent": trace})
    assert r.status == 201, r
    task_id = r.json()["id"]
    request = receiver.wait("/signed")[0]
    tampered = dict(request, body=request["body"].replace("SUCCEEDED", "FAILED"))
    good, bad = verify([request, tampered], SECRETS[0])
    assert "refused" in bad and "refused" in verify([request], SECRETS[1])[0]
    assert good["type"] == "task.succeeded"
    task = caller.task(task_id)
    assert {k: good["data"][k] for k in ("id", "method", "state", "input", "result", "attempts", "etag")} == \
        {k: task[k] for k in ("id", "method", "state", "input", "result", "attempts", "etag")}
    assert request["headers"]["content-type"] == "application/json"
    assert request["headers"]["traceparent"].split("-")[1] == trace.split("-")[1]
    assert "authorization" not in request["headers"] and "expect" not in request["headers"]
    d = caller.wait_delivery(task_id, "DELIVERED")
    assert d["id"] == request["headers"]["webhook-id"] and d["last_status"] == 200 and d["attempt"] == 1
    assert caller.get(f"/v1/deliveries/{d['id']}").json() == d
    assert len(receiver.of("/signed")) == 1


def test_events_that_are_asked_for(caller, receiver):
    task_id = caller.make({"url": receiver.url + "/events", "events": ["running", "FAILED"]}, method=FAIL,
                          body={"code": 3, "final": True, "times": 9})
    requests = receiver.wait("/events", 2)
    assert sorted(json.loads(r["body"])["type"] for r in requests) == ["task.failed", "task.running"]
    assert len({r["headers"]["webhook-id"] for r in requests}) == 2
    failed = next(b for r in requests if (b := json.loads(r["body"]))["type"] == "task.failed")
    caller.wait_task(task_id, ("FAILED",))
    assert failed["data"]["error"] == caller.task(task_id)["error"]
    assert failed["data"]["attempts"] == caller.task(task_id)["attempts"]


def test_a_cancelled_task_tells_too(caller, receiver):
    task_id = caller.make({"url": receiver.url + "/cancelled"}, method=SLEEP, body={"ms": 30000})
    caller.wait_task(task_id, ("RUNNING",))
    caller.post(f"/v1/tasks/{task_id}:cancel")
    assert json.loads(receiver.wait("/cancelled")[0]["body"])["type"] == "task.cancelled"


def test_without_a_callback_nothing_is_kept(caller):
    task_id = caller.submit("/test/task-echo", {})
    caller.wait_task(task_id)
    assert caller.deliveries(task_id) == []


def test_unknown_event_and_missing_url(caller, receiver):
    r = caller.create({"url": receiver.url, "events": ["exploded"]})
    assert r.status == 422 and r.json()["errors"][0]["pointer"] == "#/callback/events/0", r
    r = caller.create({"events": ["failed"]})
    assert r.status == 422 and r.json()["errors"][0]["pointer"] == "#/callback/url", r


# --- again, until 2xx ---

def test_again_with_the_same_id(caller, receiver, node_modules):
    receiver.answer = lambda path, n: (500, 404, 204)[n]
    task_id = caller.make({"url": receiver.url + "/again"})
    requests = receiver.wait("/again", 3)
    assert len({r["headers"]["webhook-id"] for r in requests}) == 1
    assert len({r["body"] for r in requests}) == 1
    assert all("refused" not in v for v in verify(requests, SECRETS[0]))
    assert requests[1]["time"] - requests[0]["time"] >= 0.05
    assert requests[2]["time"] - requests[1]["time"] >= 0.1
    d = caller.wait_delivery(task_id, "DELIVERED")
    assert d["attempt"] == 3 and d["last_status"] == 204 and not d.get("last_error")


def test_429_says_when(caller, receiver):
    receiver.answer = lambda path, n: (429, {"Retry-After": "2"}) if n == 0 else 200
    caller.make({"url": receiver.url + "/busy"})
    first, second = receiver.wait("/busy", 2)
    assert second["time"] - first["time"] >= 1.9


def test_dead_letter_and_redelivery(caller, receiver):
    receiver.answer = lambda path, n: 400
    task_id = caller.make({"url": receiver.url + "/dead"})
    d = caller.wait_delivery(task_id, "DEAD")
    assert d["attempt"] == 5 and d["last_status"] == 400 and "400" in d["last_error"]
    assert [x["id"] for x in caller.get("/v1/deliveries?state=DEAD&page_size=500").json()["deliveries"]
            if x["task_id"] == task_id] == [d["id"]]
    receiver.answer = lambda path, n: 200
    r = caller.post(f"/v1/deliveries/{d['id']}:redeliver")
    assert r.status == 202 and r.json()["state"] == "PENDING", r
    caller.wait_delivery(task_id, "DELIVERED")
    requests = receiver.of("/dead")
    assert len(requests) == 6 and {x["headers"]["webhook-id"] for x in requests} == {d["id"]}


def test_410_disables(caller, receiver):
    receiver.answer = lambda path, n: 410
    task_id = caller.make({"url": receiver.url + "/gone", "events": ["running", "succeeded"]}, method=SLEEP,
                          body={"ms": 400})
    d = caller.wait_delivery(task_id, "DEAD")
    assert d["event"] == "task.running" and d["attempt"] == 1 and d["last_status"] == 410
    caller.wait_task(task_id)
    assert len(caller.deliveries(task_id)) == 1 and len(receiver.of("/gone")) == 1
    receiver.answer = lambda path, n: 200  # an operator knows better
    assert caller.post(f"/v1/deliveries/{d['id']}:redeliver").status == 202
    caller.wait_delivery(task_id, "DELIVERED")


def test_unknown_deliveries(caller):
    for path in ("nonsense", "00000000-0000-7000-8000-000000000000-1", "00000000-0000-7000-8000-000000000000-01"):
        assert caller.get(f"/v1/deliveries/{path}").status == 404
        assert caller.post(f"/v1/deliveries/{path}:redeliver").status == 404
    for name, value in (("task_id", "x"), ("page_token", "x"), ("page_size", "501"), ("state", "99")):
        r = caller.get(f"/v1/deliveries?{name}={value}")
        assert (r.status, r.json()["errors"][0]["parameter"]) == (400, name), r


def test_pages(caller, receiver):
    task_id = caller.make({"url": receiver.url + "/pages", "events": ["running", "succeeded"]})
    caller.wait_task(task_id)
    want = [d["id"] for d in caller.deliveries(task_id)]
    assert len(want) == 2
    first = caller.get(f"/v1/deliveries?task_id={task_id}&page_size=1").json()
    second = caller.get(f"/v1/deliveries?task_id={task_id}&page_size=1&page_token="
                        f"{first['next_page_token']}").json()
    assert [first["deliveries"][0]["id"], second["deliveries"][0]["id"]] == want
    everything, token = [], ""
    while True:
        page = caller.get(f"/v1/deliveries?page_size=3&page_token={token}").json()
        everything += [d["id"] for d in page["deliveries"]]
        token = page.get("next_page_token", "")
        if not token:
            break
    assert len(everything) == len(set(everything)) and set(want) <= set(everything)


# --- where they must not go ---

REFUSED = [
    "http://127.0.0.2/", "http://127.2/", "http://2130706434/", "http://0x7f.2/", "http://0177.0.0.2/",
    "http://[::1]/", "http://[::ffff:127.0.0.2]/", "http://[::ffff:7f00:2]/", "http://[64:ff9b::7f00:2]/",
    "http://[2002:7f00:2::]/", "http://169.254.169.254/latest/", "http://10.0.0.1/", "http://192.168.1.1/",
    "http://[fe80::1]/", "http://[fd00::1]/", "http://0/", "file:///etc/passwd", "unix:/run/x",
    "gopher://127.0.0.1/", "http://user:pass@example.org/", "http://example.org/#x", "http://exa mple.org/",
    "http://100.64.0.1/", "ftp://example.org/",
]


@pytest.mark.parametrize("url", REFUSED)
def test_refused_when_set(caller, url):
    r = caller.create({"url": url})
    assert r.status == 422, r
    assert [e["pointer"] for e in r.json()["errors"]] == ["#/callback/url"]


def test_names_of_this_machine(make_caller, receiver):
    """A network that is allowed opens names only as far as they lead there."""
    p = make_caller(allow=("10.1.2.3",))
    r = p.create({"url": receiver.url})
    assert r.status == 422, r
    task_id = p.make({"url": f"http://localhost:{receiver.port}/local"})
    d = wait_until(lambda: next((d for d in p.deliveries(task_id) if d.get("last_error")), None))
    assert "loopback" in d["last_error"] and not d.get("last_status")
    assert receiver.of("/local") == []
    none = make_caller(allow=())
    assert none.create({"url": f"http://localhost:{receiver.port}/"}).status == 422


def test_what_a_name_leads_to_is_checked_as_it_is_dialled(make_caller, receiver):
    """DNS rebinding: the name is allowed when it is set and leads elsewhere when it is dialled."""
    other = Receiver("127.0.0.2", receiver.port)
    p = make_caller(start=False, allow=("127.0.0.2",))
    names = p.path("names")

    def resolve(*addresses):
        with open(names + ".new", "w", encoding="ascii") as f:
            f.write("".join(f"rebind.test {a}\n" for a in addresses))
        os.rename(names + ".new", names)

    try:
        p.env = dict(p.env, LD_PRELOAD=NAMES, NAMES_FILE=names,
                     ASAN_OPTIONS=p.env["ASAN_OPTIONS"] + ":verify_asan_link_order=0")
        resolve("127.0.0.2")
        p.start()
        url = f"http://rebind.test:{receiver.port}"
        p.wait_delivery(p.make({"url": url + "/rebind1"}), "DELIVERED")
        assert len(other.of("/rebind1")) == 1
        resolve("127.0.0.1")
        d = p.wait_delivery(p.make({"url": url + "/rebind2"}), "DEAD")
        assert "rebind.test leads to 127.0.0.1 (loopback)" in d["last_error"], d
        resolve("127.0.0.1", "127.0.0.2")  # one of each: only the allowed one is dialled
        p.wait_delivery(p.make({"url": url + "/rebind3"}), "DELIVERED")
        assert len(other.of("/rebind3")) == 1
        assert not any(r["path"].startswith("/rebind") for r in receiver.requests)
    finally:
        other.close()


def test_no_redirect_is_followed(caller, receiver):
    receiver.answer = lambda path, n: (302, {"Location": receiver.url + "/elsewhere"}) if path == "/moved" else 200
    d = caller.wait_delivery(caller.make({"url": receiver.url + "/moved"}), "DEAD")
    assert d["last_status"] == 302 and "redirects" in d["last_error"]
    assert receiver.of("/elsewhere") == [] and len(receiver.of("/moved")) == 5


def test_no_proxy_of_the_environment(make_caller, receiver):
    trap = Receiver()
    p = make_caller(start=False)
    try:
        p.env = dict(p.env, http_proxy=trap.url, HTTP_PROXY=trap.url, ALL_PROXY=trap.url, all_proxy=trap.url)
        p.start()
        p.wait_delivery(p.make({"url": receiver.url + "/direct"}), "DELIVERED")
        assert trap.requests == []
    finally:
        trap.close()


# --- bad targets ---

def hang(stop):
    return lambda handler: stop.wait(30)


def drip(stop):
    def answer(handler):
        try:
            while not stop.wait(0.1):
                handler.wfile.write(b"X")
        except OSError:
            pass
    return answer


def flood(handler):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
    sent, block = 0, b"x" * 65536
    try:
        while sent < 1000000000:
            handler.wfile.write(block)
            sent += len(block)
    except OSError:
        pass
    handler.server.flooded = sent


def header_flood(handler):
    try:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            handler.wfile.write(b"x-more: " + b"y" * 1000 + b"\r\n")
    except OSError:
        pass


def close_at_once(handler):
    handler.connection.shutdown(socket.SHUT_RDWR)


def test_bad_targets_are_bounded(make_caller, receiver):
    p = make_caller(args=("--callback-timeout", "1s", "--max-host-callbacks", "2", "--callback-failures", "1000"))
    stop = threading.Event()
    answers = {"/hang": hang(stop), "/drip": drip(stop), "/flood": flood, "/heads": header_flood,
               "/close": close_at_once}
    bad = {path: Receiver() for path in answers}
    for r in bad.values():
        r.answer = lambda path, n: answers[path]
    p.wait_delivery(p.make({"url": receiver.url + "/first"}), "DELIVERED")
    before_kb, before_fds = rss_kb(p.service.pid), fd_count(p.service.pid)
    try:
        begin = time.monotonic()
        tasks = {path: [p.make({"url": bad[path].url + path}) for _ in range(3)] for path in answers}
        # others are served meanwhile
        for i in range(10):
            p.wait_delivery(p.make({"url": f"{receiver.url}/beside{i}"}), "DELIVERED", 10)
        assert p.wait_delivery(tasks["/flood"][0], "DELIVERED", 60)["last_status"] == 200
        assert bad["/flood"].server.flooded < 50000000
        for path in ("/hang", "/drip", "/heads", "/close"):
            for task_id in tasks[path]:
                d = p.wait_delivery(task_id, "DEAD", 90)
                assert d["attempt"] == 5 and d["last_error"], d
        assert time.monotonic() - begin < 90
        assert rss_kb(p.service.pid) - before_kb < 30000
        wait_until(lambda: fd_count(p.service.pid) <= before_fds + 8)
    finally:
        stop.set()
        for r in bad.values():
            r.close()


def test_a_host_that_does_not_work_is_left_alone_for_a_while(make_caller, receiver):
    p = make_caller(args=("--callback-failures", "3", "--callback-pause", "1s", "--callback-retry",
                          ",".join(["20ms"] * 20)))
    bad = Receiver()
    bad.answer = lambda path, n: 503
    try:
        task_id = p.make({"url": bad.url + "/down"})
        p.service.wait_line(r"callbacks to a host pause: it does not work.*failures=3")
        requests = bad.wait("/down", 4)
        assert requests[3]["time"] - requests[2]["time"] > 0.9  # the first that probes
        bad.answer = lambda path, n: 200
        p.wait_delivery(task_id, "DELIVERED")
        begin = time.monotonic()  # and it is closed again
        p.wait_delivery(p.make({"url": bad.url + "/up"}), "DELIVERED")
        assert time.monotonic() - begin < 5
    finally:
        bad.close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    d = tmp_path_factory.mktemp("tls")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                    "-nodes", "-keyout", d / "key", "-out", d / "cert", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"], check=True, capture_output=True)
    return d


def test_tls_is_verified(make_caller, certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert", certificate / "key")
    r = Receiver(context=context)
    try:
        p = make_caller()
        d = p.wait_delivery(p.make({"url": r.url + "/tls"}), "DEAD")
        assert re.search("certificate", d["last_error"]) and not d.get("last_status")
        assert r.requests == []
        p = make_caller(args=("--callback-ca", str(certificate / "cert")))
        p.wait_delivery(p.make({"url": r.url + "/tls"}), "DELIVERED")
    finally:
        r.close()


# --- crashes, stops, secrets ---

def test_killed_between_send_and_record(make_caller, receiver):
    p = make_caller()
    receiver.answer = lambda path, n: (lambda handler: p.service.popen.send_signal(signal.SIGKILL)) if n == 0 else 200
    task_id = p.make({"url": receiver.url + "/killed"})
    receiver.wait("/killed")
    p.service.popen.wait(20)
    p.start_service()
    first, second = receiver.wait("/killed", 2)
    assert first["headers"]["webhook-id"] == second["headers"]["webhook-id"] and first["body"] == second["body"]
    p.wait_ready()
    d = p.wait_delivery(task_id, "DELIVERED")
    assert d["id"] == first["headers"]["webhook-id"]


def test_a_stop_waits_for_what_is_under_way(make_caller, receiver):
    p = make_caller()
    under_way = threading.Event()

    def slow(handler):
        under_way.set()
        time.sleep(0.5)
        handler.send_response(200)
        handler.send_header("Content-Length", "0")
        handler.end_headers()
    receiver.answer = lambda path, n: slow
    task_id = p.make({"url": receiver.url + "/stop"})
    assert under_way.wait(15)
    p.service.stop()
    p.start_service()
    p.wait_ready()
    assert p.wait_delivery(task_id, "DELIVERED")["attempt"] == 1
    assert len(receiver.of("/stop")) == 1


def test_keys_change_without_a_gap(make_caller, receiver, node_modules):
    p = make_caller()
    p.make({"url": receiver.url + "/key1"})
    write_keys(p.keys, SECRETS[::-1])
    one = receiver.wait("/key1")
    p.service.popen.send_signal(signal.SIGHUP)
    p.service.wait_line("--callback-keys: read again.*secrets=2")
    p.make({"url": receiver.url + "/key2"})
    two = receiver.wait("/key2")
    assert two[0]["headers"]["webhook-signature"].count("v1,") == 2
    assert "refused" in verify(one, SECRETS[1])[0] and "refused" not in verify(one, SECRETS[0])[0]
    for secret in SECRETS:
        assert "refused" not in verify(two, secret)[0]
    write_keys(p.keys, ["whsec_nonsense!"])
    p.service.popen.send_signal(signal.SIGHUP)
    p.service.wait_line("the former secrets stay")
    p.make({"url": receiver.url + "/key3"})
    assert receiver.wait("/key3")[0]["headers"]["webhook-signature"].count("v1,") == 2


def test_no_secret_is_told(caller, receiver):
    caller.make({"url": receiver.url + "/quiet?token=geheim"})
    receiver.wait("/quiet?token=geheim")
    with open(f"/proc/{caller.service.pid}/cmdline", "rb") as f:
        shown = f.read()
    with open(f"/proc/{caller.service.pid}/environ", "rb") as f:
        shown += f.read()
    shown += caller.service.text().encode()
    for secret in SECRETS:
        assert secret.encode() not in shown and secret[6:].encode() not in shown
    assert b"geheim" not in caller.service.text().encode()


def test_refused_files_of_keys(make_caller):
    p = make_caller(start=False)
    os.chmod(p.keys, 0o644)
    with pytest.raises(AssertionError, match="chmod 600"):
        p.start_service()


def test_without_keys_there_are_no_callbacks(pair):
    r = pair.post("/v1/tasks", {"method": ECHO, "input": {}, "callback": {"url": "https://example.org/"}})
    assert r.status == 422 and "--callback-keys" in r.json()["errors"][0]["detail"], r


def test_the_library_is_loaded_when_it_is_needed(caller, make_caller, receiver):
    def loads(p):
        with open(f"/proc/{p.service.pid}/maps", encoding="ascii") as f:
            return "libcurl" in f.read()
    p = make_caller()
    p.wait_task(p.submit("/test/task-echo", {}))
    assert not loads(p)
    p.wait_delivery(p.make({"url": receiver.url + "/load"}), "DELIVERED")
    assert loads(p)


# --- the command ---

def test_errand_deliveries(caller, receiver):
    def errand(*args):
        return subprocess.run([os.path.join(BUILD, "errand"), *args, "--socket", caller.socket], text=True,
                              capture_output=True, timeout=30, check=False)
    receiver.answer = lambda path, n: 200 if n else 410
    task_id = caller.make({"url": receiver.url + "/cli"})
    d = caller.wait_delivery(task_id, "DEAD")
    r = errand("deliveries", "--state", "dead", "--task", task_id)
    assert r.returncode == 0 and d["id"] in r.stdout and "task.succeeded" in r.stdout, r
    r = errand("deliveries", "--json", "--task", task_id)
    assert [json.loads(line)["id"] for line in r.stdout.splitlines()] == [d["id"]]
    assert json.loads(errand("delivery", "show", d["id"]).stdout) == d
    assert errand("delivery", "redeliver", d["id"]).returncode == 0
    caller.wait_delivery(task_id, "DELIVERED")
    assert errand("delivery", "show", task_id + "-999").returncode == 4
    assert errand("delivery", "explode", "x").returncode == 64
    assert errand("deliveries", "--state", "lost").returncode == 64


def test_a_queue_has_one_for_its_tasks(caller, receiver):
    r = caller.request("PATCH", "/v1/queues/test", {"callback": {"url": "http://10.0.0.1/"}})
    assert r.status == 422 and r.json()["errors"][0]["pointer"] == "#/callback/url", r
    assert caller.request("PATCH", "/v1/queues/test", {"callback": {"url": receiver.url + "/queue"}}).status == 200
    task_id = caller.submit("/test/task-echo", {})
    d = caller.wait_delivery(task_id, "DELIVERED")
    assert d["queue"] == "test" and len(receiver.of("/queue")) == 1
