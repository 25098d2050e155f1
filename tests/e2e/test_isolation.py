"""Limits of programs, what they have used, and what becomes of their trees: with the
cgroups that are to be had here, and without any."""

import os
import re
import subprocess

import pytest
from conftest import BUILD, pid_gone, processes, wait_until

MIB = 1 << 20
EAT = ["python3", "-c", "import sys; x = b'x' * (int(sys.argv[1]) << 20)"]


def kind_of(pair):
    """How the service says it holds programs: cgroup2, cgroup1 or rlimit."""
    with open(pair.service.log, encoding="utf-8") as f:
        return re.search(r"msg=\"programs .* kind=(\w+)", f.read()).group(1)


def holds(pair, limit):
    with open(pair.service.log, encoding="utf-8") as f:
        return limit in re.search(r"msg=\"programs (?:.* holds=)?(\S*)", f.read()).group(1).split(",")


def need(pair, limit):
    if not holds(pair, limit):
        pytest.skip(f"no cgroup here that holds {limit}")


def run(pair, argv, **limits):
    return pair.wait_task(pair.submit("/test/task-run", {"argv": argv, "fail": True, **limits}))


def test_over_memory_is_oom(pair):
    """FAULTS 32: the attempt says so, with the limit and the peak; others go on."""
    need(pair, "memory")
    other = pair.submit("/test/task-run", {"argv": ["sleep", "1000"]})
    pair.wait_task(other, ("RUNNING",))
    task = run(pair, [*EAT, "200"], memory=64 * MIB)
    assert task["state"] == "FAILED", task
    assert [a["outcome"] for a in task["attempts"]] == ["OOM"] * len(task["attempts"])
    usage = task["attempts"][-1]["usage"]
    assert usage["isolation"] == kind_of(pair)
    assert int(usage["memory_limit"]) == 64 * MIB
    assert 60 * MIB < int(usage["peak_memory"]) <= 64 * MIB
    assert "python3 was over its memory limit of 64 MiB (peak " in str(task["error"])
    assert pair.task(other)["state"] == "RUNNING"
    pair.post(f"/v1/tasks/{other}:cancel")
    pair.wait_task(other, ("CANCELLED",))


def test_what_a_program_has_used(pair):
    task = run(pair, [*EAT, "50"])
    assert task["state"] == "SUCCEEDED", task
    usage = task["attempts"][0]["usage"]
    assert usage["isolation"] == kind_of(pair)
    assert 50 * MIB < int(usage["peak_memory"]) < 150 * MIB
    assert 0 < float(usage["cpu_time"].rstrip("s")) < 10
    assert "memory_limit" not in usage or int(usage["memory_limit"]) == 0


FORKS = """
import os, signal
n = 0
try:
    while n < 500:
        if os.fork() == 0:
            os.setsid()
            signal.pause()
        n += 1
except BlockingIOError:
    pass
print(n, flush=True)
os._exit(3)
"""


def test_forks_up_to_its_limit(pair):
    """FAULTS 32: it cannot grow, and what it has forked is gone when it is over."""
    need(pair, "processes")
    task = run(pair, ["python3", "-c", FORKS], processes=20)
    attempt = task["attempts"][-1]
    assert (attempt["outcome"], attempt["exit_status"]) == ("EXIT", 3), attempt
    assert pair.logs(task["id"])[-1]["text"] == "19"
    wait_until(lambda: not processes("python3", "signal.pause"), 10, "all gone")


def test_cpu_time_of_the_tree(pair):
    task = run(pair, ["sh", "-c", "while :; do :; done & while :; do :; done"], cpu_time_ms=400)
    attempt = task["attempts"][-1]
    assert (attempt["outcome"], attempt["signal"]) == ("SIGNAL", 24), attempt
    assert float(attempt["usage"]["cpu_time"].rstrip("s")) < 8


def test_a_daemon_does_not_outlive_a_killed_service(make_pair):
    """FAULTS 26: a session of its own, forked twice, in the moment of kill -9."""
    pair = make_pair()
    need(pair, "memory")
    pids = []
    script = "(setsid sh -c 'sleep 1000 & echo $!; wait' &) ; echo $$; sleep 1000"
    task_id = pair.submit("/test/task-run", {"argv": ["sh", "-c", script]})

    def printed():
        pids[:] = [int(line["text"]) for line in pair.logs(task_id) if line["stream"] == "stdout"]
        return len(pids) == 2
    wait_until(printed, what="pids")
    pair.service.kill()
    wait_until(lambda: all(map(pid_gone, pids)), 10, "all gone")


def test_without_cgroups(make_pair):
    """setrlimit: a failure of the program's own, and what must hold for all is refused."""
    pair = make_pair(service_args=["--cgroup", "off"])
    assert kind_of(pair) == "rlimit"
    task = run(pair, [*EAT, "500"], memory=300 * MIB)
    attempt = task["attempts"][-1]
    assert attempt["outcome"] == "EXIT", attempt
    assert attempt["usage"]["isolation"] == "rlimit"
    assert "MemoryError" in str(task["error"])
    task = run(pair, ["true"], memory=300 * MIB, whole_tree=True)
    assert task["state"] == "FAILED"
    assert len(task["attempts"]) == 1  # final


def places():
    """The roots of hierarchies that are mounted here and may be written."""
    with open("/proc/self/mountinfo", encoding="utf-8") as f:
        for line in f:
            words, _, rest = line.partition(" - ")
            if rest.split()[0] in ("cgroup", "cgroup2") and os.access(words.split()[4], os.W_OK):
                yield words.split()[4], rest


def test_a_cgroup_that_is_named(make_pair):
    name = f"errand-test-{os.getpid()}"
    made = []
    try:
        for root, rest in places():
            if re.search(r"\bmemory\b|^cgroup2", rest):
                made.append(os.path.join(root, name))
                os.mkdir(made[-1])
        if not made:
            pytest.skip("no hierarchy that may be written")
        pair = make_pair(service_args=["--cgroup", f"/{name}"])
        if kind_of(pair) == "rlimit":
            pytest.skip("no controllers")
        task_id = pair.submit("/test/task-run", {"argv": ["cat", "/proc/self/cgroup"]})
        pair.wait_task(task_id)
        assert any(f"/{name}/errand.{pair.service.pid}/" in line["text"] for line in pair.logs(task_id))
        pair.close()
        assert all(not [d for d in os.listdir(m) if d.startswith("errand.")] for m in made)
    finally:
        for m in made:
            if os.path.isdir(m):
                os.rmdir(m)


@pytest.mark.parametrize("where, text", [
    ("/no/such/cgroup", "no hierarchy has such a cgroup"),
    ("here", "auto, off, or a path"),
])
def test_wrong_options(tmp_path, where, text):
    r = subprocess.run([os.path.join(BUILD, "errand-service"), "--socket", str(tmp_path / "s"),
                        "--store", "memory", "--cgroup", where], capture_output=True, text=True,
                       timeout=20, check=False)
    assert r.returncode == 78
    assert text in r.stderr
