"""GET /v1/metrics: what a Prometheus parser reads in it, that it counts, that each metric is in the manual and
each that a rule or the dashboard names is there, and that it is answered while the store is down."""

import json
import os
import re
import resource
import shutil
import subprocess
import time

import pytest

from conftest import TOP, wait_until
from rawworker import Client, Worker, field
from scrape import read_page
from test_hard import Held

S = "errand_service_"


def scrape(pair, path="/v1/metrics"):
    r = pair.get(path)
    assert r.status == 200 and r.headers["Content-Type"].startswith("text/plain; version=0.0.4"), r
    return read_page(r.body.decode())[0]


def value(samples, name, **labels):
    return samples.get((S + name, tuple(sorted(labels.items()))), 0)


def test_it_counts(make_pair):
    pair = make_pair()
    before = scrape(pair)
    assert pair.post("/test/echo", {}).status == 200
    assert pair.post("/test/fail", {"code": 5}).status == 404
    for method, body in (("TaskEcho", {}), ("TaskFail", {"code": 3, "times": 9}), ("TaskRun", {"argv": ["true"]})):
        task = pair.post("/v1/tasks", {"method": f"errandtest.v1.Test/{method}", "input": body}).json()["id"]
        pair.wait_task(task)
    after = scrape(pair)

    def grown(name, **labels):
        return value(after, name, **labels) - value(before, name, **labels)
    assert grown("calls_total", run="ASYNC", code="NOT_FOUND") == 1
    assert grown("calls_total", run="TASK", code="INVALID_ARGUMENT") == 1
    assert grown("method_calls_total", method="errandtest.v1.Test/Echo") == 1
    assert grown("method_failures_total", method="errandtest.v1.Test/Fail") == 1
    assert grown("call_duration_seconds_count", run="TASK") == 3
    assert grown("attempts_total", outcome="OK") == 2 and grown("attempts_total", outcome="ERROR") == 1
    assert grown("tasks_moved_total", state="SUCCEEDED") == 2 and grown("tasks_moved_total", state="FAILED") == 1
    assert grown("programs_total", end="ok") == 1 and value(after, "programs_running") == 0
    assert grown("store_commit_seconds_count") >= 3 and value(after, "store_up") == 1
    assert value(after, "queue_slots", queue="test") == 8
    assert value(after, "sessions") >= 1


def test_threads_of_sync_methods(make_pair):
    """Busy, waiting and refused, as the pool is filled and emptied."""
    pair = make_pair(service_args=["--sync-threads", "2", "--sync-queue", "3"])

    def pool():
        samples = scrape(pair)
        return {name: value(samples, "sync_" + name) for name in
                ("threads", "threads_max", "running", "waiting", "waiting_max", "refused_total")}
    assert pool() == {"threads": 0, "threads_max": 2, "running": 0, "waiting": 0, "waiting_max": 3, "refused_total": 0}
    held = Held(pair, 4)
    wait_until(lambda: pool()["waiting"] == 2, what="two on threads, two behind them")
    assert pool() == {"threads": 2, "threads_max": 2, "running": 2, "waiting": 2, "waiting_max": 3, "refused_total": 0}
    assert value(scrape(pair), "call_memory_bytes") > 0
    one_more = Held(pair, 1)
    assert pair.post("/test/sync-echo", {}).status == 503
    assert pool()["refused_total"] == 1
    assert held.let_go() == [200] * 4 and one_more.let_go() == [200]
    wait_until(lambda: pool()["running"] == 0, what="nobody on a thread")
    assert pool() == {"threads": 2, "threads_max": 2, "running": 0, "waiting": 0, "waiting_max": 3, "refused_total": 1}


def test_leases_of_workers(make_pair):
    pair = make_pair()
    worker = Worker(pair.socket, queues=["away"])
    assert value(scrape(pair), "worker_leases") == 0
    task = pair.post("/v1/tasks", {"method": "errandtest.v1.Test/TaskEcho", "queue": "away"}).json()["id"]
    work = worker.work()
    assert value(scrape(pair), "worker_leases") == 1
    worker.complete(work, b"")
    pair.wait_task(task)
    assert value(scrape(pair), "worker_leases") == 0
    worker.close()


def test_attempts_of_a_service_that_died(make_pair):
    pair = make_pair()
    task = pair.submit("/test/task-hold", {"name": "let-go", "ms": 0})
    wait_until(lambda: pair.get(f"/v1/tasks/{task}").json()["state"] == "RUNNING", what="it runs")
    pair.service.kill()
    with open(pair.path("let-go"), "w", encoding="utf-8"):
        pass
    pair.start_service()
    pair.wait_ready()
    assert value(scrape(pair), "attempts_total", outcome="LEASE_LOST") == 1
    assert pair.wait_task(task)["state"] == "SUCCEEDED"


def test_answers_that_nobody_reads(make_pair):
    pair = make_pair()
    client = Client(pair.socket, reading=False)
    client.socket.settimeout(20)
    text = field(14, "x" * 400000)
    for _ in range(5):
        client.start("errandtest.v1.Test/Echo", text)
    wait_until(lambda: value(scrape(pair), "unsent_bytes") > 400000, what="answers wait")
    client.close()
    wait_until(lambda: value(scrape(pair), "unsent_bytes") < 400000, what="they are gone with their client")


