"""clients/python: workers, against the real daemons: what handlers may do, and what becomes of their
work when they, or the service, do not live on."""

import os
import re
import signal
import subprocess
import sys
import threading
import time

import pytest
from conftest import TOP, fd_count, need, wait_until

PACKAGE = f"{TOP}/clients/python"
sys.path.insert(0, PACKAGE)
import errand  # pylint: disable=wrong-import-position

PROTO = """
syntax = "proto3";
package pyworker.v1;
import "errand/v1/options.proto";
import "google/api/annotations.proto";
service Jobs {
  rpc Run(Job) returns (Done) {
    option (google.api.http) = {post: "/py/run" body: "*"};
    option (errand.v1.method) = {
      run: TASK cancel_grace {seconds: 5} retry {max_attempts: 3 base {nanos: 1000000} cap {nanos: 1000000}}};
  }
  rpc Look(Job) returns (Done) {
    option (google.api.http) = {get: "/py/look/{what}"};
    option (errand.v1.method) = {run: SYNC};
  }
  rpc Nap(Job) returns (Done) {
    option (google.api.http) = {post: "/py/nap" body: "*"};
    option (errand.v1.method) = {run: ASYNC};
  }
}
message Job {
  string what = 1;
  int32 n = 2;
}
message Done {
  string what = 1;
  int32 n = 2;
}
"""

SCRIPT = '''
import asyncio, logging, os, sys, time
import errand
logging.basicConfig(level=logging.INFO)
worker = errand.Worker("jobs", service=sys.argv[1], tasks=int(sys.argv[2]), lease=float(sys.argv[3]))

@worker.task("pyworker.v1.Jobs/Run")
def run(job, call):
    if job.what == "final":
        raise errand.Final("never again")
    if job.what == "retry":
        raise errand.Retry("not yet", after=0.01 if call.attempt < 3 else None)
    if job.what == "error":
        raise errand.Error(5, "no such job")
    if job.what == "bug":
        return 1 / 0
    if job.what == "wrong":
        return {"who": 1}
    if job.what == "code":
        raise errand.Final("odd", code=99)
    if job.what == "huge":
        return {"what": "x" * (4 << 20)}
    if job.what == "detail":
        call.progress(0.1)
        call.progress(0.2, "large", type(job)(what="x" * 100000))
        return {}
    if job.what == "name":
        raise FileNotFoundError("no " + os.fsdecode(b"\\xff"))
    if job.what == "none":
        return None
    if job.what == "parents":
        return {"what": call.parent_result().what, "n": len(call.parents)}
    if job.what == "checkpoint":
        before = call.checkpoint()
        if before is not None:
            return before
        call.save(job)
        raise errand.Retry("saved")
    if job.what == "progress":
        for i in range(1000):
            call.progress(i / 1000, f"step {i}", job)
        call.log("one\\ntwo")
        call.log("loud", "stderr")
        call.progress(0.999, "last")
    if job.what == "steps":
        call.progress(0.1, "first")
        call.progress(0.2, "long step")
        call.cancelled.wait(30)
    if job.what == "wait":
        call.log("waiting")
        while True:
            time.sleep(0.01)
            call.check()
    if job.what == "time":
        return {"n": int(call.time_left)}
    if job.what == "stubborn":
        call.log("deaf")
        end = time.monotonic() + 1
        while time.monotonic() < end:
            time.sleep(0.01)
    if job.what == "client":
        echo = call.client.call("errandtest.v1.Test/Echo", text_value=call.task)
        return {"what": echo.text_value}
    if job.what == "die":
        os._exit(9)
    return {"what": job.what, "n": os.getpid()}

@worker.method("pyworker.v1.Jobs/Look")
def look(job, call):
    call.progress(0.5)
    if job.what == "error":
        raise errand.Error(5, "not here")
    return type(job)(what="seen " + job.what)  # a Job, not a Done

@worker.method("pyworker.v1.Jobs/Nap")
async def nap(job, call):
    await asyncio.sleep(job.n)
    return {"what": job.what}

worker.run()
print("done", flush=True)
'''


