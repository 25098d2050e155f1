"""errand dev: the pair in the foreground, supervised."""

import json
import os
import re
import select
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

import pytest

from conftest import ARTICLE, BUILD, REPORT, TESTMOD, pid_gone, wait_until

ERRAND = os.path.join(BUILD, "errand")


class Dev:
    """One `errand dev --json` and what it said."""

    def __init__(self, *args, state, env=None):
        self.state = state
        self.log = tempfile.NamedTemporaryFile(prefix="errand-dev-log-")  # gone with us
        env = dict(os.environ, ARTICLE_DIR=state, **(env or {}))
        env.pop("ERRAND_SOCKET", None)
        self.popen = subprocess.Popen([ERRAND, "dev", "--json", "--state", state, *args], env=env,
                                      stdout=subprocess.PIPE, stderr=self.log,
                                      stdin=subprocess.DEVNULL)
        self.events = []

    def next(self, event, timeout=30):
        end = time.monotonic() + timeout
        while True:
            left = end - time.monotonic()
            assert left > 0 and select.select([self.popen.stdout], [], [], left)[0], \
                (event, self.events, self.text())
            line = self.popen.stdout.readline()
            assert line, (event, self.events, self.text())
            self.events.append(json.loads(line))
            if self.events[-1]["event"] == event:
                return self.events[-1]

    def ready(self):
        self.url = self.next("ready")["url"]
        self.socket = self.events[-1]["socket"]
        return self

    def text(self):
        with open(self.log.name, encoding="utf-8", errors="replace") as f:
            return f.read()

    def children(self):
        """name -> pid of the daemons."""
        found = {}
        with open(f"/proc/{self.popen.pid}/task/{self.popen.pid}/children", encoding="ascii") as f:
            for pid in f.read().split():
                with open(f"/proc/{pid}/cmdline", "rb") as c:
                    argv = c.read().decode().split("\0")
                found["service" if any(a == "--state" for a in argv) else "gateway"] = int(pid)
        return found

    def get(self, path):
        try:
            with urllib.request.urlopen(self.url + path, timeout=20) as r:
                return r.status, json.load(r)
        except urllib.error.HTTPError as e:
            return e.code, None
        except OSError:
            return 0, None

    def stop(self, how=signal.SIGTERM):
        children = self.children()
        self.popen.send_signal(how)
        code = self.popen.wait(60)
        assert REPORT.search(self.text()) is None, self.text()
        assert code == 0, self.text()
        assert all(map(pid_gone, children.values()))


@pytest.fixture
def dev(tmp_path):
    made = []

    def make(*args, **kw):
        kw.setdefault("state", str(tmp_path / "state"))
        made.append(Dev("--listen", "127.0.0.1:0", *args, **kw))
        return made[-1]
    yield make
    for d in made:
        if d.popen.poll() is None:
            d.popen.kill()
            d.popen.wait()
        d.popen.stdout.close()


def test_the_example_without_a_module(dev):
    d = dev(env={"ERRAND_MODULE_DIR": os.path.dirname(ARTICLE)}).ready()
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", d.url)
    # every thread of the gateway serves at once: no 503 after the URL was printed
    assert all(d.get("/readyz")[0] == 200 for _ in range(20))
    assert d.get("/items/5") == (200, {"item_id": 5, "name": "示例商品", "price": 99.9})
    out = subprocess.run([ERRAND, "call", "/items/5", "--socket", d.socket], capture_output=True,
                         check=True, text=True)
    assert json.loads(out.stdout)["item_id"] == 5
    assert os.path.exists(os.path.join(d.state, "tasks.db"))
    # the page that ready named, with the files of the build tree
    assert d.events[-1]["docs"] == d.url + "/docs"
    with urllib.request.urlopen(d.events[-1]["docs"], timeout=20) as r:
        assert r.geturl() == d.url + "/docs/"
        text = r.read().decode()
    built = os.path.exists(os.path.join(BUILD, "web", "ui", "swagger-ui-bundle.js"))
    assert ("swagger-ui-bundle.js" in text) == built and ("/items/{item_id}" in text) != built
    d.stop()


