"""What is done to the daemons from within and by signals: handlers that crash or never come
back, full pools, floods of signals."""

import os
import signal
import subprocess
import sys
import threading
import time

from conftest import SANITIZED, in_threads, wait_until

FAST_S = 0.5 if SANITIZED else 0.05  # of a request the loop answers, on a machine that is busy


class Held:
    """n calls of Hold at once, which all have a place in the pool or its queue, until let go."""

    def __init__(self, pair, n, ms=5, name="let-go", headers=None):
        self.pair, self.name, self.answers = pair, name, []
        before = calls_of(pair)
        self.threads = [threading.Thread(target=self.one, args=(ms, headers)) for _ in range(n)]
        for t in self.threads:
            t.start()
        wait_until(lambda: calls_of(pair) >= before + n or len(self.answers) == n, what="calls held")

    def one(self, ms, headers):
        r = None
        while r is None or b"all threads are busy" in r.body:
            r = self.pair.post("/test/hold", {"name": self.name, "ms": ms}, headers=headers)
        self.answers.append(r)

    def let_go(self):
        with open(self.pair.path(self.name), "w", encoding="utf-8"):
            pass
        for t in self.threads:
            t.join()
        return sorted(r.status for r in self.answers)


def calls_of(pair):
    return int(pair.get("/v1/server").json().get("calls", 0))


def median_s(n, work):
    times = []
    for _ in range(n):
        begin = time.monotonic()
        work()
        times.append(time.monotonic() - begin)
    return sorted(times)[n // 2]


# --- handlers ---

def test_a_crash_gives_back_what_was_under_way(make_pair):
    """FAULTS 33: a crash ends the service's process. Whoever waits hears of it at once, tasks
    that ran are run again, whoever comes meanwhile is not kept hanging."""
    for sig in (signal.SIGTRAP if SANITIZED else signal.SIGSEGV, signal.SIGABRT):  # the sanitizer has its own SIGSEGV
        pair = make_pair(gateway_args=["--reconnect-wait", "200ms"])
        tasks = [pair.submit("/test/task-touch", {"name": f"crash-{i}", "ms": 1000}) for i in range(3)]
        waiting = pair.submit("/test/task-sleep", {"ms": 100000})
        pair.wait_task(waiting, ("RUNNING",))
        held = Held(pair, 3)
        begin = time.monotonic()
        if sig == signal.SIGABRT:
            assert pair.post("/test/crash", timeout=20).status in (502, 503)
        else:
            os.kill(pair.service.pid, sig)
        assert pair.service.popen.wait(20) != 0
        for t in held.threads:
            t.join()
        assert {r.status for r in held.answers} <= {502, 503}, held.answers
        r = pair.post("/test/echo", {})
        assert r.status == 503 and r.headers["Retry-After"], r
        assert time.monotonic() - begin < (30 if SANITIZED else 5)
        pair.start_service()
        pair.wait_ready()
        for task_id in tasks:
            task = pair.wait_task(task_id)
            assert task["state"] == "SUCCEEDED" and task["attempts"][-1]["outcome"] == "OK", task
        task = pair.wait_task(waiting, ("RUNNING",))
        assert [a.get("outcome") for a in task["attempts"]][0] == "LEASE_LOST", task
        pair.post(f"/v1/tasks/{waiting}:cancel")


def test_a_handler_that_never_comes_back(make_pair):
    """FAULTS 33: its call ends at the deadline, its thread is lost; others go on beside it. A
    task's slot is given to the next one."""
    pair = make_pair(service_args=["--sync-threads", "2", "--slots", "8", "--queue", "hold=1"])
    begin = time.monotonic()
    held = Held(pair, 1, ms=0, headers={"X-Server-Timeout": "1"})
    held.threads[0].join()
    assert held.answers[0].status == 504, held.answers[0]
    assert time.monotonic() - begin < (10 if SANITIZED else 4)
    for _ in range(20):
        assert pair.post("/test/sync-echo", {}).status == 200
        assert pair.get("/livez").status == 200
    task_id = pair.submit("/test/task-hold", {"name": "let-go", "ms": 0})
    with open(pair.path("there"), "w", encoding="utf-8"):
        pass
    behind = pair.submit("/test/task-hold", {"name": "there", "ms": 0})
    assert pair.wait_task(behind)["state"] == "SUCCEEDED"
    assert "does not stop" in pair.service.text()
    held.let_go()
    assert pair.wait_task(task_id)["state"] == "SUCCEEDED"  # what it said in the end counts


def test_a_pool_that_stays_full(make_pair):
    """FAULTS 34: as long as it likes. The loop and health answer as before, new work is refused at
    once when the queue is full too, and goes on where it was when there are threads again."""
    pair = make_pair(service_args=["--sync-threads", "2", "--sync-queue", "2", "--slots", "2"])
    held = Held(pair, 4)  # on both threads, in both places of the queue

    def refused():
        r = pair.post("/test/sync-echo", {})
        assert r.status in (429, 503) and r.headers["Retry-After"], r
    assert median_s(20, refused) < FAST_S
    assert median_s(20, lambda: pair.get("/livez")) < FAST_S
    assert median_s(20, lambda: pair.get("/readyz")) < FAST_S
    for _ in range(20):
        assert pair.get("/readyz").status == 200
    assert median_s(20, lambda: pair.post("/test/echo", {})) < FAST_S
    assert pair.wait_task(pair.submit("/test/task-echo", {}))["state"] == "SUCCEEDED"
    assert held.let_go() == [200] * 4
    assert pair.post("/test/sync-echo", {}).status == 200


# --- signals ---

HARMLESS = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP, signal.SIGPIPE, signal.SIGWINCH, signal.SIGCHLD,
            signal.SIGURG, signal.SIGCONT)