@pytest.fixture(scope="module")
def proto(tmp_path_factory):
    d = tmp_path_factory.mktemp("pyworker")
    (d / "jobs.proto").write_text(PROTO)
    (d / "worker.py").write_text(SCRIPT.replace(
        'return type(job)(what="seen " + job.what)  # a Job, not a Done',
        'return type(job)(what="x") if job.what == "type" else {"what": "seen " + job.what}'))
    return d


class Process:
    """A worker as a process of its own."""

    def __init__(self, pair, proto, tasks=2, lease=30):
        self.log = str(proto / f"log{time.monotonic_ns()}")
        self.pair = pair
        with open(self.log, "wb") as log:
            self.popen = subprocess.Popen(
                [sys.executable, "-X", "dev", str(proto / "worker.py"), str(proto / "jobs.proto"), str(tasks),
                 str(lease)],
                stdout=log, stderr=log, env=dict(os.environ, PYTHONPATH=PACKAGE, ERRAND_SOCKET=pair.socket))
        self.connected(1)

    def text(self):
        with open(self.log, encoding="utf-8") as f:
            return f.read()

    def connected(self, times):
        """It has said so for the n-th time, and the service has its stream."""
        def there():
            assert self.popen.poll() is None, self.text()
            return self.text().count("serving") >= times and self.beats()
        wait_until(there, 30, "the worker")

    def beats(self):
        r = self.pair.get("/v1/workers")
        return r.status == 200 and any(w.get("worker") and w.get("pid") == self.popen.pid and w.get("heartbeatTime",
                                       w.get("heartbeat_time")) for w in r.json()["workers"])

    def stop(self):
        if self.popen.poll() is None:
            self.popen.terminate()
        code = self.popen.wait(30)
        text = self.text()
        assert code == 0 and text.endswith("done\n"), (code, text)
        assert "Warning" not in text, text

    def kill(self):
        self.popen.kill()
        self.popen.wait(30)


@pytest.fixture
def start(proto):
    made = []

    def begin(pair, **kw):
        made.append(Process(pair, proto, **kw))
        return made[-1]
    yield begin
    for p in made:
        if p.popen.poll() is None:
            p.kill()


@pytest.fixture(scope="module")
def served(pair, proto):
    """The shared pair, with a worker that lives as long."""
    p = Process(pair, proto, tasks=4)
    try:
        with errand.Client(pair.socket) as client:
            yield client
    finally:
        p.stop()


def run(client, what, n=0, **options):
    return client.submit("pyworker.v1.Jobs/Run", what=what, n=n, options=options)


def outcomes(task):
    return [a.Outcome.Name(a.outcome) for a in task.attempts()]


def failed(task, name):
    with pytest.raises(errand.Error) as e:
        task.result(30)
    assert e.value.name == name, e.value
    return str(e.value)


# --- handlers ---

def test_a_service_is_there_like_any_other(pair, served):
    assert served.service("pyworker.v1.Jobs").Run(what="hello").what == "hello"
    wait_until(lambda: pair.get("/py/look/around").status == 200, what="the gateway knows it")
    assert pair.get("/py/look/around").json()["what"] == "seen around"
    assert pair.post("/py/nap", {"what": "z"}).json()["what"] == "z"
    assert pair.post("/py/run", {"wat": "x"}).status == 422
    task = pair.wait_task(pair.submit("/py/run", {"what": "http"}))
    assert task["result"]["what"] == "http"
    assert "/py/run" in pair.get("/openapi.json").json()["paths"]


def test_answers(served):
    assert run(served, "none").result(30).what == ""
    assert "has no field 'who'" in failed(run(served, "wrong", retry={"max_attempts": 1}), "INTERNAL")
    assert run(served, "time", timeout=100).result(30).n in range(80, 101)
    task = run(served, "client")
    assert task.result(30).what == task.id


def test_an_answer_that_is_refused_is_a_failure(served):
    """A lease is never left without one."""
    for what, why in ("code", "answer was refused"), ("huge", "answer was refused"), ("name", "no ?"):
        task = run(served, what, retry={"max_attempts": 1})
        assert why in failed(task, "INTERNAL")
    assert run(served, "detail").result(30) is not None
    assert all(w.running_tasks == 0 for w in served.call("errand.v1.Workers/ListWorkers").workers)


