"""errand.v1.Workers: what programs of any language that run methods for the service can do, and what
happens to their work when they, or the service, do not live on."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import TERMINAL, TESTMOD, TOP, wait_until
from rawworker import Client, Failed, Worker, fields

ECHO = "errandtest.v1.Test/Echo"
CANCELLED, INVALID_ARGUMENT, DEADLINE_EXCEEDED, NOT_FOUND, ALREADY_EXISTS = 1, 3, 4, 5, 6
FAILED_PRECONDITION, INTERNAL, UNAVAILABLE = 9, 13, 14

THUMBS = """
syntax = "proto3";
package thumbs.v1;
import "errand/v1/options.proto";
import "google/api/annotations.proto";
service Thumbs {
  rpc Make(Picture) returns (Picture) {
    option (google.api.http) = {post: "/thumbs" body: "*"};
    option (errand.v1.method) = {run: TASK cancel_grace {nanos: 100000000} retry {base {nanos: 1000000} cap {nanos: 1000000}}};
  }
  rpc Look(Picture) returns (Picture) {
    option (google.api.http) = {get: "/thumbs/{name}"};
    option (errand.v1.method) = {run: SYNC cancel_grace {nanos: 100000000}};
  }
}
message Picture {
  string name = 1;
  int32 width = 2;
  MORE
}
"""


@pytest.fixture(scope="session")
def compile_proto(tmp_path_factory):
    def compile(text, name="thumbs.proto"):
        d = tmp_path_factory.mktemp("proto")
        (d / name).write_text(text)
        subprocess.run(["protoc", "-I", f"{TOP}/proto", "-I", d, "--include_imports",
                        f"--descriptor_set_out={d}/set", name], check=True)
        return (d / "set").read_bytes()
    return compile


@pytest.fixture(scope="session")
def thumbs(compile_proto):
    return compile_proto(THUMBS.replace("MORE", ""))


@pytest.fixture
def worker(pair):
    """Workers of the shared pair, gone (and forgotten) after the test."""
    made = []

    def make(p=None, **kw):
        made.append(Worker((p or pair).socket, **kw))
        return made[-1]
    yield make
    for w in made:
        w.close()
    if made:
        wait_until(lambda: not any(w["worker"] for w in workers(pair)), what="workers gone")
        for w in workers(pair):
            for q in w["queues"]:
                pair.post(f"/v1/queues/{q}:purge")
            assert pair.request("DELETE", f"/v1/workers/{w['name']}").status == 204


def workers(p):
    r = p.get("/v1/workers")
    assert r.status == 200, r
    return r.json()["workers"]


def create(p, queue, text="x", method=ECHO, **options):
    r = p.post("/v1/tasks", {"method": method, "queue": queue, "input": {"text_value": text}, **options})
    assert r.status == 201, r
    return r.json()["id"]


def outcomes(task):
    return [a["outcome"] for a in task["attempts"]]


def refused(code, call, *a, **kw):
    with pytest.raises(Failed) as e:
        call(*a, **kw)
    assert e.value.code == code, e.value
    return str(e.value)


# --- tasks of a queue ---

def test_a_task_of_a_queue_runs_on_its_worker(pair, worker):
    w = worker(name="one", queues=["images"], tasks=2, pid=4711)
    assert list(w.registered.queues) == ["images"]
    assert w.registered.lease_duration.seconds == 30
    task = create(pair, "images", "hello")
    work = w.work()
    assert (work.method, work.task, work.attempt, work.queue) == (ECHO, task, 1, "images")
    assert not work.HasField("timeout")
    assert pair.task(task)["state"] == "RUNNING"
    assert w.beat() == [work.lease]
    shown, = workers(pair)
    assert (shown["name"], shown["pid"], shown["tasks"], shown["running_tasks"]) == ("one", 4711, 2, 1)
    assert pair.get("/v1/server").json()["workers"] == 1
    w.complete(work, work.input)
    task = pair.task(task)  # recorded before the worker was told
    assert (task["state"], task["result"]["text_value"]) == ("SUCCEEDED", "hello")
    assert outcomes(task) == ["OK"]
    assert w.beat() == []


def test_slots_are_what_the_workers_take(pair, worker):
    def slots():
        return pair.get("/v1/queues/shared").json()["concurrency"]
    a = worker(name="a", queues=["shared"], tasks=2)
    b = worker(name="b", queues=["shared"], tasks=1)
    assert slots() == 3
    tasks = [create(pair, "shared", str(i)) for i in range(4)]
    got = [(a, a.work()), (a, a.work()), (b, b.work())]
    assert {work.task for _, work in got} == set(tasks[:3])
    a.nothing()
    assert pair.task(tasks[3])["state"] == "QUEUED"
    for w, work in got:
        w.complete(work, work.input)
    last = wait_until(lambda: take(a, b), what="the fourth")
    last[0].complete(last[1], last[1].input)
    for t in tasks:
        assert pair.wait_task(t)["state"] == "SUCCEEDED"
    b.close()
    wait_until(lambda: slots() == 2, what="two slots")


def take(*ws):
    """(worker, work) of whoever gets the next, or None."""
    for w in ws:
        if not w.orders.messages.empty():
            return w, w.work()
    return None


def test_a_name_shared_by_workers_of_different_queues(pair, worker):
    a, b = worker(name="same", queues=["qa"]), worker(name="same", queues=["qb", "qb"])
    assert (list(a.registered.queues), list(b.registered.queues)) == (["qa"], ["qb"])
    in_a, in_b = create(pair, "qa"), create(pair, "qb")
    for w, task in ((a, in_a), (b, in_b)):
        work = w.work()
        assert work.task == task
        w.complete(work, work.input)
    assert sorted(x["queues"] for x in workers(pair)) == [["qa"], ["qb"]]
    a.close()
    wait_until(lambda: len(workers(pair)) == 1, what="one")
    task = create(pair, "qa")
    b.nothing()
    assert pair.task(task)["state"] == "QUEUED"  # still a queue of workers


def test_settings_of_the_queue_hold_for_workers(pair, worker):
    w = worker(queues=["set"], tasks=8)
    assert pair.request("PATCH", "/v1/queues/set", {"concurrency": 2}).status == 200
    tasks = [create(pair, "set", str(i), priority=i) for i in range(3)]
    first = [w.work(), w.work()]
    w.nothing()
    assert pair.post("/v1/queues/set:pause").status == 200
    for work in first:
        w.complete(work, work.input)
    w.nothing()
    create(pair, "set", "urgent", priority=9)
    assert pair.request("PATCH", "/v1/queues/set", {"concurrency": 1}).status == 200
    assert pair.post("/v1/queues/set:resume").status == 200
    work = w.work()
    assert b"urgent" in work.input
    w.complete(work, work.input)
    work = w.work()
    assert work.task == tasks[2]
    w.complete(work, work.input)


def test_progress_lines_and_checkpoints_are_kept(pair, worker):
    w = worker(queues=["said"])
    task = create(pair, "said", retry={"max_attempts": 2, "base": "0.001s"})
    work = w.work()
    any_of = w.message("google.protobuf.Any")
    place = any_of(type_url="type.googleapis.com/errandtest.v1.EchoMessage", value=b"r\x02at")
    w.ask("Progress", worker=w.id, lease=work.lease, fraction=0.5, message="half", detail=place)
    w.ask("Progress", worker=w.id, lease=work.lease, checkpoint=place)
    w.ask("Log", worker=w.id, lease=work.lease, stream="stdout", lines=["one", "two"])
    w.ask("Log", worker=w.id, lease=work.lease, lines=["three\nfour\n", "", "x" * 70000])
    assert wait_until(lambda: pair.task(task).get("progress"), what="progress")["fraction"] == 0.5
    refused(INVALID_ARGUMENT, w.ask, "Log", worker=w.id, lease=work.lease, stream="x", lines=["no"])
    refused(INVALID_ARGUMENT, w.ask, "Progress", worker=w.id, lease=work.lease, detail=any_of(type_url="x/none.Such"))
    refused(INVALID_ARGUMENT, w.ask, "Progress", worker=w.id, lease=work.lease,
            checkpoint=any_of(type_url="x/y", value=bytes(300000)))
    w.fail(work, UNAVAILABLE, "not now")
    again = w.work()
    assert (again.attempt, again.checkpoint.value) == (2, b"r\x02at")
    assert again.lease != work.lease
    w.complete(again, again.input)
    assert outcomes(pair.task(task)) == ["ERROR", "OK"]
    lines = [(x["stream"], x["text"]) for x in pair.logs(task)]
    assert lines == [("stdout", "one"), ("stdout", "two"), ("handler", "three"), ("handler", "four"), ("handler", ""),
                     ("handler", "x" * 65536), ("handler", "x" * 4464)], [(a, b[:20]) for a, b in lines]


def test_what_a_failure_says_is_recorded(pair, worker):
    w = worker(queues=["bad"])

    def fail(**kw):
        task = create(pair, "bad")
        w.fail(w.work(), **kw)
        task = pair.wait_task(task)
        assert task["state"] == "FAILED", task
        return task
    task = fail(code=INVALID_ARGUMENT, message="no such picture")
    assert (task["error"]["code"], task["error"]["detail"]) == ("INVALID_ARGUMENT", "no such picture (not retryable)")
    problem = w.message("errand.v1.Problem")(type="about:x", title="T", status=418, detail="D", code="INTERNAL")
    task = fail(code=INTERNAL, problem=problem, final=True)
    assert (task["error"]["type"], task["error"]["status"], task["error"]["detail"]) == ("about:x", 418, "D (not retryable)")
    task = fail(code=INTERNAL, message="exit status 3", exit_status=3, final=True)
    assert (task["attempts"][0]["outcome"], task["attempts"][0]["exit_status"]) == ("EXIT", 3)
    task = fail(code=INTERNAL, message="killed", signal=9, final=True)
    assert (task["attempts"][0]["outcome"], task["attempts"][0]["signal"]) == ("SIGNAL", 9)
    task = fail(code=INTERNAL, message="too much", signal=9, oom=True, final=True)
    assert task["attempts"][0]["outcome"] == "OOM"
    work_task = create(pair, "bad")
    work = w.work()
    refused(INVALID_ARGUMENT, w.fail, work, 0)
    refused(INVALID_ARGUMENT, w.fail, work, 17)
    w.fail(work, INTERNAL, final=True)
    assert pair.wait_task(work_task)["state"] == "FAILED"


def test_an_answer_that_is_none_is_refused(pair, worker):
    w = worker(queues=["wrong"])
    task = create(pair, "wrong")
    work = w.work()
    refused(INVALID_ARGUMENT, w.complete, work, b"\xff\xff\xff")
    task = pair.wait_task(task)
    assert (task["state"], task["error"]["code"], outcomes(task)) == ("FAILED", "INTERNAL", ["ERROR"])
    refused(FAILED_PRECONDITION, w.complete, work, b"")  # its lease is over


def test_leases_are_who_they_were_given_to(pair, worker):
    a, b = worker(name="a", queues=["own"]), worker(name="b", queues=["theirs"])
    create(pair, "own")
    work = a.work()
    for call in (lambda: b.complete(work), lambda: b.fail(work), lambda: a.complete(work.lease + 1000)):
        refused(FAILED_PRECONDITION, call)
    refused(NOT_FOUND, a.ask, "Complete", worker="nobody", lease=work.lease)
    refused(FAILED_PRECONDITION, a.ask, "Lease", worker=a.id)
    a.complete(work, work.input)
    refused(FAILED_PRECONDITION, a.complete, work)


# --- being stopped ---

def test_a_cancel_is_told_and_obeyed(pair, worker):
    w = worker(queues=["stop"])
    task = create(pair, "stop", cancel_grace="5s")
    work = w.work()
    assert pair.post(f"/v1/tasks/{task}:cancel").status in (200, 202)
    stop = w.order().stop
    assert (stop.lease, stop.code, stop.grace.seconds) == (work.lease, CANCELLED, 5)
    w.fail(work, CANCELLED, "stopped")
    task = pair.wait_task(task)
    assert (task["state"], outcomes(task)) == ("CANCELLED", ["CANCELLED"])


def test_a_timeout_is_told_and_a_late_success_counts(pair, worker):
    w = worker(queues=["late"])
    task = create(pair, "late", timeout="0.2s", cancel_grace="5s")
    work = w.work()
    assert 0 < work.timeout.nanos <= 200_000_000
    assert w.order().stop.code == DEADLINE_EXCEEDED
    w.complete(work, work.input)
    assert pair.wait_task(task)["state"] == "SUCCEEDED"
    task = create(pair, "late", timeout="0.1s", cancel_grace="5s", retry={"max_attempts": 1})
    work = w.work()
    w.order()
    w.fail(work, DEADLINE_EXCEEDED, "gave up")
    assert outcomes(pair.wait_task(task)) == ["TIMEOUT"]


def test_what_does_not_stop_is_taken_away(pair, worker):
    w = worker(queues=["deaf"], tasks=1)
    task = create(pair, "deaf", cancel_grace="0.05s")
    work = w.work()
    pair.post(f"/v1/tasks/{task}:cancel")
    assert w.order().stop.lease == work.lease
    task = pair.wait_task(task)
    assert (task["state"], outcomes(task)) == ("CANCELLED", ["CANCELLED"])
    assert w.beat() == []
    other = create(pair, "deaf", "next")
    w.nothing()  # it is busy, whatever we think of it
    assert pair.get("/v1/queues/deaf").json()["concurrency"] == 0
    refused(FAILED_PRECONDITION, w.complete, work, work.input)
    work = w.work()
    assert work.task == other
    w.complete(work, work.input)


# --- being lost ---

def test_silence_loses_the_lease(pair, worker):
    silent = worker(name="silent", queues=["lost"], lease_s=1)
    task = create(pair, "lost")
    work = silent.work()
    other = worker(name="other", queues=["lost"])
    again = other.work()
    assert (again.task, again.attempt) == (task, 2)
    refused(NOT_FOUND, silent.complete, work, work.input)
    refused(DEADLINE_EXCEEDED, silent.order)
    other.complete(again, again.input)
    task = pair.task(task)
    assert (outcomes(task), task["crash_count"], task["state"]) == (["LEASE_LOST", "OK"], 1, "SUCCEEDED")


def test_heartbeats_keep_a_long_task(pair, worker):
    w = worker(queues=["long"], lease_s=1)
    task = create(pair, "long")
    work = w.work()
    for _ in range(8):
        time.sleep(0.25)
        assert w.beat() == [work.lease]
    w.complete(work, work.input)
    assert outcomes(pair.task(task)) == ["OK"]


def process(p, *args, **kw):
    return subprocess.Popen([sys.executable, os.path.join(os.path.dirname(__file__), "rawworker.py"), p.socket, *args],
                            stdout=subprocess.PIPE, text=True, **kw)


def test_a_stopped_worker_is_fenced(pair, worker):
    with process(pair, "fenced", "1") as first:
        try:
            assert first.stdout.readline() == "ready\n"
            task = create(pair, "fenced")
            assert first.stdout.readline() == "work 1\n"
            first.send_signal(signal.SIGSTOP)
            second = worker(name="second", queues=["fenced"])
            work = second.work()
            assert work.attempt == 2
            first.send_signal(signal.SIGCONT)
            assert first.stdout.readline() == "refused 5\n"
            second.complete(work, b"")
            assert first.wait(10) == 0
        finally:
            first.kill()
    task = pair.task(task)
    assert (outcomes(task), task["result"]["text_value"]) == (["LEASE_LOST", "OK"], "")


def test_kill_9_of_a_worker_loses_its_work_at_once(pair, worker):
    with process(pair, "killed", "3600") as first:
        assert first.stdout.readline() == "ready\n"
        task = create(pair, "killed", retry={"base": "0.001s"})
        assert first.stdout.readline() == "work 1\n"
        first.kill()
    second = worker(name="second", queues=["killed"])
    work = second.work()
    second.complete(work, work.input)
    assert outcomes(pair.task(task)) == ["LEASE_LOST", "OK"]


def test_one_that_kills_its_workers_ends_in_quarantine(pair, worker):
    task = None
    while task is None or pair.task(task)["state"] not in TERMINAL:
        w = worker(queues=["poison"])
        task = task or create(pair, "poison")
        while pair.task(task)["state"] not in (*TERMINAL, "RUNNING"):
            time.sleep(0.02)
        w.close()
        wait_until(lambda: pair.task(task)["state"] != "RUNNING", what="the loss")
        pair.post(f"/v1/tasks/{task}:run")  # if it waits for its next attempt
    task = pair.task(task)
    assert (task["state"], task["reason"]) == ("FAILED", "quarantined")
    assert set(outcomes(task)) == {"LEASE_LOST"} and task["crash_count"] == 3


def test_who_does_not_read_is_given_no_more(make_pair):
    p = make_pair(modules=(TESTMOD,), service_args=["--max-output", "300000"])
    w = Worker(p.socket, queues=["heard"])
    frozen = Worker(p.socket, name="frozen", queues=["ice"], tasks=1000, connect=False)
    frozen.pause()
    frozen.connect()
    wait_until(lambda: p.get("/v1/server").json()["workers"] == 2, what="both connected")
    for _ in range(20):
        create(p, "ice", "x" * 100_000)
    shown = [x for x in workers(p) if x["name"] == "frozen"][0]
    assert 0 < shown["running_tasks"] < 15, shown
    assert shown["running_tasks"] + int(p.get("/v1/queues/ice").json()["stats"]["queued"]) == 20
    task = create(p, "heard")  # others are not held up
    work = w.work()
    w.complete(work, work.input)
    assert p.task(task)["state"] == "SUCCEEDED"
    frozen.reading = True  # and now it does
    for _ in range(20):
        work = frozen.work()
        frozen.complete(work, work.input)
    frozen.close()
    w.close()


# --- services of workers ---

def picture(name, width=0):
    return b"\x0a" + bytes([len(name)]) + name.encode() + (b"\x10" + bytes([width]) if width else b"")


def test_a_whole_service_is_a_workers(pair, worker, thumbs):
    w = worker(name="thumbs", services=["thumbs.v1.Thumbs"], descriptor_set=thumbs, calls=2)
    assert list(w.registered.queues) == ["thumbs.v1.Thumbs"]
    client = Client(pair.socket)
    got = client.start("thumbs.v1.Thumbs/Look", picture("a"), metadata=[("traceparent", "00-x")])
    work = w.work()
    assert (work.method, work.task, work.input) == ("thumbs.v1.Thumbs/Look", "", picture("a"))
    assert dict(work.metadata) == {"traceparent": "00-x"}
    w.complete(work, picture("a", 7))
    assert got.get() == picture("a", 7)
    got = client.start("thumbs.v1.Thumbs/Look", picture("b"))
    w.fail(w.work(), NOT_FOUND, "no picture b")
    assert "no picture b" in refused(NOT_FOUND, got.get)
    for name, metadata in (("Make", []), ("Look", [("prefer-async", "1")])):
        got = client.start(f"thumbs.v1.Thumbs/{name}", picture("c"), metadata=metadata)
        work = w.work()
        assert (work.queue, work.attempt, bool(work.task)) == ("thumbs.v1.Thumbs", 1, True)
        w.complete(work, picture("c", 1))
        assert got.get() == picture("c", 1)
    client.close()


def test_over_http_like_any_other(pair, worker, thumbs):
    w = worker(name="thumbs", services=["thumbs.v1.Thumbs"], descriptor_set=thumbs)
    wait_until(lambda: pair.get("/openapi.json").json()["paths"].get("/thumbs/{name}"), what="its path")
    with ThreadPoolExecutor(1) as pool:
        got = pool.submit(pair.get, "/thumbs/a")
        work = w.work()
        w.complete(work, picture("a", 9))
        assert got.result().json() == {"name": "a", "width": 9}
        task = pair.submit("/thumbs", {"name": "b"})
        work = w.work()
        assert (work.task, work.input) == (task, picture("b"))
        w.complete(work, picture("b", 1))
        assert pair.wait_task(task)["result"] == {"name": "b", "width": 1}
        got = pool.submit(pair.get, "/thumbs/c")
        w.work()
        w.close()
        lost = got.result()
    assert (lost.status, lost.json()["code"]) == (502, "UNAVAILABLE"), lost
    r = pair.get("/thumbs/d")
    assert (r.status, r.headers["Retry-After"]) == (503, "1"), r
    assert "no worker thumbs is connected" in r.json()["detail"]
    for name in ("RegisterWorker", "Lease", "Heartbeat", "Complete", "Fail", "Progress", "Log", "Drain"):
        assert pair.post(f"/errand.v1.Workers/{name}", {}).status == 404


def test_hello_names_the_schema_as_it_is(pair, worker, thumbs):
    def digests():
        c = Client(pair.socket)
        hello = dict(fields(c.call("errand.wire.v1.Connection/Hello", b"\x08\x01\x10\x80\x80\x04")))
        c.close()
        c = Client(pair.socket)
        schema = dict(fields(c.call("errand.v1.Schema/Get")))
        c.close()
        return hello[4], schema[1]
    before = digests()
    worker(name="thumbs", services=["thumbs.v1.Thumbs"], descriptor_set=thumbs)
    after = digests()
    assert before[0] == before[1] != after[0] == after[1]


def test_calls_wait_for_a_free_worker(pair, worker, thumbs):
    w = worker(name="thumbs", services=["thumbs.v1.Thumbs"], descriptor_set=thumbs, calls=1)
    client = Client(pair.socket)
    calls = [client.start("thumbs.v1.Thumbs/Look", picture(str(i))) for i in range(3)]
    for i, got in enumerate(calls):
        work = w.work()
        assert work.input == picture(str(i))
        w.nothing(0.1)
        w.complete(work, work.input)
        assert got.get() == picture(str(i))
    held = client.start("thumbs.v1.Thumbs/Look", picture("held"))
    work = w.work()
    late = client.start("thumbs.v1.Thumbs/Look", picture("late"), timeout_ns=100_000_000)
    refused(DEADLINE_EXCEEDED, late.get)
    w.complete(work, work.input)
    assert held.get() == picture("held")
    w.nothing()
    client.close()


def test_a_call_whose_worker_is_lost_or_absent_fails(pair, worker, thumbs):
    w = worker(name="thumbs", services=["thumbs.v1.Thumbs"], descriptor_set=thumbs)
    client = Client(pair.socket)
    got = client.start("thumbs.v1.Thumbs/Look", picture("a"))
    w.work()
    w.close()
    assert "gone" in refused(UNAVAILABLE, got.get)
    assert "no worker thumbs is connected" in refused(UNAVAILABLE, client.call, "thumbs.v1.Thumbs/Look", picture("a"))
    client.close()


def test_a_callers_end_stops_the_work(pair, worker, thumbs):
    w = worker(name="thumbs", services=["thumbs.v1.Thumbs"], descriptor_set=thumbs)
    client = Client(pair.socket)
    client.start("thumbs.v1.Thumbs/Look", picture("a"))
    work = w.work()
    client.close()
    stop = w.order().stop
    assert (stop.lease, stop.code) == (work.lease, CANCELLED)
    w.complete(work, picture("a"))
    assert w.beat() == []


# --- who may register what ---

def test_what_is_refused_at_registration(pair, worker, thumbs, compile_proto):
    c = Client(pair.socket)

    def register(**kw):
        return c.ask("RegisterWorker", **kw)
    duration = c.message("google.protobuf.Duration")
    for kw, words in (
            ({"name": "", "queues": ["q"]}, "name"),
            ({"name": "a b", "queues": ["q"]}, "name"),
            ({"name": "x" * 101, "queues": ["q"]}, "name"),
            ({"name": "w"}, "serves a service or takes from a queue"),
            ({"name": "w", "queues": ["default"]}, "default is the service's own"),
            ({"name": "w", "queues": ["a/b"]}, "a queue's name"),
            ({"name": "w", "queues": ["q"] * 101}, "100"),
            ({"name": "w", "queues": ["q"], "tasks": 1001}, "1000"),
            ({"name": "w", "queues": ["q"], "calls": 10001}, "10000"),
            ({"name": "w", "queues": ["q"], "lease_duration": duration(nanos=1)}, "1 s to 1 h"),
            ({"name": "w", "queues": ["q"], "lease_duration": duration(seconds=3601)}, "1 s to 1 h"),
            ({"name": "w", "services": ["thumbs.v1.Thumbs"]}, "described"),
            ({"name": "w", "services": ["thumbs.v1.Thumbs"], "descriptor_set": b"\xff\xff"}, ""),
            ({"name": "w", "services": ["thumbs.v1.Other"], "descriptor_set": thumbs}, "does not describe"),
            ({"name": "w", "services": ["errand.v1.Mine"], "descriptor_set": thumbs}, "errand's own")):
        assert words in refused(INVALID_ARGUMENT, register, **kw)
    assert "errandtest.v1.Test/" in refused(FAILED_PRECONDITION, register, name="w", queues=["test"])
    other = compile_proto(THUMBS.replace("MORE", "").replace("rpc Look(Picture) returns (Picture)",
                                                           "rpc Look(Picture) returns (stream Picture)"), "s.proto")
    assert "stream" in refused(INVALID_ARGUMENT, register, name="w", services=["thumbs.v1.Thumbs"], descriptor_set=other)
    for path, words in (("/items/{name}", "article.v1.Article/GetItem"), ("/v1/tasks/mine", "errand.v1.Tasks"),
                        ("/metrics", "the gateway's own"), ("/docs/x", "the gateway's own")):
        taken = compile_proto(THUMBS.replace("MORE", "").replace("/thumbs/{name}", path), "t.proto")
        assert words in refused(INVALID_ARGUMENT, register, name="w", services=["thumbs.v1.Thumbs"], descriptor_set=taken)
    worker(name="first", services=["thumbs.v1.Thumbs"], descriptor_set=thumbs)
    assert "worker first's" in refused(ALREADY_EXISTS, register, name="w", services=["thumbs.v1.Thumbs"],
                                       descriptor_set=thumbs)
    assert [x["name"] for x in workers(pair)] == ["first"]
    c.close()


def test_a_tasks_queue_must_be_one_that_its_workers_take(pair, worker, thumbs):
    worker(name="thumbs", services=["thumbs.v1.Thumbs"], descriptor_set=thumbs)
    r = pair.post("/v1/tasks", {"method": "thumbs.v1.Thumbs/Make", "queue": "default", "input": {}})
    assert r.status == 422, r
    assert r.json()["errors"][0]["pointer"] == "#/queue", r


# --- deploying ---

def test_the_newest_wins_and_older_ones_leave(pair, worker, thumbs, compile_proto):
    old = worker(name="thumbs", services=["thumbs.v1.Thumbs"], descriptor_set=thumbs, tasks=2)
    client = Client(pair.socket)
    call = client.start("thumbs.v1.Thumbs/Make", picture("old"))
    work = old.work()
    newer = compile_proto(THUMBS.replace("MORE", "int32 height = 3;"))
    new = worker(name="thumbs", services=["thumbs.v1.Thumbs"], descriptor_set=newer)
    assert "newer" in old.order().leave.reason
    call2 = client.start("thumbs.v1.Thumbs/Make", picture("new"))
    work2 = new.work()
    new.complete(work2, picture("new") + b"\x18\x05")
    assert call2.get() == picture("new") + b"\x18\x05"
    old.complete(work, picture("old", 3))
    assert call.get() == picture("old", 3)
    assert old.order() is None  # it has answered all
    refused(NOT_FOUND, old.beat)
    client.close()


def test_drain_lets_a_worker_finish(pair, worker):
    w = worker(queues=["drained"], tasks=2)
    task = create(pair, "drained")
    work = w.work()
    w.ask("Drain", worker=w.id)
    assert w.order().leave.reason
    other = create(pair, "drained")
    w.nothing()
    assert workers(pair)[0]["draining"] is True
    w.complete(work, work.input)
    assert w.order() is None
    assert pair.task(task)["state"] == "SUCCEEDED"
    assert pair.task(other)["state"] == "QUEUED"
    assert pair.post("/v1/queues/drained:purge").status == 200


def test_forgetting(pair, worker):
    w = worker(name="brief", queues=["brief"])
    assert pair.request("DELETE", "/v1/workers/brief").status == 409
    w.close()
    wait_until(lambda: not workers(pair)[0]["worker"], what="gone")
    task = create(pair, "brief")
    r = pair.request("DELETE", "/v1/workers/brief")
    assert (r.status, "tasks wait" in r.json()["detail"]) == (409, True), r
    assert pair.task(task)["state"] == "QUEUED"
    assert pair.post("/v1/queues/brief:purge").status == 200
    assert pair.request("DELETE", "/v1/workers/brief").status == 204
    assert pair.wait_task(create(pair, "brief"))["state"] == "SUCCEEDED"  # run here, in a queue of ours
    assert pair.request("DELETE", "/v1/workers/brief").status == 404
