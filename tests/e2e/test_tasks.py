"""Tasks as resources, through the gateway."""

import time

from conftest import pid_gone, processes, wait_until


def test_accepted_at_once_then_done(pair):
    r = pair.post("/test/task-echo", {"text_value": "hello"})
    assert r.status == 202, r
    task = r.json()
    assert r.headers["Location"] == f"/v1/tasks/{task['id']}"
    assert "Retry-After" in r.headers
    assert task["method"] == "errandtest.v1.Test/TaskEcho" and task["queue"] == "test"
    done = pair.wait_task(task["id"])
    assert done["state"] == "SUCCEEDED" and done["attempt"] == 1
    assert done["input"]["text_value"] == "hello"
    assert done["result"]["text_value"] == "hello"
    assert done["create_time"] <= done["start_time"] <= done["end_time"]
    r = pair.get(f"/v1/tasks/{task['id']}/result")
    assert (r.status, r.json()["text_value"]) == (200, "hello")


def test_prefer_wait_answers_with_the_result(pair):
    r = pair.post("/test/task-echo", {"int32_value": 7}, headers={"Prefer": "wait=20"})
    assert r.status == 200, r
    assert r.json()["int32_value"] == 7
    assert r.headers["Preference-Applied"] == "wait=20"
    r = pair.post("/test/task-sleep", {"ms": 3000}, headers={"Prefer": "wait=1"})
    assert r.status == 202, r
    assert r.headers["Preference-Applied"] == "wait=1"


def test_prefer_respond_async_makes_a_task_of_any_method(pair):
    for path in ("/test/sync-echo", "/test/echo"):
        r = pair.post(path, {"text_value": "later"}, headers={"Prefer": "respond-async"})
        assert r.status == 202, r
        assert "respond-async" in r.headers["Preference-Applied"]
        done = pair.wait_task(r.json()["id"])
        assert done["state"] == "SUCCEEDED" and done["result"]["text_value"] == "later"


def test_etag_and_waiting_for_a_change(pair):
    task_id = pair.submit("/test/task-sleep", {"ms": 800})
    pair.wait_task(task_id, ("RUNNING",))
    r = pair.get(f"/v1/tasks/{task_id}", headers={"Prefer": "wait=30"})
    assert r.json()["state"] == "SUCCEEDED"
    etag = r.headers["ETag"]
    assert r.json()["etag"] == etag
    r = pair.get(f"/v1/tasks/{task_id}", headers={"If-None-Match": etag})
    assert (r.status, r.body) == (304, b"")


def test_unknown_and_shortened_ids(pair):
    assert pair.get("/v1/tasks/00000000-0000-7000-8000-000000000000").status == 404
    r = pair.get("/v1/tasks/nonsense")
    assert r.status in (400, 404, 422), r
    task_id = pair.submit("/test/task-echo", {})
    assert pair.get(f"/v1/tasks/{task_id[-8:]}").json()["id"] == task_id


def test_result_of_a_task_that_has_none(pair):
    task_id = pair.submit("/test/task-sleep", {"ms": 60000})
    r = pair.get(f"/v1/tasks/{task_id}/result")
    assert r.status == 404 and "Retry-After" in r.headers, r
    pair.post(f"/v1/tasks/{task_id}:cancel")
    pair.wait_task(task_id, ("CANCELLED",))
    assert pair.get(f"/v1/tasks/{task_id}/result").status == 424


def test_retried_until_it_succeeds(pair):
    task_id = pair.submit("/test/task-fail", {"code": 14, "times": 2})
    task = pair.wait_task(task_id)
    assert task["state"] == "SUCCEEDED" and task["attempt"] == 3, task
    assert [a["outcome"] for a in task["attempts"]] == ["ERROR", "ERROR", "OK"]
    states = [e.json()["state"] for e in pair.events(task_id) if e.event == "state"]
    assert states.count("RETRYING") == 2 and states[-1] == "SUCCEEDED", states
    lines = [l["text"] for l in pair.logs(task_id) if l["stream"] == "handler"]
    assert lines == ["attempt 1", "attempt 2", "attempt 3"]


def test_attempts_run_out(pair):
    task = pair.wait_task(pair.submit("/test/task-fail", {"code": 14, "times": 9}))
    assert (task["state"], task["attempt"]) == ("FAILED", 3)
    assert task["error"]["code"] == "UNAVAILABLE"
    assert "attempt 3 fails" in task["error"]["detail"]


