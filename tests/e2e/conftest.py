"""Fixtures: the real daemons in a private directory, port 0, stopped by SIGTERM.

ERRAND_BUILDDIR names the build to test. Every daemon that is stopped must exit 0
and must have written no sanitizer report.
"""

import http.client
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import pytest

TOP = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
BUILD = os.path.realpath(os.environ.get("ERRAND_BUILDDIR", os.path.join(TOP, "build", "dev")))
ARTICLE = os.path.join(BUILD, ".libs", "article.so")
TESTMOD = os.path.join(BUILD, "tests", "e2e", ".libs", "testmod.so")
for _name in [n for n in os.environ if n.startswith("ERRAND_") and n not in ("ERRAND_BUILDDIR", "ERRAND_TOOLS")]:
    if _name in ("ERRAND_URL", "ERRAND_CONTEXT", "ERRAND_SOCKET") or _name.startswith("ERRAND_TOKEN"):
        del os.environ[_name]  # no test asks a service that is not its own
os.environ["XDG_CONFIG_HOME"] = os.path.join(tempfile.gettempdir(), "errand-tests-without-contexts")
# What this machine's errand was told is none of the tests'.
os.environ.update(ERRAND_SERVICE_CONFIG="none", ERRAND_GATEWAY_CONFIG="none")
REPORT = re.compile(r"(ERROR|WARNING): (Address|Leak|Thread|Memory)Sanitizer|runtime error:")


def _sanitizers():
    with open(os.path.join(BUILD, "Makefile"), encoding="utf-8") as f:
        m = re.search(r"^ERRAND_CFLAGS = .*-fsanitize=(\S+)", f.read(), re.M)
        return m[1] if m else ""


def _faults():
    with open(os.path.join(BUILD, "config.h"), encoding="utf-8") as f:
        return "#define ERRAND_FAULT_INJECTION 1" in f.read()


SANITIZED = _sanitizers()  # "", "address,undefined" or "thread"
FAULTS = _faults()  # ERRAND_FAULT is looked at (service/fault.h)
JS = os.path.join(TOP, "tests", "js")  # npm's tools
TERMINAL = ("SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED")


def need(there, what):
    """A test whose tool is absent is skipped; not under ./dev, which has installed all."""
    if not there:
        (pytest.fail if os.environ.get("ERRAND_TOOLS") else pytest.skip)(f"{what} is not there: ./dev test installs it")


RELEASE_FIXTURES = {"clocked", "prefix"}  # a library in front of libc's; an installed release


def pytest_configure(config):
    config.addinivalue_line("markers", "release: only a build without sanitizers shows it; ./dev test runs these in one")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Tests for release builds are not of this one, rather than skipped by it."""
    for item in items:
        if RELEASE_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker("release")
    if SANITIZED:
        others = [i for i in items if i.get_closest_marker("release")]
        items[:] = [i for i in items if not i.get_closest_marker("release")]
        config.hook.pytest_deselected(items=others)


@pytest.fixture(scope="session")
def node_modules():
    need(shutil.which("node") and os.path.isdir(os.path.join(JS, "node_modules")), "tests/js/node_modules")


def wait_until(condition, timeout=15, what="condition"):
    """Polls until condition() gives something true, and returns that."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"{what}: not within {timeout} s"
        time.sleep(0.01)


def pid_state(pid):
    """The state letter of a process, None when there is none."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
            return f.read().rpartition(")")[2].split()[0]
    except OSError:
        return None


def pid_gone(pid):
    return pid_state(pid) in (None, "Z", "X")


def rss_kb(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read())[1])


def fd_count(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def processes(name, holding):
    """Pids of live programs called name with `holding` in their command line."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/cmdline", "rb") as f:
                argv = f.read().split(b"\0")
        except OSError:
            continue
        if os.path.basename(argv[0]) == name.encode() and any(holding.encode() in a for a in argv):
            found.append(int(entry))
    return [p for p in found if not pid_gone(p)]


