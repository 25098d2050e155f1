"""Every event once and in order: a task's own stream and the one of all tasks
(GET /v1/events), for clients that come and go at random; resets where events were missed;
filters, in the streams, in lists and in the command."""

import json
import random
import re
import socket
import subprocess
import threading

from conftest import SANITIZED, BUILD, Event, in_threads, read_events, wait_until

N = 60 if SANITIZED else 300
TERMINAL = ("SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED")


def follow(pair, path, last, n):
    """Up to n events after `last`, then the connection is dropped. None: there is nothing
    more (204)."""
    c = pair.connect(60)
    headers = {"Accept": "text/event-stream"}
    if last is not None:
        headers["Last-Event-ID"] = last
    c.request("GET", path, headers=headers)
    r = c.getresponse()
    if r.status == 204:
        c.close()
        return None
    assert r.status == 200, (r.status, r.read())
    got = []
    for e in read_events(r):
        if e.id is None:
            break
        got.append(e)
        if len(got) >= n:
            break
    c.sock.close() if c.sock else r.close()
    c.close()
    return got


def lasting(events):
    return [e for e in events if e.event != "progress"]


def submit_one(pair, dice):
    """Tasks with attempts, lines, progress, results and errors."""
    kind = dice.randrange(4)
    if kind == 0:
        return pair.submit("/test/task-echo", {"text_value": "x"})
    if kind == 1:
        return pair.submit("/test/task-sleep", {"ms": 30 + dice.randrange(120)})
    if kind == 2:
        return pair.submit("/test/task-fail", {"times": dice.randrange(5), "code": 14})
    return pair.submit("/test/task-run", {"argv": ["seq", str(dice.randrange(1, 30))]})