def test_an_answer_of_another_type(pair, served):
    r = pair.get("/py/look/type")
    assert r.status == 500 and "pyworker.v1.Done" in r.json()["detail"]


def test_failures(pair, served):
    task = run(served, "final")
    assert "never again" in failed(task, "FAILED_PRECONDITION") and len(task.attempts()) == 1
    task = run(served, "retry")
    assert "not yet" in failed(task, "UNAVAILABLE") and len(task.attempts()) == 3
    assert "no such job" in failed(run(served, "error"), "NOT_FOUND")
    assert pair.get("/py/look/error").status == 404


def test_a_bug_is_in_the_log(served):
    task = run(served, "bug", retry={"max_attempts": 1})
    assert "ZeroDivisionError" in failed(task, "INTERNAL")
    text = [line.text for line in task.logs() if line.stream == "stderr"]
    assert text[0].startswith("Traceback") and text[-1] == "ZeroDivisionError: division by zero"
    assert any("return 1 / 0" in t for t in text) and not any("errand/worker.py" in t for t in text)


def test_progress_logs_and_checkpoint(served):
    task = run(served, "progress", n=5)
    task.result(30)
    p = task.get().progress
    assert (p.fraction, p.message) == (0.999, "last")
    assert [(line.stream, line.text) for line in task.logs()] == [
        ("handler", "one"), ("handler", "two"), ("stderr", "loud")]
    task = run(served, "checkpoint", n=7)
    with pytest.raises(errand.Error):  # a Job is no Done: the second attempt had it
        task.result(30)
    assert "pyworker.v1.Job" in str(task.latest.error.detail)


def test_progress_is_shown_while_a_step_takes_long(served):
    task = run(served, "steps")
    wait_until(lambda: task.get().progress.message == "long step", 20, "progress")
    task.cancel()
    task.wait(30)


def test_parents(served):
    first = run(served, "one")
    second = run(served, "two")
    third = run(served, "parents", after=[first, second])
    assert (third.result(30).what, third.result().n) == ("one", 2)


def test_cancel_and_timeout_are_told(served):
    task = run(served, "wait")
    wait_until(lambda: [line.text for line in task.logs()], what="its line")
    task.cancel()
    failed(task, "CANCELLED")
    task = run(served, "wait", timeout=0.3, retry={"max_attempts": 1})
    failed(task, "DEADLINE_EXCEEDED")
    assert outcomes(task)[0] == "TIMEOUT"


def test_a_coroutine_is_cancelled_with_its_call(served):
    call = served.begin("pyworker.v1.Jobs/Nap", n=3600)
    with pytest.raises(TimeoutError):
        call.result(0.2)
    call.cancel()
    wait_until(lambda: all(w.running_calls == 0 for w in served.call("errand.v1.Workers/ListWorkers").workers), 20,
               "no call is left")


def test_many_at_once(served):
    tasks = [run(served, str(i)) for i in range(100)]
    calls = [served.begin("pyworker.v1.Jobs/Nap", what=str(i)) for i in range(100)]
    assert [c.result(60).what for c in calls] == [str(i) for i in range(100)]
    assert [t.result(60).what for t in tasks] == [str(i) for i in range(100)]


# --- in this process ---

def quick(path, name="inline", **kw):
    """A worker in a thread; serves tasks of the queue "inline"."""
    worker = errand.Worker(name, queues=["inline"], path=path, **kw)

    @worker.task("errandtest.v1.Test/TaskEcho")
    def echo(request, call):
        call.cancelled.wait(request.int32_value)
        return request
    thread = threading.Thread(target=worker.run)
    thread.start()
    assert worker.serving.wait(20)
    return worker, thread


