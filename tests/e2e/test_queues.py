"""Queues as resources: concurrency, rate, depth, pause, purge, figures."""

import json
import time

from conftest import wait_until
from test_cli import errand


def queue(pair, name="test"):
    r = pair.get(f"/v1/queues/{name}")
    assert r.status == 200, r
    return r.json()


def patch(pair, name, body, headers=None):
    return pair.request("PATCH", f"/v1/queues/{name}", body, headers=headers)


def test_a_queue_shows_what_it_does(pair):
    assert pair.get("/v1/queues/nobody").status == 404
    task_id = pair.submit("/test/task-echo", {})
    pair.wait_task(task_id)
    q = queue(pair)
    assert q["name"] == "test" and q["paused"] is False and q["concurrency"] >= 1
    assert int(q["stats"]["queued"]) == 0 and int(q["stats"]["ended"]) >= 1
    assert q["stats"]["last_claim_time"] > "2026" and q["stats"]["rate"] > 0
    r = pair.get("/v1/queues")
    assert "test" in [x["name"] for x in r.json()["queues"]]


def test_pause_keeps_tasks_and_resume_runs_them(pair):
    r = pair.post("/v1/queues/test:pause", {})
    assert r.status == 200 and r.json()["paused"] is True
    ids = [pair.submit("/test/task-echo", {}) for _ in range(3)]
    wait_until(lambda: int(queue(pair)["stats"]["queued"]) == 3, 10, "three queued")
    assert all(pair.task(i)["state"] == "QUEUED" for i in ids)
    wait_until(lambda: float(queue(pair)["stats"]["oldest_age"].rstrip("s")) > 0, 10, "an age")
    r = pair.post("/v1/queues/test:resume", {})
    assert r.json()["paused"] is False
    assert all(pair.wait_task(i)["state"] == "SUCCEEDED" for i in ids)
    assert int(queue(pair)["stats"]["queued"]) == 0


def test_purge_cancels_what_waits_and_leaves_what_runs(pair):
    assert patch(pair, "test", {"concurrency": 1}).status == 200
    running = pair.submit("/test/task-sleep", {"ms": 600})
    pair.wait_task(running, ("RUNNING",))
    ids = [pair.submit("/test/task-echo", {}) for _ in range(5)]
    pair.post("/v1/tasks/" + ids[0] + ":hold", {})
    r = pair.post("/v1/queues/test:purge", {})
    assert r.status == 200 and int(r.json()["cancelled"]) == 5
    assert all(pair.task(i)["state"] == "CANCELLED" for i in ids)
    assert pair.wait_task(running)["state"] == "SUCCEEDED"
    assert patch(pair, "test", {"concurrency": 2}).status == 200


def test_concurrency_counts_at_once(pair):
    assert patch(pair, "test", {"concurrency": 3}).json()["concurrency"] == 3
    ids = [pair.submit("/test/task-sleep", {"ms": 400}) for _ in range(6)]
    wait_until(lambda: queue(pair)["stats"]["running"] == 3, 10, "three at a time")
    assert all(pair.wait_task(i)["state"] == "SUCCEEDED" for i in ids)
    assert queue(pair)["stats"]["running"] == 0


def test_rate_spreads_the_starts(pair):
    assert patch(pair, "test", {"rate": 5, "burst": 1}).status == 200
    begun = time.monotonic()
    ids = [pair.submit("/test/task-echo", {}) for _ in range(6)]
    starts = sorted(pair.wait_task(i)["start_time"] for i in ids)
    assert len(set(starts)) == 6
    assert time.monotonic() - begun > 0.9  # five waits of 0.2 s
    assert patch(pair, "test", {"rate": 0}).json()["rate"] == 0


def test_depth_is_bounded_with_429(pair):
    assert patch(pair, "test", {"max_depth": 2, "paused": True}).status == 200
    ids = [pair.submit("/test/task-echo", {}) for _ in range(2)]
    r = pair.post("/test/task-echo", {})
    assert r.status == 429 and "Retry-After" in r.headers, r
    assert "test" in r.json()["detail"]
    assert patch(pair, "test", {"max_depth": 0, "paused": False}).status == 200
    assert all(pair.wait_task(i)["state"] == "SUCCEEDED" for i in ids)


def test_what_cannot_be_set_is_refused(pair):
    r = patch(pair, "test", {"concurrency": 0, "rate": -1})
    assert r.status == 422, r
    assert {e["pointer"] for e in r.json()["errors"]} == {"#/concurrency", "#/rate"}
    assert patch(pair, "a%20b", {"paused": True}).status == 422