def test_final_errors_are_not_retried(pair):
    for body in ({"code": 14, "times": 9, "final": True}, {"code": 9, "times": 9}):
        task = pair.wait_task(pair.submit("/test/task-fail", body))
        assert (task["state"], task["attempt"]) == ("FAILED", 1), task


def test_one_problem_everywhere(pair):
    """TASKS.md 15: GET, result and events show the same object."""
    task_id = pair.submit("/test/task-fail", {"code": 9, "times": 9})
    error = pair.wait_task(task_id)["error"]
    assert pair.get(f"/v1/tasks/{task_id}/result").json()["detail"] == error["detail"]
    last = [e for e in pair.events(task_id) if e.event == "state"][-1].json()
    assert last["state"] == "FAILED" and last["error"] == error


def test_retry_by_hand(pair):
    task_id = pair.submit("/test/task-fail", {"code": 9, "times": 1})
    pair.wait_task(task_id)
    assert pair.post(f"/v1/tasks/{task_id}:retry").status == 200
    task = pair.wait_task(task_id, ("SUCCEEDED",))
    assert task["attempt"] == 2
    assert pair.post(f"/v1/tasks/{task_id}:retry").status in (200, 409)


def test_attempt_timeout(pair):
    task = pair.wait_task(pair.submit("/test/task-hurry", {"ms": 60000}))
    assert task["state"] == "FAILED" and task["attempt"] == 2, task
    assert [a["outcome"] for a in task["attempts"]] == ["TIMEOUT", "TIMEOUT"]


