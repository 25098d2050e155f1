"""kill -9 of either daemon at any moment: nothing acknowledged is lost or ends twice.

ERRAND_KILL_ROUNDS is the number of rounds of the last test (200 is the full test).
"""

import collections
import contextlib
import http.client
import os
import random
import sqlite3
import subprocess
import threading
import time

from conftest import SANITIZED, pid_gone, processes, wait_until


def test_service_killed_in_an_encode(make_pair, clips):
    pair = make_pair()
    out = pair.path("out.mp4")
    task_id = pair.submit("/encode", {"input_path": f"{clips}/clip.mp4", "output_path": out,
                                      "preset": "veryslow"})
    queued = pair.submit("/test/task-sleep", {"ms": 60000})
    pids = wait_until(lambda: processes("ffmpeg", task_id))
    pair.service.kill()
    wait_until(lambda: all(map(pid_gone, pids)), 5, "ffmpeg dies with the service")
    assert not os.path.exists(out)
    r = pair.get("/items/1", timeout=10)
    assert r.status == 503 and "Retry-After" in r.headers, r
    assert r.headers["Content-Type"] == "application/problem+json"
    assert pair.get("/livez").status == 200
    assert pair.get("/readyz").status == 503
    pair.start_service()
    pair.wait_ready()
    task = pair.wait_task(task_id, timeout=120)
    assert task["state"] == "SUCCEEDED" and task["attempt"] == 2, task
    assert [a["outcome"] for a in task["attempts"]] == ["LEASE_LOST", "OK"]
    assert os.path.getsize(out) > 1000
    assert not [n for n in os.listdir(pair.dir) if n.startswith(".errand-")]
    assert pair.task(queued)["state"] in ("QUEUED", "RUNNING")
    pair.post(f"/v1/tasks/{queued}:cancel")
    pair.wait_task(queued, ("CANCELLED",))


def test_gateway_killed_leaves_the_task_running(make_pair):
    pair = make_pair()
    task_id = pair.submit("/test/task-sleep", {"ms": 1500})
    pair.wait_task(task_id, ("RUNNING",))
    pair.gateway.kill()
    pair.start_gateway()
    pair.wait_ready()
    task = pair.wait_task(task_id)
    assert task["state"] == "SUCCEEDED" and task["attempt"] == 1, task


def test_gateway_finds_the_service_that_starts_later(make_pair):
    pair = make_pair()
    pair.service.stop()
    assert pair.get("/items/1").status == 503
    begin = time.monotonic()
    pair.start_service()
    pair.wait_ready()
    assert time.monotonic() - begin < (5 if SANITIZED else 2)


def test_handler_that_crashes_takes_only_the_service(make_pair):
    """FAULTS 33: the stated blast radius is the service's process."""
    pair = make_pair()
    r = pair.post("/test/crash", timeout=20)
    assert r.status in (502, 503), r
    assert pair.service.popen.wait(10) != 0
    assert pair.get("/livez").status == 200
    pair.start_service()
    pair.wait_ready()
    assert pair.post("/test/echo", {}).status == 200


def test_task_that_crashes_the_service_is_quarantined(make_pair):
    """FAULTS 19: three crashes are enough; others go on."""
    pair = make_pair()
    task_id = pair.submit("/test/task-crash", {"times": 99})
    for _ in range(3):
        assert pair.service.popen.wait(20) != 0
        pair.start_service()
    pair.wait_ready()
    task = pair.wait_task(task_id)
    assert task["state"] == "FAILED" and task["crash_count"] == 3, task
    assert "quarantined" in str(task["error"])
    assert pair.wait_task(pair.submit("/test/task-echo", {}))["state"] == "SUCCEEDED"




def test_second_service_on_the_same_store_is_refused(make_pair):
    """FAULTS 10 and 42."""

    pair = make_pair()
    argv = list(pair.service.argv)
    for argv in (argv, [a if a != pair.socket else pair.path("other.sock") for a in argv]):
        run = subprocess.run(argv, capture_output=True, timeout=20, env=pair.env, check=False)
        assert run.returncode not in (0, -6, -11), run
        assert b"in use" in run.stderr or b"answers" in run.stderr or b"already" in run.stderr, run
    assert pair.post("/test/echo", {}).status == 200


class Enqueuer(threading.Thread):
    """Enqueues tasks with names of its own, and keeps what was acknowledged."""

    def __init__(self, pair, n, stop):
        super().__init__()
        self.pair, self.n, self.stop = pair, n, stop
        self.acked = {}  # task id -> name

    def run(self):
        for i in range(1 << 30):
            if self.stop.is_set():
                return
            name = f"{self.n}-{i}"
            try:
                r = self.pair.post("/test/task-touch", {"name": name, "ms": i % 3 * 5}, timeout=20)
            except (OSError, http.client.HTTPException):
                continue  # not acknowledged
            if r.status == 202:
                self.acked[r.json()["id"]] = name
            else:
                assert r.status in (502, 503, 504, 429), r
                time.sleep(0.02)


def final_events(pair, task_id):
    states = [e.json()["state"] for e in pair.events(task_id) if e.event == "state"]
    return [s for s in states if s in ("SUCCEEDED", "FAILED", "CANCELLED")]


def test_nothing_acknowledged_is_lost_or_ends_twice(make_pair):
    """FAULTS 1, 3, 26: kill -9 at random moments under concurrent enqueue."""
    rounds = int(os.environ.get("ERRAND_KILL_ROUNDS", "5"))
    rng = random.Random(int(os.environ.get("ERRAND_SEED", "7")))
    pair = make_pair()
    stop = threading.Event()
    workers = [Enqueuer(pair, n, stop) for n in range(4)]
    for w in workers:
        w.start()
    try:
        for _ in range(rounds):
            time.sleep(rng.uniform(0.02, 0.6))
            pair.service.kill()
            pair.start_service()
    finally:
        stop.set()
        for w in workers:
            w.join()
    pair.wait_ready()
    acked = {k: v for w in workers for k, v in w.acked.items()}
    assert len(acked) == sum(len(w.acked) for w in workers), "an id was given twice"
    assert len(acked) > rounds
    with_effect = collections.Counter()
    ended = {i: pair.wait_task(i, timeout=120) for i in acked}
    with open(pair.path("effects.log"), encoding="utf-8") as f:
        for line in f:
            with_effect[line.split()[0]] += 1
    for task_id, name in acked.items():
        task = ended[task_id]
        assert final_events(pair, task_id) == [task["state"]], task
        outcomes = [a["outcome"] for a in task["attempts"]]
        if task["state"] == "SUCCEEDED":
            assert outcomes.count("OK") == 1 and outcomes[-1] == "OK", task
            assert set(outcomes[:-1]) <= {"LEASE_LOST"}, task
            assert 1 <= with_effect[name] <= len(outcomes), task
        else:  # killed with it three times
            assert task["state"] == "FAILED" and outcomes == ["LEASE_LOST"] * 3, task
    print(f"{rounds} kills, {len(acked)} tasks acknowledged, "
          f"{sum(len(t['attempts']) > 1 for t in ended.values())} of them run again")
    pair.service.stop()
    with contextlib.closing(sqlite3.connect(pair.path("state", "tasks.db"))) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