def test_what_it_says_to_people(tmp_path):
    d = subprocess.Popen([ERRAND, "dev", "--listen", "127.0.0.1:0", "--state", str(tmp_path / "s"), ARTICLE],
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        lines = [d.stdout.readline() for _ in range(5)]
        assert re.fullmatch(r"errand dev: ready in \d+ ms\n", lines[0])
        said = dict(line.split() for line in lines[1:])
        assert list(said) == ["url", "docs", "socket", "state"]
        assert said["docs"] == said["url"] + "/docs"
    finally:
        d.terminate()
        assert d.wait(60) == 0
        d.stdout.close()


@pytest.mark.parametrize("name", ["service", "gateway"])
def test_what_died_is_started_again(dev, name):
    d = dev(ARTICLE, TESTMOD).ready()
    before = d.children()
    os.kill(before[name], signal.SIGKILL)
    died = d.next("died")
    assert died["name"] == f"errand-{name}" and "signal 9" in died["detail"]
    assert d.next("restarted")["name"] == f"errand-{name}"
    after = d.children()
    assert after[name] != before[name]
    other = "gateway" if name == "service" else "service"
    assert after[other] == before[other]
    # the same URL serves again
    wait_until(lambda: d.get("/items/2")[0] == 200, 20, "items after restart")
    d.stop()


def test_again_and_again(dev):
    d = dev(ARTICLE).ready()
    for _ in range(3):
        os.kill(d.children()["service"], signal.SIGKILL)
        d.next("restarted")
    wait_until(lambda: d.get("/items/2")[0] == 200, 20, "items after restarts")
    d.stop(signal.SIGINT)


def test_children_die_with_it(dev):
    d = dev(ARTICLE, "--store", "memory").ready()
    children = d.children()
    assert not os.path.exists(os.path.join(d.state, "tasks.db"))
    d.popen.kill()
    d.popen.wait()
    wait_until(lambda: all(map(pid_gone, children.values())), 10, "daemons gone")


def test_state_too_deep_for_a_socket(dev, tmp_path):
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    d = dev(ARTICLE, state=str(deep)).ready()
    assert len(d.socket) < 100 and not d.socket.startswith(str(deep))
    assert d.get("/items/1")[0] == 200
    folder = os.path.dirname(d.socket)
    d.stop()
    assert not os.path.exists(folder)


def test_a_bad_start_fails_at_once(dev, tmp_path):
    d = dev(str(tmp_path / "no-such-module.so"))
    assert d.popen.wait(30) == 1
    assert "no-such-module.so" in d.text() and "did not start" in d.text()
    first = dev(ARTICLE).ready()
    taken = first.url.rpartition(":")[2]
    d = Dev("--listen", f"127.0.0.1:{taken}", ARTICLE, state=str(tmp_path / "second"))
    assert d.popen.wait(30) == 1
    d.popen.stdout.close()
    assert "did not start" in d.text()
    # the same state: the second service is refused, the first one goes on
    d = dev(ARTICLE)
    assert d.popen.wait(30) == 1
    assert first.get("/items/1")[0] == 200
    first.stop()


def test_a_task_runs_on_after_kill(dev):
    d = dev(ARTICLE, TESTMOD).ready()
    r = subprocess.run([ERRAND, "call", "--async", "TaskSleep", "ms=1000", "--socket", d.socket],
                       capture_output=True, check=True, text=True)
    task_id = json.loads(r.stdout)["id"]
    wait_until(lambda: d.get(f"/v1/tasks/{task_id}")[1]["state"] == "RUNNING")
    os.kill(d.children()["service"], signal.SIGKILL)
    d.next("restarted")
    r = subprocess.run([ERRAND, "task", "watch", task_id, "--socket", d.socket], capture_output=True,
                       check=False, text=True, timeout=60)
    assert r.returncode == 0, r
    assert d.get(f"/v1/tasks/{task_id}")[1]["crash_count"] == 1
    d.stop()