def test_a_task_to_who_comes_back(make_pair):
    """Every state, line and result of every task exactly once and in order, however
    often its reader drops the connection. Progress that had newer progress meanwhile may
    be left out (it is coalesced), but nothing comes twice."""
    pair = make_pair(service_args=["--slots", "4"])

    def read(seed):
        dice = random.Random(seed)
        for _ in range(N // 6):
            task = submit_one(pair, dice)
            got, last = [], None
            while True:
                some = follow(pair, f"/v1/tasks/{task}/events", last, dice.randrange(1, 6))
                if some is None:
                    break
                got += some
                last = got[-1].id if got else None
                if not some and got and got[-1].json().get("state") in TERMINAL:
                    break
            ids = [int(e.id) for e in got]
            assert ids == sorted(set(ids)), (task, ids)
            whole = lasting(pair.events(task))
            assert [(e.id, e.event, e.data) for e in lasting(got)] == \
                [(e.id, e.event, e.data) for e in whole], task
            assert whole[-1].json()["state"] in TERMINAL
            states = [e.json()["state"] for e in whole if e.event == "state"]
            assert states[0] == "QUEUED" and states[1] == "RUNNING", states
    in_threads(6, read)


class Watcher(threading.Thread):
    """Reads /v1/events, dropping the connection at random, until stop() and then as far as
    the last event that `until` waits for."""

    def __init__(self, pair, seed, path="/v1/events"):
        super().__init__()
        self.pair, self.dice, self.path = pair, random.Random(seed), path
        self.got, self.ended, self.failed = [], threading.Event(), None
        self.open = threading.Event()

    def run(self):
        try:
            last = None
            while not self.ended.is_set():
                n = self.dice.choice([1, 3, 10, 100, 1000])
                c = self.pair.connect(60)
                headers = {"Accept": "text/event-stream"}
                if last is not None:
                    headers["Last-Event-ID"] = last
                c.request("GET", self.path, headers=headers)
                r = c.getresponse()
                assert r.status == 200, (r.status, r.read())
                self.open.set()
                for e in read_events(r):
                    assert e.id is not None, e
                    last = e.id
                    self.got.append(e)
                    n -= 1
                    if n <= 0 or self.ended.is_set():
                        break
                c.close()
                r.close()
        except Exception as e:  # told by the test
            self.failed = e

    def has_ends(self, tasks):
        if self.failed is not None:
            raise self.failed
        ended = {e.json()["task_id"] for e in list(self.got)
                 if e.json().get("state") in TERMINAL}
        return ended >= set(tasks)

    def stop(self, tasks):
        wait_until(lambda: self.has_ends(tasks), 60, "all ends seen")
        self.ended.set()
        self.pair.submit("/test/task-echo", {"text_value": "wakes the reader"})
        self.join()


def numbers(events):
    return [int(e.id.rpartition("-")[2]) for e in events]


def test_all_tasks_to_who_comes_back(make_pair):
    """The stream of all tasks: three readers that come and go see the same events, each
    once, and of each task what its own stream shows."""
    pair = make_pair(service_args=["--slots", "4"])
    watchers = [Watcher(pair, seed) for seed in range(3)]
    for w in watchers:
        w.start()
        assert w.open.wait(30)
    tasks, lock = [], threading.Lock()

    def make(seed):
        dice = random.Random(seed)
        for _ in range(N // 3):
            task = submit_one(pair, dice)
            with lock:
                tasks.append(task)
    in_threads(3, make)
    for task in tasks:
        pair.wait_task(task)
    for w in watchers:
        w.stop(tasks)
        got = numbers(w.got)
        assert got == list(range(got[0], got[0] + len(got)))  # none missed, none twice
        assert not [e for e in w.got if e.event == "reset"]
        by_task = {}
        for e in w.got:
            by_task.setdefault(e.json()["task_id"], []).append(e.json())
        for task in tasks:
            own = lasting(pair.events(task)) if w is watchers[0] else None
            seqs = [int(e["seq"]) for e in by_task[task]]
            assert seqs == list(range(1, seqs[-1] + 1)), (task, seqs)
            if own is not None:
                assert [(e.id, e.event) for e in own] == \
                    [(e["seq"], e["event"]) for e in by_task[task] if e["event"] != "progress"]
    shown = watchers[0].got[0].json()
    assert shown["method"].startswith("errandtest.v1.Test/") and shown["queue"]


def test_filtered(pair):
    """Only what the query asks for, as the event leaves the task."""
    failed = Watcher(pair, 1, "/v1/events?state=FAILED")
    failed.dice.choice = lambda _: 10 ** 9
    one = Watcher(pair, 2, "/v1/events?method=errandtest.v1.Test/TaskEcho&"
                  "filter=state%20%3D%20SUCCEEDED%20OR%20attempt%20%3E%205")
    one.dice.choice = lambda _: 10 ** 9
    for w in failed, one:
        w.daemon = True
        w.start()
        assert w.open.wait(30)
    bad = pair.submit("/test/task-fail", {"times": 9, "code": 3, "final": True})
    good = pair.submit("/test/task-echo", {"text_value": "x"})
    pair.wait_task(bad)
    pair.wait_task(good)
    wait_until(lambda: failed.has_ends([bad]) and one.has_ends([good]), what="both")
    assert {e.json()["task_id"] for e in failed.got} == {bad}
    assert {(e.json()["task_id"], e.json()["method"]) for e in one.got} == \
        {(good, "errandtest.v1.Test/TaskEcho")}
    r = pair.get("/v1/events?filter=state%20%3D%20runing", headers={"Accept": "text/event-stream"})
    assert r.status == 400 and "did you mean RUNNING" in r.json()["detail"], r


def test_reset(make_pair):
    """An id that is not of the ring: a reset first, whose id is a good one to go on with."""
    pair = make_pair()
    first = Watcher(pair, 1)
    first.start()
    assert first.open.wait(30)
    task = pair.submit("/test/task-echo", {"text_value": "x"})
    pair.wait_task(task)
    first.stop([task])
    last = first.got[-1].id
    boot = last.partition("-")[0]
    for wrong in ("00000000-1", f"{boot}-0", f"{boot}-99999999", "garbage", f"{last}x"):
        got = follow(pair, "/v1/events", wrong, 1)
        assert [(e.event, e.json()["event"]) for e in got] == [("reset", "reset")], wrong
        assert numbers(got)[0] >= int(last.rpartition("-")[2]) and got[0].id.startswith(boot)
    old = follow(pair, "/v1/events", first.got[0].id, 2)
    assert [e.id for e in old] == [e.id for e in first.got[1:3]]
    # Another start is another stream.
    pair.service.stop()
    pair.start_service()
    pair.wait_ready()
    got = follow(pair, "/v1/events", last, 1)
    assert got[0].event == "reset" and not got[0].id.startswith(boot)


def test_a_slow_reader_is_reset(make_pair):
    """Who does not read holds nobody up and no memory: the ring goes over it, and a reset
    tells it."""
    pair = make_pair()
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.settimeout(60)
    s.connect(("127.0.0.1", pair.port))
    s.sendall(b"GET /v1/events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n")
    assert s.recv(12) == b"HTTP/1.1 200"
    tasks = [pair.submit("/test/task-run", {"argv": ["seq", "9000"]}) for _ in range(3)]
    for task in tasks:
        pair.wait_task(task)
    data, beat = b"", 0
    while b"event: reset" not in data:
        got = s.recv(65536)
        assert got, "it was cut"
        data = data[-100:] + got
    after = pair.submit("/test/task-echo", {"text_value": "after"})
    while after.encode() not in data:
        data = data[-100:] + s.recv(65536)
    s.close()


def test_ndjson_and_openapi(pair):
    """The same for programs that do not speak SSE; the document knows it."""
    c = pair.connect(60)
    c.request("GET", "/v1/events", headers={"Accept": "application/x-ndjson"})
    r = c.getresponse()
    task = pair.submit("/test/task-echo", {"text_value": "x"})
    e = json.loads(r.readline())
    assert e["task_id"] == task and e["event"] == "state" and re.fullmatch(r"[0-9a-f]{8}-\d+", e["id"])
    c.close()
    assert "/v1/events" in pair.get("/openapi.json").json()["paths"]


def test_lists(make_pair):
    """filter and order_by of GET /v1/tasks: pages, tokens, refusals."""
    pair = make_pair()
    tasks = [pair.submit("/test/task-fail", {"times": 9, "code": 3, "final": True})
             for _ in range(5)]
    pair.submit("/test/task-echo", {"text_value": "x"})
    for task in tasks:
        pair.wait_task(task)

    def pages(query):
        got, token = [], ""
        while True:
            r = pair.get(f"/v1/tasks?page_size=2&{query}" + (f"&page_token={token}" if token else ""))
            assert r.status == 200, r
            got += r.json()["tasks"]
            token = r.json()["next_page_token"]
            if not token:
                return got
    failed = "filter=state%20%3D%20failed%20AND%20method%20%3D%20%22*TaskFail%22"
    assert [t["id"] for t in pages(failed)] == tasks[::-1]
    assert [t["id"] for t in pages(failed + "&order_by=create_time")] == tasks
    by_end = pages(failed + "&order_by=end_time%20desc")
    assert sorted(t["id"] for t in by_end) == sorted(tasks)
    assert [t["end_time"] for t in by_end] == sorted((t["end_time"] for t in by_end), reverse=True)
    for query, said in (
            ("filter=stat%20%3D%20failed", "did you mean state"),
            ("order_by=attempt", "no index orders tasks by attempt"),
            ("order_by=end_time", "add end_time:* to the filter"),
            ("page_token=abc", "page_token")):
        r = pair.get(f"/v1/tasks?{query}")
        assert r.status == 400 and said in r.json()["detail"], r
        assert [e["parameter"] for e in r.json()["errors"]] == [query.partition("=")[0]], r
    token = pair.get(f"/v1/tasks?page_size=2&{failed}").json()["next_page_token"]
    assert pair.get(f"/v1/tasks?page_size=2&page_token={token}").status == 400


def errand(pair, *args, timeout=30):
    return subprocess.run([f"{BUILD}/errand", *args, "--socket", pair.socket], env=pair.env,
                          capture_output=True, text=True, timeout=timeout)


def test_command(pair):
    """errand events, errand tasks --filter --order-by."""
    p = subprocess.Popen([f"{BUILD}/errand", "events", "--json", "--socket", pair.socket,
                          "--filter", "state = succeeded"], env=pair.env, stdout=subprocess.PIPE, text=True)
    seen = []
    reader = threading.Thread(target=lambda: seen.extend(json.loads(p.stdout.readline())
                                                         for _ in range(1)))
    reader.start()
    while reader.is_alive():  # it may not be there yet
        task = pair.submit("/test/task-echo", {"text_value": "x"})
        pair.wait_task(task)
        reader.join(0.2)
    p.terminate()
    p.wait()
    # The result is told of before the state is.
    assert seen[0]["event"] in ("result", "state") and "id" in seen[0]
    r = errand(pair, "events", "--after", seen[0]["id"], "--timeout", "1s", "--logs")
    assert r.returncode == 124 and "SUCCEEDED" in r.stdout, r
    r = errand(pair, "events", "--filter", "state = runing")
    assert r.returncode != 0 and "did you mean RUNNING" in r.stderr, r
    r = errand(pair, "tasks", "--json", "--filter", "end_time:*", "--order-by", "end_time desc")
    ends = [json.loads(line)["end_time"] for line in r.stdout.splitlines()]
    assert ends and ends == sorted(ends, reverse=True)
    r = errand(pair, "tasks", "--filter", "state == running")
    assert r.returncode != 0 and "column 7: equal is =, not ==" in r.stderr, r
