"""`errand worker`: any program for the tasks of a queue, and `errand workers`."""
import json
import os
import signal
import stat
import subprocess

import pytest

from conftest import BUILD, pid_gone, wait_until

ERRAND = os.path.join(BUILD, "errand")
ECHO = "errandtest.v1.Test/TaskEcho"


def script(pair, name, text):
    path = pair.path(name)
    with open(path, "w", encoding="utf-8") as f:
        f.write("#!/bin/sh\n" + text)
    os.chmod(path, stat.S_IRWXU)
    return path


def errand(pair, *args, **kw):
    return subprocess.run([ERRAND, *args], env={**os.environ, "ERRAND_SOCKET": pair.socket}, capture_output=True,
                          text=True, timeout=60, check=False, **kw)


class Worker:
    def __init__(self, pair, *args, ready=True):
        self.pair = pair
        self.p = subprocess.Popen([ERRAND, "worker", *args], env={**os.environ, "ERRAND_SOCKET": pair.socket},
                                  stderr=subprocess.PIPE, text=True)
        self.said = []
        while ready:
            self.said.append(self.p.stderr.readline())
            assert self.said[-1], self.said
            ready = "is ready" not in self.said[-1]

    def stop(self, how=signal.SIGTERM):
        if self.p.poll() is None:
            self.p.send_signal(how)
        code = self.p.wait(30)
        self.said.append(self.p.stderr.read())
        self.p.stderr.close()
        return code


@pytest.fixture
def worker(pair):
    made = []

    def make(*args):
        made.append(Worker(pair, *args))
        return made[-1]
    yield make
    for w in made:
        if not w.p.stderr.closed:
            w.stop(signal.SIGKILL)


def task(pair, queue, **kw):
    r = pair.post("/v1/tasks", {"method": ECHO, "input": {"text_value": "hi"}, "queue": queue, **kw})
    assert r.status == 201, r
    return r.json()["id"]


def attempt(pair, task_id):
    done = pair.wait_task(task_id)
    return done, done["attempts"][-1]["outcome"]


def test_a_task_of_another_method(pair, worker):
    """Input on stdin, progress on 3, log from stderr, answer from stdout, the task in the environment."""
    w = worker("--queue", "cw-echo", "--", script(pair, "echo.sh", """
in=$(cat)
echo '{"fraction":0.5,"message":"half","more":1}' >&3
echo 'not json' >&3
echo "task $ERRAND_TASK $ERRAND_METHOD $ERRAND_ATTEMPT $ERRAND_QUEUE" >&2
echo "$in"
"""))
    task_id = task(pair, "cw-echo")
    done, outcome = attempt(pair, task_id)
    assert (done["state"], outcome, done["result"]["text_value"]) == ("SUCCEEDED", "OK", "hi"), done
    assert done["progress"] == {"fraction": 0.5, "message": "half", "detail": None} or \
        (done["progress"]["fraction"], done["progress"]["message"]) == (0.5, "half")
    lines = [(l["stream"], l["text"]) for l in pair.logs(task_id)]
    assert ("stderr", f"task {task_id} {ECHO} 1 cw-echo") in lines and ("handler", "not json") in lines
    assert w.stop() == 0


@pytest.mark.parametrize("status,state,outcome,attempts", [
    (0, "SUCCEEDED", "OK", 1), (64, "FAILED", "EXIT", 1), (65, "FAILED", "EXIT", 1), (3, "FAILED", "EXIT", 2)])
def test_exit_statuses(pair, worker, status, state, outcome, attempts):
    queue = f"cw-exit{status}"
    worker("--queue", queue, "--", script(pair, f"exit{status}.sh", f"exit {status}\n"))
    done, last = attempt(pair, task(pair, queue, retry={"max_attempts": 2, "base": "0.001s"}))
    assert (done["state"], last, done["attempt"]) == (state, outcome, attempts), done
    if status:
        assert f"ended with exit status {status}" in done["error"]["detail"]
        assert done["attempts"][-1]["exit_status"] == status


def test_a_signal_and_a_wrong_answer(pair, worker):
    worker("--queue", "cw-kill", "--", script(pair, "kill.sh", "kill -SEGV $$\n"))
    done, last = attempt(pair, task(pair, "cw-kill", retry={"max_attempts": 1}))
    assert (done["state"], last) == ("FAILED", "SIGNAL") and "signal 11" in done["error"]["detail"], done
    worker("--queue", "cw-wrong", "--", script(pair, "wrong.sh", "echo '{\"nope\":1}'\n"))
    done, _ = attempt(pair, task(pair, "cw-wrong"))
    assert done["state"] == "FAILED" and done["attempt"] == 1 and "#/nope" in done["error"]["detail"], done
    worker("--queue", "cw-none", "--", "/no/such/program")
    done, _ = attempt(pair, task(pair, "cw-none", retry={"max_attempts": 1}))
    assert done["state"] == "FAILED" and "No such file" in done["error"]["detail"], done


