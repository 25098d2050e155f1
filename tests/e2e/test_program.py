"""Programs of handlers: what they used is kept, limits, users and files are held."""

import json
import os
import subprocess

import pytest

from conftest import BUILD

MIB = 1 << 20
KINDS = ("cgroup2", "cgroup1", "rlimit")
HOG = ["python3", "-c", "import sys; print('begun', file=sys.stderr); x = b'x' * (1 << 30)"]
BUSY = ["python3", "-c", "x = b'x' * (32 << 20)\nimport time\nwhile time.process_time() < 0.3: pass\nexit(3)"]


def kind_of(pair):
    """How this machine can hold programs."""
    task = pair.wait_task(pair.submit("/test/task-run", {"argv": ["true"]}))
    return task["attempts"][0]["usage"]["isolation"]


def seconds(text):
    return float(text.removesuffix("s"))


def test_what_it_used_is_kept(make_pair):
    pair = make_pair()
    task_id = pair.submit("/test/task-run", {"argv": BUSY, "fail": True})
    task = pair.wait_task(task_id)
    assert task["state"] == "FAILED" and len(task["attempts"]) == 2, task
    for attempt in task["attempts"]:
        assert attempt["outcome"] == "EXIT" and attempt["exit_status"] == 3
        usage = attempt["usage"]
        assert usage["isolation"] in KINDS
        assert 30 * MIB < int(usage["peak_memory"]) < 200 * MIB
        assert 0.25 < seconds(usage["cpu_time"]) < 5
        assert usage["memory_limit"] == "0"
    pair.service.stop()
    pair.start_service()
    pair.wait_ready()
    assert pair.task(task_id)["attempts"] == task["attempts"]
    watch = subprocess.run([os.path.join(BUILD, "errand"), "-s", pair.socket, "task", "watch", task_id],
                           capture_output=True, text=True, timeout=30, check=False)
    assert watch.returncode == 1
    last = watch.stdout.splitlines()[-1]
    assert "FAILED after" in last and f"s CPU ({usage['isolation']})" in last and "peak " in last, watch


def test_a_handler_without_a_program_has_none(pair):
    task = pair.wait_task(pair.submit("/test/task-echo", {}))
    assert "usage" not in task["attempts"][0]


def test_more_memory_than_allowed(pair):
    """FAULTS 32, of one task: it ends as OOM with the peak; the others go on."""
    kind = kind_of(pair)
    if kind == "rlimit":
        pytest.skip("no cgroup to be had here: each process has its address space limited instead")
    task_id = pair.submit("/test/task-run", {"argv": HOG, "fail": True, "memory": 48 * MIB})
    beside = pair.submit("/test/task-echo", {})
    task = pair.wait_task(task_id)
    assert task["state"] == "FAILED" and task["crash_count"] == len(task["attempts"]) == 3, task
    for attempt in task["attempts"]:
        assert attempt["outcome"] == "OOM" and attempt["signal"] == 9, attempt
        usage = attempt["usage"]
        assert int(usage["memory_limit"]) == 48 * MIB and usage["isolation"] == kind
        assert 40 * MIB < int(usage["peak_memory"]) <= 49 * MIB
        assert "over its memory limit of 48 MiB (peak 4" in attempt["error"]["detail"]
    assert "begun" in task["error"]["detail"]  # stderr's tail
    assert "memory limit" in task["error"]["detail"]
    assert pair.wait_task(beside)["state"] == "SUCCEEDED"


def test_users_that_cannot_be_had(pair):
    task = pair.wait_task(pair.submit("/test/task-run", {"argv": ["id"], "user": "no-such-user"}))
    assert task["state"] == "FAILED" and task["error"]["code"] == "FAILED_PRECONDITION", task
    assert len(task["attempts"]) == 1  # asking again would not help
    assert "no-such-user" in pair.service.text()
    if os.geteuid() == 0:
        r = pair.post("/test/task-run", {"argv": ["sh", "-c", "id -un >&2"], "user": "nobody"},
                      headers={"Prefer": "wait=30"})
        assert r.json()["tail"] == "nobody\n", r


def test_files_it_may_use(pair):
    os.mkdir(pair.path("given"))
    for name in ("given/in", "kept"):
        with open(pair.path(name), "w", encoding="utf-8") as f:
            f.write("content\n")
    script = f"cat {pair.path('given', 'in')} >&2; cat {pair.path('kept')} >&2; exit 0"
    body = {"argv": ["sh", "-c", script], "read": ["/usr/bin", "/bin", pair.path("given")]}
    task = pair.wait_task(pair.submit("/test/task-run", body))
    if task["state"] == "FAILED" and "Landlock" in pair.service.text():
        pytest.skip("this kernel has no Landlock")
    assert task["result"]["tail"].startswith("content\n") and "kept" in task["result"]["tail"], json.dumps(task)
    assert task["result"]["tail"].count("content") == 1
    body["read"].append("/nonexistent/path")
    task = pair.wait_task(pair.submit("/test/task-run", body))
    assert task["error"]["code"] == "FAILED_PRECONDITION", task
    assert "/nonexistent/path" in pair.service.text()
