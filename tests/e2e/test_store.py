"""The disk fails under the store: full, broken, or the service dies in the middle of a write.

ERRAND_NTH_WRITES is the last N of the kill at the Nth write (60 is the full test).
"""

import http.client
import os
import subprocess
import time

import pytest

from conftest import BUILD, TESTMOD, Pair, wait_until

SHIM = os.path.join(BUILD, "tests", "e2e", ".libs", "nthwrite.so")


def start_with(pair, **env):
    """The service with the shim; False when that ended it before it was ready."""
    plain = pair.env
    pair.env = dict(plain, LD_PRELOAD=SHIM, **{k: str(v) for k, v in env.items()},
                    ASAN_OPTIONS=plain["ASAN_OPTIONS"] + ":verify_asan_link_order=0")
    try:
        pair.start_service()
        return True
    except AssertionError:
        return False
    finally:
        pair.env = plain


def enqueue(pair, n):
    """Ids of what was acknowledged: at most n, fewer when the store or the service fails."""
    acked = []
    end = time.monotonic() + 10
    while len(acked) < n and pair.service.popen.poll() is None and time.monotonic() < end:
        try:
            r = pair.post("/test/task-echo", {}, timeout=10)
        except (OSError, http.client.HTTPException):
            continue
        if r.status == 202:
            acked.append(r.json()["id"])
        elif b"store" in r.body:
            break
        else:
            assert r.status in (502, 503), r  # the gateway is on its way to the service
            time.sleep(0.005)
    return acked


def ended_once(pair, task_id):
    task = pair.wait_task(task_id)
    states = [e.json()["state"] for e in pair.events(task_id) if e.event == "state"]
    assert task["state"] == "SUCCEEDED" and states.count("SUCCEEDED") == 1, (task, states)


def test_killed_at_the_nth_write(make_pair):
    """FAULTS 2: old or new state whole; what was acknowledged is there."""
    last = int(os.environ.get("ERRAND_NTH_WRITES", "8"))
    pair = make_pair(modules=[TESTMOD])
    pair.service.stop()
    acked, slowest = [], 0
    for n in range(1, last + 1):
        if start_with(pair, NTHWRITE_KILL=n if last >= 60 else n * 7 - 6):
            acked += enqueue(pair, 40)
            assert pair.service.popen.wait(20) == -9
        begin = time.monotonic()
        pair.start_service()
        slowest = max(slowest, time.monotonic() - begin)
        pair.wait_ready()
        for task_id in acked[-40:]:
            ended_once(pair, task_id)
        pair.service.stop()
    assert slowest < 2, slowest
    assert acked
    pair.start_service()
    pair.wait_ready()
    for task_id in acked:
        ended_once(pair, task_id)


def test_a_write_that_fails_acknowledges_nothing(make_pair):
    """FAULTS 6: no ack, reads go on, what was acknowledged is there afterwards."""
    pair = make_pair(modules=[TESTMOD])
    pair.service.stop()
    assert start_with(pair, NTHWRITE_EIO_WRITE=40)
    pair.wait_ready()
    acked = enqueue(pair, 60)
    assert 0 < len(acked) < 60
    r = pair.post("/test/task-echo", {})
    assert r.status == 503 and "Retry-After" in r.headers and "store" in r.json()["detail"], r
    assert pair.get(f"/v1/tasks/{acked[0]}").status == 200
    assert pair.post("/test/echo", {}).status == 200
    pair.service.kill()
    pair.start_service()
    pair.wait_ready()
    for task_id in acked:
        ended_once(pair, task_id)


@pytest.mark.parametrize("nth", [12, 13, 30])
def test_a_sync_that_fails_ends_the_service(make_pair, nth):
    """FAULTS 6: no ack from then on, exit status 74 for the supervisor; the next start reads what
    is really there. The shim's later syncs fail, too: the service must not wait for one."""
    pair = make_pair(modules=[TESTMOD])
    pair.service.stop()
    assert start_with(pair, NTHWRITE_EIO_SYNC=nth)
    pair.wait_ready()
    acked = enqueue(pair, 60)
    assert 0 < len(acked) < 60
    assert pair.service.popen.wait(20) == 74
    pair.service.wait_line("fsync failed")
    assert pair.service.text().count("fsync failed") == 1
    pair.start_service()
    pair.wait_ready()
    for task_id in acked:
        ended_once(pair, task_id)


@pytest.fixture
def small_disk(tmp_path):
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(tmp_path)],
                          capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip("a file system can be mounted by root only")
    yield str(tmp_path)
    subprocess.run(["umount", "-l", str(tmp_path)], check=True)