class Daemon:
    """One started program; its stderr in a file."""

    def __init__(self, argv, log, env, stdout=None, given=()):
        """given: (name, listening socket) pairs, as systemd hands them over."""
        self.log, self.argv = log, argv
        ready, ready_w = os.pipe()
        begin = time.monotonic()
        activate = [sys.executable, f"{TOP}/tests/e2e/activate.py",
                    *(f"{name}:{s.fileno()}" for name, s in given), "--"] if given else []
        with open(log, "ab") as err:
            self.popen = subprocess.Popen(
                activate + argv + ["--ready-fd", str(ready_w)],
                pass_fds=[ready_w, *(s.fileno() for _, s in given)], stderr=err,
                stdout=stdout or err, stdin=subprocess.DEVNULL, env=env)
        os.close(ready_w)
        self.pid = self.popen.pid
        try:
            if not select.select([ready], [], [], 30)[0]:
                raise AssertionError(f"{argv[0]} is not ready: {self.text()[-2000:]}")
            self.ready = os.read(ready, 64).decode()
        finally:
            os.close(ready)
        self.ready_s = time.monotonic() - begin
        assert self.ready.endswith("\n"), f"{argv[0]} ended: {self.text()[-2000:]}"

    def text(self):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return f.read()

    def wait_line(self, pattern, timeout=15):
        return wait_until(lambda: re.search(pattern, self.text()), timeout, f"log line {pattern}")

    def alive(self):
        return self.popen.poll() is None

    def kill(self):
        self.popen.send_signal(signal.SIGKILL)
        self.popen.wait(20)
        self.check_reports()

    def check_reports(self):
        m = REPORT.search(self.text())
        assert m is None, self.text()[max(0, m.start() - 200):m.start() + 6000]

    def stop(self, timeout=40):
        self.popen.send_signal(signal.SIGTERM)
        try:
            code = self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
            raise AssertionError(f"{self.argv[0]} did not stop: {self.text()[-3000:]}") from None
        self.check_reports()
        assert code == 0, f"{self.argv[0]} exited {code}: {self.text()[-3000:]}"


class Response:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {dict(self.headers)} {self.body[:2000]!r}"


class Event:
    def __init__(self):
        self.id, self.event, self.data = None, "message", ""

    def json(self):
        return json.loads(self.data)

    def __repr__(self):
        return f"{self.event} {self.id} {self.data}"


def read_events(response):
    """Server-sent events of an http.client response, until its end."""
    event, seen = Event(), False
    for raw in response:
        line = raw.decode().rstrip("\r\n")
        if line == "":
            if seen:
                yield event
            event, seen = Event(), False
        elif not line.startswith(":"):
            name, _, value = line.partition(":")
            value = value[1:] if value.startswith(" ") else value
            seen = True
            if name == "data":
                event.data += ("\n" if event.data else "") + value
            else:
                setattr(event, name, value)