def test_a_cancel_ends_the_whole_group(pair, worker):
    worker("--queue", "cw-cancel", "--", script(pair, "cancel.sh",
                                               f"sleep 1000 & echo $! > {pair.path('sleep.pid')}.new\n"
                                               f"mv {pair.path('sleep.pid')}.new {pair.path('sleep.pid')}; wait\n"))
    task_id = task(pair, "cw-cancel")
    pid = int(wait_until(lambda: os.path.exists(pair.path("sleep.pid")) and open(pair.path("sleep.pid")).read()))
    assert pair.post(f"/v1/tasks/{task_id}:cancel").status in (200, 202)
    assert pair.wait_task(task_id)["state"] == "CANCELLED"
    wait_until(lambda: pid_gone(pid), what="the end of the sleep")


def test_kill_9_of_the_worker(pair, worker):
    """Its program goes with it; the task is done by the next one."""
    path = script(pair, "slow.sh", f"echo $$ > {pair.path('slow.pid')}\nif [ $ERRAND_ATTEMPT = 1 ]; then exec sleep 1000; fi\n")
    w = worker("--queue", "cw-slow", "--", path)
    task_id = task(pair, "cw-slow")
    pid = int(wait_until(lambda: os.path.exists(pair.path("slow.pid")) and open(pair.path("slow.pid")).read().strip()))
    w.stop(signal.SIGKILL)
    wait_until(lambda: pid_gone(pid), what="the end of its program")
    worker("--queue", "cw-slow", "--", path)
    done = pair.wait_task(task_id)
    assert (done["state"], [a["outcome"] for a in done["attempts"]]) == ("SUCCEEDED", ["LEASE_LOST", "OK"]), done


def test_kill_9_leaves_no_orphans(pair, worker):
    """What the program has started goes as well, also when it would not."""
    pid = pair.path("orphan.pid")
    w = worker("--queue", "cw-orphan", "--", script(
        pair, "orphan.sh", f"if [ $ERRAND_ATTEMPT = 1 ]; then (trap '' TERM HUP; sleep 1000) & echo $! > {pid}; wait; fi\n"))
    task_id = task(pair, "cw-orphan")
    child = int(wait_until(lambda: os.path.exists(pid) and open(pid).read().strip()))
    w.stop(signal.SIGKILL)
    wait_until(lambda: pid_gone(child), what="the end of what it started")
    worker("--queue", "cw-orphan", "--", pair.path("orphan.sh"))
    assert pair.wait_task(task_id)["state"] == "SUCCEEDED"


@pytest.mark.parametrize("end", ["exit 0", "exit 3", "kill -KILL $$", "cancel", "worker"])
def test_daemons_end_with_their_program(pair, worker, end):
    """One in a session of its own, whose parent has ended, and which hears no SIGTERM."""
    queue, pid = f"cw-daemon-{end.split()[0]}-{len(end)}", pair.path(f"daemon{len(end)}.pid")
    tail = end if end.startswith(("exit", "kill")) else "sleep 1000"
    w = worker("--queue", queue, "--", script(
        pair, f"{queue}.sh", f"(trap '' TERM HUP; setsid sleep 1000 </dev/null >/dev/null 2>&1 & echo $! >{pid})\n{tail}\n"))
    task_id = task(pair, queue, retry={"max_attempts": 1})
    daemon = int(wait_until(lambda: os.path.exists(pid) and open(pid, encoding="utf-8").read().strip()))
    if end == "cancel":
        pair.post(f"/v1/tasks/{task_id}:cancel")
    if end == "worker":
        w.stop(signal.SIGKILL)
    else:
        done, outcome = attempt(pair, task_id)
        expected = {"exit 0": "OK", "exit 3": "EXIT", "kill -KILL $$": "SIGNAL"}
        assert outcome == expected.get(end, outcome) and (end != "cancel" or done["state"] == "CANCELLED"), done
    wait_until(lambda: pid_gone(daemon), what="the end of the daemon")