class SmallPair(Pair):
    """Its state is on a disk of its own."""

    def __init__(self, disk):
        super().__init__(modules=[TESTMOD])
        self.state = os.path.join(disk, "state")
        os.mkdir(self.state, 0o700)

    def path(self, *names):
        if names[0] == "state":
            return os.path.join(self.state, *names[1:])
        return super().path(*names)


def cpu_ticks(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
        return sum(map(int, f.read().rpartition(")")[2].split()[11:13]))


def test_a_full_disk(small_disk):
    """FAULTS 5: 507, no ack, no spin, reads go on, works again without a restart."""
    pair = SmallPair(small_disk)
    try:
        pair.start()
        acked, refused = [], None
        for _ in range(200):
            r = pair.post("/test/task-echo", {"text_value": "x" * 60000})
            if r.status != 202:
                refused = r
                break
            acked.append(r.json()["id"])
        assert refused is not None and refused.status == 507, refused
        problem = refused.json()
        assert problem["status"] == 507 and problem["code"] == "UNAVAILABLE", problem
        assert "disk is full" in problem["detail"] and "Retry-After" in refused.headers, refused
        assert pair.post("/test/task-echo", {"text_value": "x" * 60000}).status == 507
        assert pair.get(f"/v1/tasks/{acked[0]}").status == 200
        assert pair.get("/v1/tasks?page_size=5").status == 200
        before, begin = cpu_ticks(pair.service.pid), time.monotonic()
        wait_until(lambda: time.monotonic() - begin > 1, what="a second")
        assert cpu_ticks(pair.service.pid) - before < 15
        subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
        wait_until(lambda: pair.post("/test/task-echo", {}).status == 202, 10, "writes again")
        for task_id in acked:
            ended_once(pair, task_id)
    finally:
        pair.close()


def fill(disk):
    """Nothing is left of it; the file that took it."""
    path = os.path.join(disk, "filler")
    with open(path, "wb", buffering=0) as f:
        for size in (65536, 4096):
            try:
                while True:
                    f.write(b"x" * size)
            except OSError:
                pass
    return path


def test_what_runs_is_recorded_on_a_full_disk(small_disk):
    """FAULTS 5: the reserve is for what runs: each of them ends while the disk is full and new tasks
    are refused; what is asked to end or to go does, too."""
    pair = SmallPair(small_disk)
    try:
        pair.start()
        gate = pair.path("gate")
        running = [pair.submit("/test/task-run", {"argv": ["/bin/sh", "-c", f"until [ -e {gate} ]; do sleep 0.05; done"]})
                   for _ in range(8)]
        for task_id in running:
            pair.wait_task(task_id, ("RUNNING",))
        reserve = pair.path("state", "tasks.db.reserve")
        assert os.stat(reserve).st_blocks * 512 >= 1 << 20
        filler = fill(small_disk)
        r = wait_until(lambda: (r := pair.post("/test/task-echo", {"text_value": "x" * 60000})).status != 202 and r,
                       what="a full disk")
        assert r.status == 507 and "Retry-After" in r.headers, r
        assert os.stat(reserve).st_size == 0
        cancelled = running.pop()
        assert pair.post(f"/v1/tasks/{cancelled}:cancel").status == 202
        assert pair.wait_task(cancelled)["state"] == "CANCELLED"
        with open(gate, "w", encoding="utf-8"):
            pass
        for task_id in running:
            ended_once(pair, task_id)
        assert pair.request("DELETE", f"/v1/tasks/{cancelled}").status == 204
        assert pair.post("/test/task-echo", {}).status == 507
        os.unlink(filler)
        wait_until(lambda: pair.post("/test/task-echo", {}).status == 202, 10, "room again")
        assert os.stat(reserve).st_blocks * 512 >= 1 << 20
    finally:
        pair.close()


def test_recovery_on_a_full_disk(small_disk):
    """FAULTS 5: the next start has the reserve, too: it takes back what ran, and runs it once there
    is room."""
    pair = SmallPair(small_disk)
    try:
        pair.start()
        ids = [pair.submit("/test/task-run", {"argv": ["/bin/sleep", "0.5"]}) for _ in range(8)]
        for task_id in ids:
            pair.wait_task(task_id, ("RUNNING",))
        filler = fill(small_disk)
        pair.service.kill()
        pair.start_service()
        pair.wait_ready()
        assert all(pair.task(task_id)["state"] == "RETRYING" for task_id in ids)
        assert pair.post("/test/task-echo", {}).status == 507
        os.unlink(filler)
        for task_id in ids:
            assert pair.wait_task(task_id)["state"] == "SUCCEEDED"
    finally:
        pair.close()