def test_if_match_and_settings_outlive_the_service(make_pair):
    pair = make_pair()
    r = patch(pair, "slow", {"concurrency": 7, "retry": {"max_attempts": 2, "base": "0.01s"}})
    assert r.status == 200, r
    etag = r.headers["ETag"]
    assert patch(pair, "slow", {"rate": 9}, {"If-Match": '"99"'}).status == 412
    assert patch(pair, "slow", {"rate": 9}, {"If-Match": etag}).status == 200
    pair.service.stop()
    pair.start_service()
    pair.wait_ready()
    q = queue(pair, "slow")
    assert (q["concurrency"], q["rate"], q["retry"]["max_attempts"]) == (7, 9, 2)
    assert q["retry"]["base"] == "0.010s"


def test_if_match(pair):
    """Strong comparison with any of a list; what names no version of it is 412, not 400."""
    etag = patch(pair, "matched", {"rate": 1}).headers["ETag"]
    for match in ('"99"', "W/" + etag, '"x"', "garbage", etag[:-1]):
        r = patch(pair, "matched", {"rate": 2}, {"If-Match": match})
        assert (r.status, r.json()["instance"]) == (412, "/v1/queues/matched"), (match, r)
    r = patch(pair, "matched", {"rate": 3}, {"If-Match": f'"99", "x,y" , {etag}'})
    assert r.status == 200, r
    assert patch(pair, "matched", {"rate": 4}, {"If-Match": "*"}).status == 200
    assert queue(pair, "matched")["rate"] == 4


def test_settings_that_no_task_may_have(pair):
    """Retry and callback of a queue keep the rules of a task's own."""
    for body, where in (({"retry": {"factor": 0.1}}, "#/retry/factor"), ({"retry": {"factor": "NaN"}}, "#/retry/factor"),
                        ({"retry": {"base": "-5s"}}, "#/retry/base"), ({"retry": {"cap": "-1s"}}, "#/retry/cap"),
                        ({"retry": {"base": "315576000000s"}}, "#/retry/base"),
                        ({"callback": {"url": "x"}}, "#/callback/url")):
        r = patch(pair, "ruled", body)
        assert (r.status, [e["pointer"] for e in r.json()["errors"]]) == (422, [where]), (body, r)
    assert pair.get("/v1/queues/ruled").status == 404  # nothing of it was set


def test_default_is_always_there(pair):
    assert queue(pair, "default")["name"] == "default"


def test_no_body_and_an_empty_one_are_the_same(pair):
    for body in (None, {}):
        assert pair.post("/v1/queues/test:resume", body).status == 200
    assert pair.post("/v1/queues/test:resume", {"x": 1}).status == 400


def test_the_command(pair):
    pair.wait_task(pair.submit("/test/task-echo", {}))  # queues that nobody has used are not listed
    assert "test" in [line.split()[0] for line in errand(pair, "queue", "list").splitlines()[1:]]
    q = json.loads(errand(pair, "queue", "set", "test", "concurrency=4", "retry.max_attempts=3"))
    assert (q["concurrency"], q["retry"]["max_attempts"]) == (4, 3)
    assert json.loads(errand(pair, "queue", "pause", "test"))["paused"] is True
    task_id = pair.submit("/test/task-echo", {})
    assert errand(pair, "queue", "purge", "--yes", "test") == "1 matching, 1 cancelled\n"
    assert pair.task(task_id)["state"] == "CANCELLED"
    assert json.loads(errand(pair, "queue", "resume", "test", "-j"))["paused"] is False
    errand(pair, "queue", "show", "nobody", status=4)
    errand(pair, "queue", "set", "test", status=64)
    errand(pair, "queue", "list", "x", status=64)
    errand(pair, "queue", "shwo", "x", status=64)
    errand(pair, "queue", "set", "test", "concurrency=none", status=65)


def test_a_full_queue_still_answers_a_replay(pair):
    assert patch(pair, "test", {"max_depth": 1, "paused": True}).status == 200
    first = pair.post("/test/task-echo", {}, headers={"Idempotency-Key": "full-1"})
    assert first.status == 202
    again = pair.post("/test/task-echo", {}, headers={"Idempotency-Key": "full-1"})
    assert (again.status, again.json()["id"]) == (202, first.json()["id"])
    assert again.headers["Idempotency-Replayed"] == "true"
    r = pair.post("/test/task-echo", {}, headers={"Idempotency-Key": "full-2"})
    assert r.status == 429 and "Retry-After" in r.headers
    assert patch(pair, "test", {"max_depth": 0, "paused": False}).status == 200
    assert pair.wait_task(first.json()["id"])["state"] == "SUCCEEDED"
