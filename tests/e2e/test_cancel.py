"""Cancel: of a task, of its program and everything below it, of a call."""

import time

from conftest import pid_gone, processes, wait_until


def test_cancel_of_a_running_encode(pair, clips):
    out = pair.path("cancelled.mp4")
    task_id = pair.submit("/encode", {"input_path": f"{clips}/long.mp4", "output_path": out,
                                      "preset": "veryslow"})
    pids = wait_until(lambda: processes("ffmpeg", task_id))
    r = pair.post(f"/v1/tasks/{task_id}:cancel")
    assert (r.status, r.json()["state"]) == (202, "CANCELLING"), r
    begin = time.monotonic()
    wait_until(lambda: all(map(pid_gone, pids)), 8, "ffmpeg gone")
    assert time.monotonic() - begin < 6  # the method's grace is 5 s
    task = pair.wait_task(task_id, ("CANCELLED",))
    assert task["attempts"][-1]["outcome"] == "CANCELLED"
    states = [e.json()["state"] for e in pair.events(task_id) if e.event == "state"]
    assert states[-2:] == ["CANCELLING", "CANCELLED"], states
    assert not processes("ffmpeg", task_id)
    with open(pair.service.log, encoding="utf-8") as f:
        assert "runtime error" not in f.read()
    r = pair.post(f"/v1/tasks/{task_id}:cancel")
    assert (r.status, r.json()["state"]) == (200, "CANCELLED")


def tree(pair, script):
    """A task that runs a script which prints the pids of its tree; (task id, pids)."""
    task_id = pair.submit("/test/task-run", {"argv": ["sh", "-c", script]})
    def printed():
        for line in pair.logs(task_id):
            if line["stream"] == "stdout":
                return [int(w) for w in line["text"].split()]
        return None
    return task_id, wait_until(printed, what="pids")


def test_the_whole_tree_is_killed(pair):
    """FAULTS 24: one that ignores SIGTERM, one with a session of its own."""
    task_id, pids = tree(pair, "trap '' TERM; sleep 1000 & a=$!;"
                               "setsid sleep 1000 >/dev/null 2>&1 & echo $$ $a $!; wait; sleep 1000")
    assert len(pids) == 3 and not any(map(pid_gone, pids))
    pair.post(f"/v1/tasks/{task_id}:cancel")
    pair.wait_task(task_id, ("CANCELLED",))
    wait_until(lambda: all(map(pid_gone, pids)), 10, "tree gone")


def test_a_program_that_leaves_somebody_behind(pair):
    task_id, pids = tree(pair, "setsid sleep 1000 & echo $!; exit 0")
    assert pair.wait_task(task_id)["state"] == "SUCCEEDED"
    wait_until(lambda: all(map(pid_gone, pids)), 10, "left-over gone")


def test_cancel_before_it_runs(make_pair):
    pair = make_pair(service_args=["--slots", "1"])
    first = pair.submit("/test/task-sleep", {"ms": 60000})
    pair.wait_task(first, ("RUNNING",))
    second = pair.submit("/test/task-sleep", {"ms": 60000})
    r = pair.post(f"/v1/tasks/{second}:cancel")
    assert r.json()["state"] == "CANCELLED" and r.json().get("attempt", 0) == 0
    pair.post(f"/v1/tasks/{first}:cancel")
    pair.wait_task(first, ("CANCELLED",))


def test_cooperative_cancel(pair):
    task_id = pair.submit("/test/task-sleep", {"ms": 60000})
    pair.wait_task(task_id, ("RUNNING",))
    pair.post(f"/v1/tasks/{task_id}:cancel")
    assert pair.wait_task(task_id)["state"] == "CANCELLED"


def cancelled(pair):
    try:
        with open(pair.path("cancelled.log"), encoding="utf-8") as f:
            return f.read().split()
    except FileNotFoundError:
        return []


def test_a_client_that_goes_away_cancels_its_call(pair):
    c = pair.connect()
    c.request("POST", "/test/wait", b'{"ms": 60000}', {"Content-Type": "application/json"})
    wait_until(lambda: b"errand_gateway_calls_in_flight 1\n" in pair.get("/metrics").body, what="call begun")
    c.close()
    wait_until(lambda: "wait" in cancelled(pair), what="cancel seen by the handler")
    c = pair.connect()
    c.request("GET", "/test/stream?count=100000&size=100&interval_ms=5",
              headers={"Accept": "text/event-stream"})
    c.getresponse().readline()
    c.close()
    wait_until(lambda: "stream" in cancelled(pair), what="cancel seen by the stream")


def test_deadline(pair):
    begin = time.monotonic()
    r = pair.post("/test/wait", {"ms": 60000}, headers={"X-Server-Timeout": "0.5"})
    assert (r.status, r.json()["code"]) == (504, "DEADLINE_EXCEEDED"), r
    assert time.monotonic() - begin < 5