def test_signals_that_mean_nothing(make_pair):
    """FAULTS 35: none of these ends a daemon or what it does; SIGINT is SIGTERM."""
    pair = make_pair()
    task_id = pair.submit("/test/task-run", {"argv": ["sh", "-c", "kill -USR1 $$; echo survived"]})
    for daemon in (pair.gateway, pair.service):
        for sig in HARMLESS:
            daemon.popen.send_signal(sig)
    for _ in range(20):
        assert pair.post("/test/echo", {}).status == 200
    assert pair.gateway.alive() and pair.service.alive()
    task = pair.wait_task(task_id)
    assert task["result"]["signal"] == signal.SIGUSR1  # programs have the defaults again
    for daemon in (pair.gateway, pair.service):
        daemon.popen.send_signal(signal.SIGINT)
        assert daemon.popen.wait(20) == 0


FLOOD = """
import os, signal, sys, time
pids = [int(x) for x in sys.argv[2:]]
sigs = [signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE, signal.SIGCHLD]
begin, n = time.monotonic(), 0
print("begun", flush=True)
while not os.path.exists(sys.argv[1]):
    for _ in range(24):
        for pid in pids:
            os.kill(pid, sigs[n % 5])
        n += 1
    time.sleep(max(0, n / 12000 - (time.monotonic() - begin)))
print(n / (time.monotonic() - begin))
"""


def test_ten_thousand_signals_a_second(make_pair):
    """FAULTS 36: to each daemon, under calls of every kind; nothing is lost, nothing stands still."""
    pair = make_pair()
    stop = pair.path("flood-over")
    with subprocess.Popen([sys.executable, "-c", FLOOD, stop, str(pair.service.pid), str(pair.gateway.pid)],
                          stdout=subprocess.PIPE, text=True) as flood:
        assert flood.stdout.readline() == "begun\n"

        end = time.monotonic() + 3

        def client(i):
            n = 0
            while time.monotonic() < end:
                n += 1
                assert pair.post("/test/echo", {"text_value": "x"}).json()["text_value"] == "x"
                assert pair.post("/test/sync-echo", {"int32_value": n}).json()["int32_value"] == n
                if n % 10 == 0:
                    r = pair.post("/test/task-run", {"argv": ["echo", "out"]}, headers={"Prefer": "wait=30"})
                    assert r.status == 200 and r.json()["status"] == 0, r
                    r = pair.post("/test/task-touch", {"name": f"flood-{i}-{n}"}, headers={"Prefer": "wait=30"})
                    assert r.status == 200, r
        in_threads(4, client)
        assert median_s(20, lambda: pair.get("/livez")) < 4 * FAST_S
        with open(stop, "w", encoding="utf-8"):
            pass
        rate = float(flood.stdout.read())
    assert rate >= (2000 if SANITIZED else 10000), rate
    pair.gateway.stop()
    pair.service.stop()