def test_room_on_the_disk(make_pair, tmp_path):
    pair = make_pair()
    v = os.statvfs(tmp_path)
    assert abs(value(scrape(pair), "store_disk_free_bytes") - v.f_bavail * v.f_frsize) < 1 << 30
    assert (S + "store_disk_free_bytes", ()) not in scrape(make_pair(store="memory"))


def names_of(pair):
    return {name for name, _ in {**scrape(pair), **scrape(pair, "/metrics")}}


def test_each_metric_is_in_the_manual(pair):
    for path, page in (("/v1/metrics", "errand-service.8"), ("/metrics", "errand-gateway.8")):
        with open(os.path.join(TOP, "man", page), encoding="utf-8") as f:
            manual = f.read()
        for name, _ in scrape(pair, path):
            name = re.sub("_(bucket|sum|count)$", "", name)
            short = name.replace("errand_gateway_", "") if path == "/metrics" else name
            assert re.search(rf"\b{short}\b", manual), f"{page} has no line for {name}"


def test_rules_and_dashboard_name_what_there_is(pair):
    task = pair.post("/v1/tasks", {"method": "errandtest.v1.Test/TaskEcho"}).json()["id"]
    pair.wait_task(task)
    wait_until(lambda: S + "queue_oldest_seconds" in names_of(pair), what="the age of a queue")
    there = names_of(pair)
    for path in ("packaging/prometheus/errand.rules.yml", "packaging/grafana/errand.json"):
        with open(os.path.join(TOP, path), encoding="utf-8") as f:
            text = f.read()
        if path.endswith("json"):
            assert json.loads(text)["panels"]
        named = set(re.findall(r"\b(?:errand_(?:service|gateway)|process)_[a-z_]+", text))
        assert named and named <= there | {"process_max_fds"}, (path, named - there)


def test_an_age_is_never_away(pair):
    """Scrapes while the store is asked for the ages show those of before: an alert on a series that is away
    for one scrape begins anew."""
    pair.wait_task(pair.post("/v1/tasks", {"method": "errandtest.v1.Test/TaskEcho"}).json()["id"])
    wait_until(lambda: S + "queue_oldest_seconds" in names_of(pair), what="the age of a queue")
    client = Client(pair.socket)
    end = time.monotonic() + 6  # asked for every five seconds at most
    while time.monotonic() < end:
        pages = [client.start("errand.v1.Servers/GetMetrics") for _ in range(8)]
        assert all(b"\nerrand_service_queue_oldest_seconds{" in p.get(20) for p in pages)
    client.close()


RULES = os.path.join(TOP, "packaging/prometheus/errand.rules.yml")


def test_rules_match_vectors_with_vectors():
    """Prometheus refuses a whole file for one expression like `0.1 * on(instance) x`."""
    with open(RULES, encoding="utf-8") as f:
        text = f.read()
    assert not re.findall(r"\d\s*(?:[-+*/%^]|[<>=!]=?)\s*(?:on|ignoring)\s*\(", text)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool")
def test_rules_as_prometheus_reads_them(tmp_path):
    """It takes the file, and the alert that compares two figures fires when it should and not otherwise."""
    subprocess.run(["promtool", "check", "rules", RULES], check=True)
    moved = 'errand_service_tasks_moved_total{instance="i",job="j",state="%s"}'

    def case(failed, alerts):
        return {"interval": "1m", "input_series": [{"series": moved % "FAILED", "values": f"0+{failed}x30"},
                                                   {"series": moved % "SUCCEEDED", "values": "0+20x30"}],
                "alert_rule_test": [{"eval_time": "20m", "alertname": "ErrandTasksFail", "exp_alerts": alerts}]}
    fires = {"exp_labels": {"severity": "warning", "instance": "i", "job": "j", "state": "FAILED"},
             "exp_annotations": {"summary": "More than one task in ten fails."}}
    cases = tmp_path / "cases.yml"
    cases.write_text(json.dumps({"rule_files": [RULES], "tests": [case(5, [fires]), case(1, [])]}))
    subprocess.run(["promtool", "test", "rules", cases], check=True)


def test_counting_while_the_store_is_down(make_pair):
    """A part of FAULTS 87: the store's folder has no room (a limit on the size of files stands in for it)."""
    pair = make_pair()
    size = os.path.getsize(pair.path("state", "tasks.db"))
    no_limit = resource.prlimit(pair.service.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pair.service.pid, resource.RLIMIT_FSIZE, (size, no_limit[1]))

    def down():
        pair.post("/v1/tasks", {"method": "errandtest.v1.Test/TaskEcho", "input": {"text_value": "x" * 100000}})
        return value(scrape(pair), "store_up") == 0
    wait_until(down, what="store_up 0")
    assert value(scrape(pair), "store_errors_total") >= 1
    wait_until(lambda: pair.get("/readyz").status == 503, what="not ready")
    assert "the store takes no writes: " in pair.get("/readyz").json()["detail"]
    n = value(scrape(pair), "calls_total", run="ASYNC", code="OK")
    assert pair.post("/test/echo", {}).status == 200
    assert value(scrape(pair), "calls_total", run="ASYNC", code="OK") > n
    resource.prlimit(pair.service.pid, resource.RLIMIT_FSIZE, no_limit)
    wait_until(lambda: pair.get("/readyz").status == 200, what="ready again, though nobody asks for anything")
    assert value(scrape(pair), "store_up") == 1