def test_a_queue_of_somebody_elses_method(pair):
    worker, thread = quick(pair.socket)
    try:
        with errand.Client(pair.socket) as client:
            task = client.submit("errandtest.v1.Test/TaskEcho", text_value="q", options={"queue": "inline"})
            assert task.result(30).text_value == "q"
            other = client.submit("errandtest.v1.Test/TaskSleep", options={"queue": "inline"})
            assert "no handler" in failed(other, "UNIMPLEMENTED")
            descriptors = fd_count(os.getpid())
            for i in range(50):
                client.submit("errandtest.v1.Test/TaskEcho", options={"queue": "inline"}).result(30)
            assert fd_count(os.getpid()) <= descriptors
    finally:
        worker.stop()
        thread.join(30)
        assert not thread.is_alive() and not worker.serving.is_set()


def test_drain_finishes_what_there_is(pair):
    worker, thread = quick(pair.socket)
    with errand.Client(pair.socket) as client:
        task = client.submit("errandtest.v1.Test/TaskEcho", int32_value=1, options={"queue": "inline"})
        wait_until(lambda: task.get() and task.state == "RUNNING", what="running")
        worker.stop()
        thread.join(30)
        assert not thread.is_alive() and task.result(0.5) is not None


def test_what_is_wrong_is_said_at_once(pair, proto):
    with pytest.raises(LookupError, match="no handler for pyworker.v1.Jobs/Look, pyworker.v1.Jobs/Nap"):
        worker = errand.Worker("jobs", service=str(proto / "jobs.proto"), path=pair.socket)
        worker.task("pyworker.v1.Jobs/Run")(print)
        worker.run()
    with pytest.raises(LookupError, match="no method 'Rum': did you mean 'Run'"):
        worker.task("pyworker.v1.Jobs/Rum")(print)
        worker.method("pyworker.v1.Jobs/Look")(print)
        worker.method("pyworker.v1.Jobs/Nap")(print)
        worker.run()
    with pytest.raises(ValueError, match="has a handler already"):
        worker.task("pyworker.v1.Jobs/Run")(print)
    with pytest.raises(ValueError, match="nothing.proto"):
        errand.Worker("jobs", service=str(proto / "nothing.proto"))
    with pytest.raises(errand.Error, match="INVALID_ARGUMENT"):
        errand.Worker("not a name", queues=["inline"], path=pair.socket).run()


def test_a_generated_module_is_a_set(proto, tmp_path, monkeypatch):
    need(os.path.exists("/usr/bin/protoc"), "protoc")
    subprocess.run(["protoc", f"-I{proto}", f"-I{TOP}/proto", f"--python_out={tmp_path}", "jobs.proto",
                    "errand/v1/options.proto", "google/api/annotations.proto", "google/api/http.proto"], check=True)
    script = "import errand, jobs_pb2; s = errand.descriptor_set(jobs_pb2); w = errand.Worker('x', service=jobs_pb2); " \
             "print(w.services, w.set == s, sorted(f.name for f in __import__('google.protobuf.descriptor_pb2').protobuf" \
             ".descriptor_pb2.FileDescriptorSet.FromString(s).file))"
    # google.api beside the real google package: a path of both
    fix = f"import google; google.__path__.append('{tmp_path}/google'); "
    out = subprocess.run([sys.executable, "-c", fix + script], capture_output=True, text=True, check=True,
                         env=dict(os.environ, PYTHONPATH=f"{PACKAGE}:{tmp_path}")).stdout
    assert out.startswith("['pyworker.v1.Jobs'] True") and "google/protobuf/descriptor.proto" in out


# --- ends ---

def test_sigterm_drains_and_a_second_one_does_not_wait(make_pair, start):
    p = make_pair()
    w = start(p, tasks=2)
    with errand.Client(p.socket) as client:
        task = run(client, "stubborn")
        wait_until(lambda: [line.text for line in task.logs()], what="its line")
        w.stop()
        assert task.wait(0.5) and task.state == "SUCCEEDED" and len(task.attempts()) == 1
        w = start(p, tasks=2)
        task = run(client, "wait")
        wait_until(lambda: [line.text for line in task.logs()], what="its line")
        w.popen.terminate()
        wait_until(lambda: "leaving" in w.text(), what="drain")
        assert w.popen.poll() is None
        w.popen.terminate()
        w.popen.wait(20)
        wait_until(lambda: outcomes(task)[:1] == ["LEASE_LOST"], 20, "LEASE_LOST")
        task.cancel()