class Pair:
    """A gateway and a service that share a directory; each can be killed and started."""

    def __init__(self, modules=(ARTICLE, TESTMOD), store="sqlite",
                 service_args=("--slots", "8"), gateway_args=(), any_host=True):
        self.dir = tempfile.mkdtemp(prefix="errand-e2e-")
        self.modules, self.store, self.any_host = modules, store, any_host
        self.service_args, self.gateway_args = list(service_args), list(gateway_args)
        self.socket = os.path.join(self.dir, "service.sock")
        self.state = os.path.join(self.dir, "state")
        os.mkdir(self.state, 0o700)
        self.service = self.gateway = None
        self.port = 0
        self.env = dict(os.environ, ARTICLE_DIR=self.dir, TZ="UTC",
                        ASAN_OPTIONS="quarantine_size_mb=4:allocator_may_return_null=1",
                        TSAN_OPTIONS=f"die_after_fork=0:suppressions={TOP}/tests/tsan.supp")

    def path(self, *names):
        return os.path.join(self.dir, *names)

    def start_service(self, *more):
        store = "memory" if self.store == "memory" else f"sqlite:{self.path('state', 'tasks.db')}"
        argv = [os.path.join(BUILD, "errand-service"), "--socket", self.socket,
                "--state", self.state, "--store", store]
        for m in self.modules:
            argv += ["--module", m]
        self.service = Daemon(argv + self.service_args + list(more), self.path("service.log"), self.env)
        return self.service

    def start_gateway(self, *more):
        argv = [os.path.join(BUILD, "errand-gateway"), "--listen", f"127.0.0.1:{self.port}",
                "--socket", self.socket]
        if self.any_host and "--host" not in [*self.gateway_args, *more]:
            argv += ["--host", "*"]  # raw requests name whom they like; test_content.py has the list
        with open(self.path("access.log"), "ab") as access:
            self.gateway = Daemon(argv + self.gateway_args + list(more), self.path("gateway.log"),
                                  self.env, stdout=access)
        self.port = int(self.gateway.ready)
        return self.gateway

    def start(self):
        self.start_service()
        self.start_gateway()
        self.wait_ready()
        return self

    def wait_ready(self):
        """Each of the gateway's threads has a way to the service of its own."""
        wait_until(lambda: all(self.get("/readyz").status == 200 for _ in range(12)), 20, "readyz")

    def close(self):
        try:
            for daemon in (self.gateway, self.service):
                if daemon is not None and daemon.alive():
                    daemon.stop()
        finally:
            for daemon in (self.gateway, self.service):
                if daemon is not None and daemon.alive():
                    daemon.kill()
            shutil.rmtree(self.dir, ignore_errors=True)

    # --- HTTP ---

    def connect(self, timeout=60):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def request(self, method, path, body=None, headers=None, timeout=60):
        headers = dict(headers or {})
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        if isinstance(body, str):
            body = body.encode()
        if body is not None:
            headers.setdefault("Content-Type", "application/json")
        c = self.connect(timeout)
        try:
            c.request(method, path, body, headers)
            r = c.getresponse()
            return Response(r.status, r.headers, r.read())
        finally:
            c.close()

    def get(self, path, **kw):
        return self.request("GET", path, **kw)

    def post(self, path, body=None, **kw):
        """Without a body an empty object goes to the test module's methods, which take one."""
        if body is None and "test" in path.partition("?")[0]:
            body = {}
        return self.request("POST", path, body, **kw)

    def raw(self, data, timeout=10):
        """Sends bytes as they are; what came back until the end or the timeout."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout) as s:
            s.sendall(data)
            out = b""
            try:
                while chunk := s.recv(65536):
                    out += chunk
            except (TimeoutError, ConnectionResetError):
                pass
            return out

    # --- tasks ---

    def submit(self, path, body=None, headers=None):
        r = self.post(path, body, headers=headers)
        assert r.status == 202, r
        task = r.json()
        assert r.headers["Location"] == f"/v1/tasks/{task['id']}"
        return task["id"]

    def task(self, task_id):
        r = self.get(f"/v1/tasks/{task_id}")
        assert r.status == 200, r
        return r.json()

    def wait_task(self, task_id, states=TERMINAL, timeout=60):
        def in_state():
            task = self.task(task_id)
            assert task["state"] in states or task["state"] not in TERMINAL, task
            return task if task["state"] in states else None
        return wait_until(in_state, timeout, f"task {task_id} in {states}")

    def events(self, task_id, headers=None, timeout=60):
        """The task's events; the stream's own last record, which has no id, is not one."""
        c = self.connect(timeout)
        try:
            c.request("GET", f"/v1/tasks/{task_id}/events",
                      headers=dict(headers or {}, Accept="text/event-stream"))
            r = c.getresponse()
            assert r.status == 200, (r.status, r.read())
            assert r.headers["Content-Type"].startswith("text/event-stream")
            last = None
            for last in read_events(r):
                if last.id is not None:
                    yield last
            assert last is not None and last.id is None, last
        finally:
            c.close()

    def logs(self, task_id):
        r = self.get(f"/v1/tasks/{task_id}/logs", headers={"Accept": "application/json"})
        assert r.status == 200, r
        return r.json()


@pytest.fixture(scope="module")
def pair():
    """A pair shared by the tests of one file."""
    p = Pair()
    try:
        yield p.start()
    finally:
        p.close()


@pytest.fixture
def make_pair():
    """Pairs of a test's own: make_pair(service_args=[...])."""
    made = []

    def make(**kw):
        made.append(Pair(**kw))
        return made[-1].start()
    yield make
    for p in made:
        p.close()


@pytest.fixture(scope="session")
def clips():
    """A directory with clip.mp4 (4 s) and long.mp4 (30 s), made by ffmpeg's test sources."""
    with tempfile.TemporaryDirectory(prefix="errand-clips-") as d:
        for name, seconds, size in (("clip", 4, "320x180"), ("long", 30, "1280x720")):
            subprocess.run(
                ["ffmpeg", "-v", "error", "-nostdin", "-f", "lavfi", "-i",
                 f"testsrc2=size={size}:rate=30:duration={seconds}", "-f", "lavfi", "-i",
                 f"sine=frequency=440:duration={seconds}", "-c:v", "mpeg4", "-q:v", "5",
                 "-c:a", "aac", f"{d}/{name}.mp4"], check=True)
        yield d


def in_threads(n, work):
    """work(i) in n threads at once; their results, or the first failure."""
    results, failures = [None] * n, []

    def run(i):
        try:
            results[i] = work(i)
        except BaseException as e:  # pylint: disable=broad-except
            failures.append(e)
    threads = [threading.Thread(target=run, args=(i,)) for i in range(n)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if failures:
        raise failures[0]
    return results


def in_threads_during(change, n, work):
    """change() while n threads do work(i) over and over; the first failure of any of them."""
    over = threading.Event()

    def run(i):
        if i < n:
            while not over.is_set():
                work(i)
            return
        try:
            change()
        finally:
            over.set()
    in_threads(n + 1, run)