def test_events_resume_by_last_event_id(pair):
    task_id = pair.submit("/test/task-sleep", {"ms": 300})
    events = list(pair.events(task_id))
    ids = [int(e.id) for e in events]
    assert ids == sorted(set(ids))
    assert events[-1].event in ("state", "result")
    middle = ids[len(ids) // 2]
    rest = list(pair.events(task_id, headers={"Last-Event-ID": str(middle)}))
    assert [int(e.id) for e in rest] == [i for i in ids if i > middle]
    r = pair.get(f"/v1/tasks/{task_id}/events",
                 headers={"Last-Event-ID": str(ids[-1]), "Accept": "text/event-stream"})
    assert r.status == 204, r
    assert pair.logs(task_id) == []  # no lines, but not an EventSource either
    for accept, body in (("application/x-ndjson", b'{"@end":{}}\n'), ("application/json", b"[]")):
        r = pair.get(f"/v1/tasks/{task_id}/events?after_seq={ids[-1]}", headers={"Accept": accept})
        assert (r.status, r.body.strip()) == (200, body.strip()), r


def test_list_pages_and_filters(make_pair):
    pair = make_pair()
    ids = [pair.submit("/test/task-echo", {}) for _ in range(7)]
    other = pair.submit("/test/task-fail", {"code": 9, "times": 1})
    for i in ids + [other]:
        pair.wait_task(i)
    seen, token = [], ""
    while True:
        page = pair.get(f"/v1/tasks?page_size=3&page_token={token}").json()
        assert len(page["tasks"]) <= 3
        seen += [t["id"] for t in page["tasks"]]
        token = page.get("next_page_token", "")
        if not token:
            break
    # Newest first, by id: within one millisecond their order is by chance.
    assert seen == sorted(ids + [other], reverse=True)
    def listed(query):
        return [t["id"] for t in pair.get(f"/v1/tasks?{query}").json()["tasks"]]
    assert listed("state=FAILED") == [other]
    assert listed("method=errandtest.v1.Test/TaskFail") == [other]
    assert listed("queue=encode") == []
    assert set(listed("queue=test&state=SUCCEEDED")) == set(ids)


def test_delete_forgets_what_has_ended(pair):
    task_id = pair.submit("/test/task-sleep", {"ms": 60000})
    assert pair.request("DELETE", f"/v1/tasks/{task_id}").status == 409
    pair.post(f"/v1/tasks/{task_id}:cancel")
    pair.wait_task(task_id)
    assert pair.request("DELETE", f"/v1/tasks/{task_id}").status in (200, 204)
    assert pair.get(f"/v1/tasks/{task_id}").status in (404, 410)


def test_program_output_is_the_log(pair):
    task_id = pair.submit("/test/task-run", {"argv": ["sh", "-c", "echo out; echo err >&2; exit 3"]})
    task = pair.wait_task(task_id)
    assert task["result"]["status"] == 3 and task["result"]["tail"] == "err\n"
    assert {(l["stream"], l["text"]) for l in pair.logs(task_id)} >= {("stdout", "out"), ("stderr", "err")}


def test_program_that_fails(pair):
    task = pair.wait_task(pair.submit("/test/task-run", {
        "argv": ["sh", "-c", "echo the cause >&2; exit 3"], "fail": True}))
    assert task["state"] == "FAILED" and "the cause" in task["error"]["detail"], task
    assert task["attempts"][0]["outcome"] == "EXIT" and task["attempts"][0]["exit_status"] == 3
    task = pair.wait_task(pair.submit("/test/task-run", {"argv": ["no-such-program"], "fail": True}))
    assert (task["state"], task["error"]["code"]) == ("FAILED", "NOT_FOUND")


def test_flood_is_drained_and_capped(pair):
    """FAULTS 23: more than the log holds, on both pipes at once."""
    task_id = pair.submit("/test/task-run", {"argv": [
        "sh", "-c", "yes out | head -c 8000000 & yes err | head -c 8000000 >&2; wait"]})
    task = pair.wait_task(task_id, ("SUCCEEDED",), 120)
    assert task["result"]["status"] == 0
    lines = pair.logs(task_id)
    assert sum(len(l["text"]) for l in lines) < 8000000
    assert any(l["stream"] == "errand" and "dropped" in l["text"] for l in lines)


def test_child_has_only_what_it_was_given(pair):
    """FAULTS 31."""
    task = pair.wait_task(pair.submit("/test/task-run", {
        "argv": ["sh", "-c", "exec >&2; for f in /proc/$$/fd/*; do [ -e $f ] && echo ${f##*/};"
                             "done; env | cut -d= -f1 | sort"]}))
    assert task["result"]["tail"].split() == ["0", "1", "2", "ERRAND_REQUEST_ID", "ERRAND_TASK_ID",
                                            "HOME", "LANG", "PATH", "PWD", "TMPDIR", "TRACEPARENT"]


def test_handler_log_is_capped_honestly(pair):
    task_id = pair.submit("/test/task-log", {"lines": 3000, "size": 1000})
    pair.wait_task(task_id, ("SUCCEEDED",))
    lines = pair.logs(task_id)
    assert lines[0]["text"].startswith("0 x")
    assert any(l["stream"] == "errand" and "dropped" in l["text"] for l in lines)


def test_watchdog_names_a_handler_that_holds_the_loop(pair):
    assert pair.post("/test/stuck", {"ms": 700}).status == 200
    pair.service.wait_line(r"errandtest\.v1\.Test/Stuck")


def test_streams(pair):
    r = pair.get("/test/stream?count=3&size=2", headers={"Accept": "application/x-ndjson"})
    assert r.status == 200
    assert len(r.body.splitlines()) >= 3
    r = pair.get("/test/stream?count=3&size=2", headers={"Accept": "application/json"})
    assert [c["index"] for c in r.json()][:3] == [0, 1, 2]
    r = pair.get("/test/stream?count=1&fail_code=9", headers={"Accept": "text/event-stream"})
    assert b"FAILED_PRECONDITION" in r.body


def test_broken_rules_are_named(pair):
    r = pair.post("/test/twice")
    assert (r.status, r.json()["message"]) == (200, "first")
    pair.service.wait_line(r"errandtest\.v1\.Test/Twice")
    r = pair.post("/test/no-answer")
    assert (r.status, r.json()["code"]) == (500, "INTERNAL"), r


def test_memory_store(make_pair):
    pair = make_pair(store="memory")
    task = pair.wait_task(pair.submit("/test/task-echo", {"text_value": "m"}))
    assert task["result"]["text_value"] == "m"


def test_drain_finishes_or_hands_back(make_pair):
    """TASKS.md 14: what outlasts the drain is INTERRUPTED and runs again, not counted."""
    pair = make_pair(service_args=["--drain-timeout", "1s"])
    short = pair.submit("/test/task-sleep", {"ms": 400})
    long = pair.submit("/test/task-run", {"argv": ["sh", "-c", f"echo {pair.dir}; exec sleep 1000"]})
    pair.wait_task(long, ("RUNNING",))
    pair.wait_task(short, ("RUNNING", "SUCCEEDED"))
    begin = time.monotonic()
    pair.service.stop()
    assert time.monotonic() - begin < 15
    pair.start_service()
    pair.wait_ready()
    assert pair.wait_task(short)["attempt"] == 1
    task = pair.wait_task(long, ("RUNNING",))
    assert task["attempts"][0]["outcome"] == "INTERRUPTED", task
    pair.post(f"/v1/tasks/{long}:cancel")
    pair.wait_task(long, ("CANCELLED",))