def test_the_services_restart_is_outlived(make_pair, start):
    p = make_pair()
    w = start(p, tasks=2)
    with errand.Client(p.socket, patience=20) as client:
        task = run(client, "steps")
        wait_until(lambda: task.get() and task.state == "RUNNING", what="running")
        p.service.kill()
        p.start_service()
        w.connected(2)
        assert run(client, "after").result(30).what == "after"
        wait_until(lambda: outcomes(task)[0] in ("INTERRUPTED", "LEASE_LOST"),
                   20, "the end of the attempt")
        task.cancel()
        p.service.stop()
        p.start_service()
        w.connected(3)
        assert run(client, "again").result(30).what == "again"
    w.stop()


def test_a_worker_that_was_away_has_lost_its_lease(make_pair, start):
    p = make_pair()
    w = start(p, tasks=1, lease=1)
    with errand.Client(p.socket) as client:
        task = run(client, "wait", retry={"max_attempts": 1})
        wait_until(lambda: [line.text for line in task.logs()], what="its line")
        w.popen.send_signal(signal.SIGSTOP)
        wait_until(lambda: outcomes(task)[0] == "LEASE_LOST", 20, "LEASE_LOST")
        task.cancel()  # not to be run again
        w.popen.send_signal(signal.SIGCONT)
        w.connected(2)
        assert run(client, "back").result(30).what == "back"
    w.stop()


def test_kill_9_of_a_worker(make_pair, start):
    p = make_pair()
    w = start(p, tasks=2)
    with errand.Client(p.socket) as client:
        task = run(client, "wait")
        wait_until(lambda: [line.text for line in task.logs()], what="its line")
        w.kill()
        wait_until(lambda: outcomes(task)[0] == "LEASE_LOST", 20, "LEASE_LOST")
        start(p, tasks=2)
        wait_until(lambda: len([line.text for line in task.logs()]) > 1, what="the next attempt")
        task.cancel()
        failed(task, "CANCELLED")


# --- README.md ---

def readme_blocks():
    with open(f"{PACKAGE}/README.md", encoding="utf-8") as f:
        found = re.findall(r"^```(?:python|proto)\n(?:#|//) (\S+)\n(.*?)^```", f.read(), re.M | re.S)
    return dict(found)


def test_every_block_of_the_readme_runs(pair, tmp_path):
    blocks = readme_blocks()
    with open(f"{PACKAGE}/README.md", encoding="utf-8") as f:
        assert len(re.findall("^```.", f.read(), re.M)) == len(blocks) == 4
    for name, text in blocks.items():
        (tmp_path / name).write_text(text)
    assert len([t for t in blocks["worker.py"].splitlines() if t.strip()]) <= 20
    env = dict(os.environ, PYTHONPATH=PACKAGE, ERRAND_SOCKET=pair.socket, PYTHONUNBUFFERED="1")
    worker = subprocess.Popen([sys.executable, "-X", "dev", "worker.py"], cwd=tmp_path, env=env,
                              stderr=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: any(w["name"] == "words" and w["heartbeat_time" if "heartbeat_time" in w else "worker"]
                               for w in pair.get("/v1/workers").json()["workers"]), 30, "the worker")

        def script(name):
            done = subprocess.run([sys.executable, "-X", "dev", name], cwd=tmp_path, env=env, capture_output=True,
                                  text=True, timeout=60, check=False)
            assert done.returncode == 0 and done.stderr == "", done
            return done.stdout.splitlines()
        out = script("client.py")
        assert out[0] == "9" and "6 SUCCEEDED" in out
        assert out[-1].startswith("FAILED_PRECONDITION ") and "nothing to count" in out[-1]
        assert any(re.search(r"SUCCEEDED \['6 words'\]$", line) for line in out)
        out = script("async_client.py")
        assert out[0] == "[2, 4, 6]" and out[-1] == "1" and "result" in out
    finally:
        worker.terminate()
        err = worker.communicate(timeout=30)[1]
    assert (worker.returncode, err) == (0, "")