def test_the_grace_is_the_task_s(pair, worker):
    began = pair.path("grace.began")
    worker("--queue", "cw-grace", "--", script(pair, "grace.sh", f"trap '' TERM; echo $$ > {began}; sleep 1000\n"))
    task_id = task(pair, "cw-grace", cancel_grace="0.2s")
    pid = int(wait_until(lambda: os.path.exists(began) and open(began).read().strip()))
    pair.post(f"/v1/tasks/{task_id}:cancel")
    assert pair.wait_task(task_id)["state"] == "CANCELLED"
    wait_until(lambda: pid_gone(pid), timeout=6, what="its end, before the ten seconds of others")


def test_an_answer_over_a_frame(pair, worker):
    worker("--queue", "cw-large", "--", script(
        pair, "large.sh", "printf '{\"text_value\":\"'; head -c 4194200 /dev/zero | tr '\\0' x; printf '\"}'\n"))
    done = pair.wait_task(task(pair, "cw-large"))
    assert done["state"] == "FAILED" and done["attempt"] == 1 and "more than" in done["error"]["detail"], done["state"]


def test_a_stop_waits_for_what_runs(pair, worker):
    w = worker("--queue", "cw-stop", "--", script(pair, "stop.sh", f"touch {pair.path('stop.began')}\nsleep 0.5\n"))
    task_id = task(pair, "cw-stop")
    wait_until(lambda: os.path.exists(pair.path("stop.began")))
    assert w.stop() == 0
    assert attempt(pair, task_id)[1] == "OK"


def test_a_method_of_its_own(pair, worker):
    """No .proto: any JSON in, any JSON out; the route and the documentation are there at once."""
    w = worker("--method", "cw.jobs.Thumbs/Make", "--route", "POST /cw/thumbs", "--", script(
        pair, "thumbs.sh", "printf '{\"made\":%s}' \"$(cat)\"\n"))
    wait_until(lambda: "/cw/thumbs" in pair.get("/openapi.json").json()["paths"], what="the route")
    r = pair.post("/cw/thumbs", {"n": [1, "x"]}, headers={"Prefer": "wait=20"})
    assert (r.status, r.json()) == (200, {"made": {"n": [1, "x"]}}), r
    listed = errand(pair, "workers")
    assert "thumbs.sh" in listed.stdout and "cw.jobs.Thumbs" in listed.stdout
    rows = [json.loads(line) for line in errand(pair, "workers", "--json").stdout.splitlines()]
    assert [r["pid"] for r in rows if r["name"] == "thumbs.sh"] == [w.p.pid]
    assert errand(pair, "workers", "forget", "thumbs.sh").returncode == 1
    assert w.stop() == 0
    r = pair.post("/cw/thumbs", {"n": 2})
    assert r.status == 202 and pair.task(r.json()["id"])["state"] == "QUEUED"
    w = worker("--method", "cw.jobs.Thumbs/Make", "--route", "POST /cw/thumbs", "--", pair.path("thumbs.sh"))
    assert pair.wait_task(r.json()["id"])["state"] == "SUCCEEDED"
    assert w.stop() == 0
    assert errand(pair, "workers", "forget", "thumbs.sh").returncode == 0
    wait_until(lambda: pair.post("/cw/thumbs", {}).status == 404, what="the route's end")


@pytest.mark.parametrize("args,says", [
    (["--queue", "x"], "no program"), (["--", "true"], "--queue QUEUE, or --method"),
    (["--queue", "x", "--input", "xml", "--", "true"], "--input xml"),
    (["--queue", "x", "--output", "xml", "--", "true"], "--output xml"),
    (["--method", "x", "--", "true"], "pkg.Service/Method"),
    (["--queue", "x", "--route", "POST /x", "--", "true"], "--route is of --method"),
    (["--method", "a.B/C", "--route", "BREW /x", "--", "true"], "POST /path"),
    (["--queue", "x", "--tasks", "0", "--", "true"], "--tasks"),
    (["--queue", "x", "--lease", "1ms", "--", "true"], "--lease")])
def test_the_command_line(pair, args, says):
    out = errand(pair, "worker", *args)
    assert out.returncode == 64 and says in out.stderr, out


def test_refused_queues_and_no_service(pair):
    out = errand(pair, "worker", "--queue", "default", "--", "true")
    assert out.returncode not in (0, 64) and "default" in out.stderr, out
    out = errand(pair, "worker", "--socket", pair.path("none.sock"), "--queue", "x", "--", "true")
    assert out.returncode == 69, out
    assert errand(pair, "workers", "forget").returncode == 64
    assert errand(pair, "workers", "forget", "nobody").returncode == 4
