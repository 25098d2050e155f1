"""Tasks as HTTP resources: each row of the contract's table, success and errors."""

import threading
import time

from conftest import in_threads, wait_until

ECHO = "errandtest.v1.Test/TaskEcho"
SLEEP = "errandtest.v1.Test/TaskSleep"
CHECKED = "errandtest.v1.Test/TaskChecked"
LONG = {"method": SLEEP, "input": {"ms": 60000}}
NOBODY = "01936b2c-0000-7000-8000-000000000000"


def create(pair, **task):
    r = pair.post("/v1/tasks", task)
    assert r.status == 201, r
    return r.json()


def scheduled(pair, **more):
    """A task that waits: nobody touches it but the test."""
    return create(pair, method=ECHO, input={}, delay="3600s", **more)


def pointers(r):
    return sorted(e["pointer"] for e in r.json()["errors"])


def patch(pair, task, body, match):
    headers = {"If-Match": match} if match else {}
    return pair.request("PATCH", f"/v1/tasks/{task['id']}", body, headers)


# --- POST /v1/tasks ---

def test_create(pair):
    r = pair.post("/v1/tasks", {"method": ECHO, "input": {"text_value": "hi", "int64_value": "9007199254740993"},
                                "queue": "other", "priority": 7, "labels": {"customer": "x"}})
    assert r.status == 201, r
    task = r.json()
    assert r.headers["Location"] == f"/v1/tasks/{task['id']}"
    assert r.headers["ETag"] == task["etag"]
    assert r.headers["Cache-Control"] == "no-store"
    assert (task["method"], task["queue"], task["priority"]) == (ECHO, "other", 7)
    assert task["labels"] == {"customer": "x"}
    done = pair.wait_task(task["id"], ("SUCCEEDED",))
    assert done["input"]["text_value"] == done["result"]["text_value"] == "hi"
    assert done["result"]["int64_value"] == "9007199254740993"


def test_create_any_method(pair):
    """Also one that is no durable method, and one without input."""
    for method in ("errandtest.v1.Test/Echo", "errandtest.v1.Test/SyncEcho"):
        task = create(pair, method=method)
        assert pair.wait_task(task["id"])["state"] == "SUCCEEDED"
    task = create(pair, method=ECHO, input=None)
    assert pair.wait_task(task["id"])["state"] == "SUCCEEDED"


def test_create_unknown_method(pair):
    r = pair.post("/v1/tasks", {"method": "no.such.Service/Method", "input": {}})
    assert (r.status, r.json()["code"]) == (404, "NOT_FOUND"), r
    assert r.headers["Content-Type"] == "application/problem+json"


def test_create_methods_that_cannot_be_tasks(pair):
    for method in ("", "errandtest.v1.Test/Stream", "errand.v1.Tasks/GetTask"):
        r = pair.post("/v1/tasks", {"method": method})
        assert (r.status, pointers(r)) == (422, ["#/method"]), r


def test_create_tells_all_faults_at_once(pair):
    """Of the input by its own schema and rules, and of the options."""
    r = pair.post("/v1/tasks", {"method": CHECKED, "input": {"name": "A", "size": 11, "inner": {"mail": "x"}},
                                "queue": "no queue", "delay": "-1s", "priority": 2000000000})
    assert r.status == 422, r
    assert pointers(r) == ["#/delay", "#/input/inner/mail", "#/input/name", "#/input/name", "#/input/size",
                           "#/priority", "#/queue"]
    r = pair.post("/v1/tasks", {"method": ECHO, "input": {"int32_value": "x", "nope": 1, "inner": {"weight": []}},
                                "run_at": "2030-01-01T00:00:00Z", "delay": "1s"})
    assert r.status == 422, r
    assert pointers(r) == ["#/delay", "#/input/inner/weight", "#/input/int32_value", "#/input/nope"]


def test_create_malformed(pair):
    """What is no JSON, also deep in the input, is 400; keys that come twice as well."""
    for body in ('{"method":"%s","input":{"text_value":}}' % ECHO, '{"method":"%s","input":[1' % ECHO,
                 '{"method":"%s","input":{"any_object":{"a":1,"a":2}}}' % ECHO,
                 '{"method":"%s","input":{"text_value":"a","textValue":"b"}}' % ECHO,
                 '{"method":"%s","input":%s}' % (ECHO, "[" * 70 + "]" * 70)):
        r = pair.post("/v1/tasks", body)
        assert r.status == 400, (body, r)
    r = pair.post("/v1/tasks", {"method": ECHO, "inputs": {}})
    assert (r.status, pointers(r)) == (422, ["#/inputs"]), r
    assert pair.request("POST", "/v1/tasks", "x", {"Content-Type": "text/plain"}).status == 415


def test_create_queue_full(make_pair):
    pair = make_pair(service_args=["--slots", "1", "--max-depth", "2", "--drain-timeout", "100ms"])
    first = create(pair, **LONG)
    pair.wait_task(first["id"], ("RUNNING",))
    answers = [pair.post("/v1/tasks", LONG) for _ in range(4)]
    assert [r.status for r in answers] == [201, 201, 429, 429], answers
    assert answers[-1].json()["code"] == "RESOURCE_EXHAUSTED" and int(answers[-1].headers["Retry-After"]) >= 1
    r = pair.post("/test/task-sleep", {"ms": 60000})
    assert r.status == 429 and int(r.headers["Retry-After"]) >= 1, r
    for r in (answers[-1], r):
        assert r.headers["RateLimit"] == '"depth";r=0;t=1', r
        assert r.headers["RateLimit-Policy"] == '"depth";q=2;qu="tasks"', r
    assert "RateLimit" not in answers[0].headers
    r = pair.post("/v1/tasks:batchCreate", {"requests": [LONG]})
    assert (r.status, r.json()["results"][0]["problem"]["status"]) == (200, 429), r


def test_create_unique(pair):
    task = scheduled(pair, unique_key="only")
    r = pair.post("/v1/tasks", {"method": ECHO, "unique_key": "only"})
    assert (r.status, r.json()["code"]) == (409, "ALREADY_EXISTS"), r
    assert task["id"] in r.json()["detail"]
    r = pair.post("/v1/tasks", {"method": ECHO, "unique_key": "only", "on_conflict": "USE_EXISTING"})
    assert (r.status, r.json()["id"]) == (200, task["id"]), r
    pair.post(f"/v1/tasks/{task['id']}:cancel")


def test_create_after_nobody(pair):
    r = pair.post("/v1/tasks", {"method": ECHO, "after": [NOBODY]})
    assert r.status == 422 and pointers(r)[0].startswith("#/after"), r


def test_native_input(pair):
    """A client of protobuf's own gives the message itself. 19, 11: the Any's bytes."""
    def field(number, data):
        return bytes([number << 3 & 0x7f | 2 | (0x80 if number > 15 else 0)]) + \
            (bytes([number >> 4]) if number > 15 else b"") + bytes([len(data)]) + data
    message = field(14, b"wire")
    any_ = field(1, b"type.googleapis.com/errandtest.v1.EchoMessage") + field(2, message)
    for body, status in ((field(31, ECHO.encode()) + field(32, any_), 201),
                         (field(31, SLEEP.encode()) + field(32, any_), 422)):
        r = pair.request("POST", "/v1/tasks", body, {"Content-Type": "application/x-protobuf"})
        assert r.status == status, r
        if status == 201:
            assert pair.wait_task(r.json()["id"])["result"]["text_value"] == "wire"


def test_create_faults_name_the_request_and_its_place(pair):
    r = pair.post("/v1/tasks", {"method": ECHO, "labels": {"a/b": "x" * 2000}})
    assert (r.status, pointers(r), r.json()["instance"]) == (422, ["#/labels/a~1b"], "/v1/tasks"), r


def test_a_failed_tasks_problem_stays_what_it_is(pair):
    """Only the status of /result is HTTP's own."""
    task = scheduled(pair)
    pair.post(f"/v1/tasks/{task['id']}:cancel")
    error = pair.task(task["id"])["error"]
    r = pair.get(f"/v1/tasks/{task['id']}/result")
    assert r.status == r.json()["status"] == 424, r
    assert {**r.json(), "status": error["status"]} == {k: v for k, v in error.items() if v not in ("", [])}


# --- Idempotency-Key ---

def test_key_gives_the_same_task(pair):
    body = {"method": ECHO, "input": {"text_value": "once"}, "labels": {"a": "b"}}
    first = pair.post("/v1/tasks", body, headers={"Idempotency-Key": '"create-1"'})
    assert first.status == 201 and "Idempotency-Replayed" not in first.headers, first
    again = pair.post("/v1/tasks", body, headers={"Idempotency-Key": "create-1"})
    assert again.status == 201 and again.headers["Idempotency-Replayed"] == "true", again
    assert again.json()["id"] == first.json()["id"]
    assert again.headers["Location"] == first.headers["Location"]
    for other in (dict(body, input={"text_value": "twice"}), dict(body, labels={}), dict(body, method=SLEEP, input={})):
        r = pair.post("/v1/tasks", other, headers={"Idempotency-Key": "create-1"})
        assert (r.status, r.json()["errors"][0]["header"]) == (422, "Idempotency-Key"), r


def test_key_of_a_durable_method(pair):
    for headers, path, status in (({}, "/test/task-echo", 202), ({"Prefer": "respond-async"}, "/test/echo", 202),
                                  ({"Prefer": "wait=20"}, "/test/task-echo", 200)):
        headers = dict(headers, **{"Idempotency-Key": f"durable-{path}-{status}"})
        first = pair.post(path, {"text_value": "once"}, headers=headers)
        again = pair.post(path, {"text_value": "once"}, headers=headers)
        assert (first.status, again.status) == (status, status), (first, again)
        assert "Idempotency-Replayed" not in first.headers
        assert again.headers["Idempotency-Replayed"] == "true"
        if status == 202:
            assert again.json()["id"] == first.json()["id"]
        r = pair.post(path, {"text_value": "other"}, headers=headers)
        assert (r.status, r.json()["errors"][0]["header"]) == (422, "Idempotency-Key"), r


def test_bad_key(pair):
    for key in ('""', '"open', "two words", "k" * 256, '"a", "b"'):
        r = pair.post("/v1/tasks", {"method": ECHO}, headers={"Idempotency-Key": key})
        assert (r.status, r.json()["errors"][0]["header"]) == (400, "Idempotency-Key"), (key, r)
    assert pair.post("/v1/tasks", {"method": ECHO}, headers={"Idempotency-Key": "k" * 255}).status == 201


def test_key_in_parallel_across_a_restart(make_pair):
    """FAULTS 21: 100 at once, the service killed among them: one task."""
    pair = make_pair(gateway_args=["--reconnect-wait", "20s"])
    answered = threading.Event()

    def post(_):
        while True:
            r = pair.post("/v1/tasks", {"method": ECHO, "input": {"text_value": "x"}},
                          headers={"Idempotency-Key": "parallel"})
            if r.status not in (502, 503):
                answered.set()
                return r

    def work(i):
        if i == 50:
            assert answered.wait(20)
            pair.service.kill()
            pair.start_service()
            return None
        return post(i)
    answers = [r for r in in_threads(101, work) if r is not None]
    answers += in_threads(20, post)
    assert {r.status for r in answers} == {201}, answers
    assert len({r.json()["id"] for r in answers}) == 1
    assert sum("Idempotency-Replayed" not in r.headers for r in answers) <= 1
    assert len(pair.get("/v1/tasks").json()["tasks"]) == 1


# --- POST /v1/tasks:batchCreate ---

def test_batch(pair):
    items = [{"method": ECHO, "input": {"int32_value": i}} for i in range(5)]
    items[1] = {"method": "no.such/Method"}
    items[3] = {"method": CHECKED, "input": {"name": "A"}, "queue": "no queue"}
    headers = {"Idempotency-Key": "batch-1"}
    r = pair.post("/v1/tasks:batchCreate", {"requests": items}, headers=headers)
    assert r.status == 200, r
    results = r.json()["results"]
    assert [sorted(x) for x in results] == [["task"], ["problem"], ["task"], ["problem"], ["task"]]
    assert (results[1]["problem"]["status"], results[3]["problem"]["status"]) == (404, 422)
    assert {e["pointer"] for e in results[3]["problem"]["errors"]} == {"#/input/name", "#/queue"}
    for i in (0, 2, 4):
        assert pair.wait_task(results[i]["task"]["id"])["result"]["int32_value"] == i
    good = [items[i] for i in (0, 0, 2)]
    first = pair.post("/v1/tasks:batchCreate", {"requests": good}, headers={"Idempotency-Key": "batch-2"})
    again = pair.post("/v1/tasks:batchCreate", {"requests": good}, headers={"Idempotency-Key": "batch-2"})
    def ids(r):
        return [x["task"]["id"] for x in r.json()["results"]]
    assert len(set(ids(first))) == 3 and ids(again) == ids(first)
    assert again.headers["Idempotency-Replayed"] == "true" and "Idempotency-Replayed" not in first.headers


def test_batch_too_large(pair):
    item = {"method": ECHO}
    r = pair.post("/v1/tasks:batchCreate", {"requests": [item] * 1001})
    assert r.status == 413 and "1000" in r.json()["detail"], r
    r = pair.post("/v1/tasks:batchCreate", {"requests": []})
    assert (r.status, r.json()["results"]) == (200, []), r


# --- GET ---

def test_get(pair):
    task = create(pair, **LONG)
    r = pair.get(f"/v1/tasks/{task['id']}")
    assert r.status == 200 and r.headers["Cache-Control"] == "no-store" and int(r.headers["Retry-After"]) > 0, r
    assert r.headers["ETag"] == r.json()["etag"]
    pair.post(f"/v1/tasks/{task['id']}:cancel")
    pair.wait_task(task["id"], ("CANCELLED",))
    assert "Retry-After" not in pair.get(f"/v1/tasks/{task['id']}").headers
    task = scheduled(pair)
    etag = pair.get(f"/v1/tasks/{task['id']}").headers["ETag"]
    begin = time.monotonic()
    r = pair.get(f"/v1/tasks/{task['id']}", headers={"If-None-Match": etag, "Prefer": "wait=1"})
    assert r.status == 304 and time.monotonic() - begin > 0.9, r
    pair.post(f"/v1/tasks/{task['id']}:cancel")
    r = pair.get(f"/v1/tasks/{task['id']}", headers={"If-None-Match": etag, "Prefer": "wait=20"})
    assert r.status == 200 and r.headers["ETag"] != etag, r


def test_get_unknown_and_forgotten(pair):
    r = pair.get(f"/v1/tasks/{NOBODY}")
    assert (r.status, r.json()["code"]) == (404, "NOT_FOUND"), r
    task = create(pair, method=ECHO, result_ttl="0.3s")
    pair.wait_task(task["id"])
    r = wait_until(lambda: (lambda r: r if r.status != 200 else None)(pair.get(f"/v1/tasks/{task['id']}")),
                   20, "the task is forgotten")
    assert r.status == 410, r
    for path in ("/result", "/attempts"):
        assert pair.get(f"/v1/tasks/{task['id']}{path}").status == 410
    assert pair.post(f"/v1/tasks/{task['id']}:retry").status == 410


def test_the_service_says_how_long_ended_tasks_are_kept(make_pair):
    pair = make_pair(service_args=["--result-ttl", "1s"])
    task = create(pair, method=ECHO)
    pair.wait_task(task["id"])
    wait_until(lambda: pair.get(f"/v1/tasks/{task['id']}").status == 410, 20, "the task is forgotten")


def test_a_total_time_that_ends_before_run_at(pair):
    task = create(pair, method=ECHO, run_at="2100-01-01T00:00:00Z", total_timeout="0.3s")
    done = pair.wait_task(task["id"], ("EXPIRED",), timeout=20)
    assert done["reason"] == "deadline" and done["error"]["code"] == "DEADLINE_EXCEEDED", done


def test_list_pages_have_links(pair):
    tasks = [scheduled(pair, queue="links")["id"] for _ in range(5)]
    path, seen = "/v1/tasks?queue=links&page_size=2", []
    while path:
        r = pair.get(path)
        assert r.status == 200, r
        seen += [t["id"] for t in r.json()["tasks"]]
        link = r.headers["Link"]
        assert (link is None) == (not r.json()["next_page_token"])
        if link is None:
            break
        target, _, rel = link.partition(">")
        assert rel == '; rel="next"' and target.startswith("</v1/tasks?queue=links&page_size=2&page_token="), link
        path = target[1:]
    assert seen == sorted(tasks, reverse=True)


# --- POST /v1/tasks/{id}:VERB ---

def test_cancel(pair):
    task = create(pair, **LONG)
    pair.wait_task(task["id"], ("RUNNING",))
    r = pair.post(f"/v1/tasks/{task['id']}:cancel")
    assert (r.status, r.json()["state"]) == (202, "CANCELLING"), r
    pair.wait_task(task["id"], ("CANCELLED",))
    r = pair.post(f"/v1/tasks/{task['id']}:cancel")
    assert (r.status, r.json()["state"]) == (200, "CANCELLED"), r
    task = scheduled(pair)
    assert pair.post(f"/v1/tasks/{task['id']}:cancel").json()["state"] == "CANCELLED"


def test_hold_and_release(pair):
    task = create(pair, method=ECHO, delay="0.2s")
    r = pair.post(f"/v1/tasks/{task['id']}:hold")
    assert (r.status, r.json()["state"]) == (200, "HELD"), r
    assert r.headers["ETag"] != task["etag"]
    time.sleep(0.4)
    assert pair.task(task["id"])["state"] == "HELD"
    assert pair.post(f"/v1/tasks/{task['id']}:hold").status == 200
    assert pair.post(f"/v1/tasks/{task['id']}:release").status == 200
    assert pair.wait_task(task["id"])["state"] == "SUCCEEDED"


def test_run_now(pair):
    task = scheduled(pair)
    assert task["state"] == "SCHEDULED"
    r = pair.post(f"/v1/tasks/{task['id']}:runNow")
    assert r.status == 200, r
    assert pair.wait_task(task["id"])["state"] == "SUCCEEDED"


def test_verbs_that_the_state_does_not_allow(pair):
    ended = create(pair, method=ECHO)
    pair.wait_task(ended["id"])
    live = scheduled(pair)
    for task, verbs in ((ended, ("hold", "release", "runNow")), (live, ("retry", "release"))):
        for verb in verbs:
            r = pair.post(f"/v1/tasks/{task['id']}:{verb}")
            assert (r.status, r.json()["code"]) == (409, "FAILED_PRECONDITION"), (verb, r)
    for verb in ("cancel", "retry", "hold", "release", "runNow"):
        assert pair.post(f"/v1/tasks/{NOBODY}:{verb}").status == 404
    assert pair.post(f"/v1/tasks/{live['id']}:explode").status in (404, 405)
    assert pair.post(f"/v1/tasks/{ended['id']}:retry").status == 200
    assert pair.wait_task(ended["id"])["attempt"] == 2


# --- PATCH ---

def test_patch(pair):
    task = scheduled(pair, labels={"keep": "1", "change": "1", "drop": "1"}, priority=1)
    r = patch(pair, task, {"priority": 5, "labels": {"change": "2", "drop": None, "new": "3"}}, task["etag"])
    assert r.status == 200, r
    changed = r.json()
    assert changed["priority"] == 5 and changed["labels"] == {"keep": "1", "change": "2", "new": "3"}
    assert changed["etag"] != task["etag"] and r.headers["ETag"] == changed["etag"]
    assert pair.task(task["id"])["labels"] == changed["labels"]
    r = patch(pair, task, {"priority": 0}, changed["etag"])
    assert (r.status, r.json()["priority"]) == (200, 0), r
    assert r.json()["labels"] == changed["labels"]
    r = patch(pair, task, {}, "*")
    assert (r.status, r.json()["etag"]) == (200, patch(pair, task, {}, "*").json()["etag"])


def test_patch_preconditions(pair):
    task = scheduled(pair)
    r = patch(pair, task, {"priority": 1}, None)
    assert (r.status, r.json()["title"]) == (428, "Precondition Required"), r
    for match in ('"999"', 'W/' + task["etag"], '"x"', "1", '"x" ' + task["etag"][:-1]):
        r = patch(pair, task, {"priority": 1}, match)
        assert (r.status, r.json()["instance"]) == (412, f"/v1/tasks/{task['id']}"), (match, r)
    assert patch(pair, task, {"priority": 1}, f'"999", {task["etag"]}').status == 200
    assert patch(pair, task, {"priority": 2}, task["etag"]).status == 412
    assert patch(pair, task, {"priority": 2}, "*").status == 200
    assert patch(pair, {"id": NOBODY}, {"priority": 2}, "*").status == 404


def act(pair, task, verb, match):
    path = f"/v1/tasks/{task['id']}"
    headers = {"If-Match": match}
    if verb == "DELETE":
        return pair.request("DELETE", path, headers=headers)
    return pair.request("POST", f"{path}:{verb}", headers=headers)


def test_if_match_of_other_changes(pair):
    """Nothing is done to a task that is not as it was seen; without If-Match it is."""
    task = scheduled(pair)
    for verb in ("hold", "runNow", "cancel", "release", "retry", "DELETE"):
        r = act(pair, task, verb, '"999"')
        assert (r.status, r.json()["code"]) == (412, "FAILED_PRECONDITION"), (verb, r)
    assert pair.task(task["id"])["etag"] == task["etag"]
    held = act(pair, task, "hold", f'"999", {task["etag"]}')
    assert (held.status, held.json()["state"]) == (200, "HELD"), held
    assert act(pair, task, "release", task["etag"]).status == 412
    assert act(pair, task, "release", held.json()["etag"]).status == 200
    assert act(pair, task, "cancel", "*").status == 200
    gone = pair.task(task["id"])
    assert act(pair, task, "DELETE", held.json()["etag"]).status == 412
    assert act(pair, task, "DELETE", gone["etag"]).status == 204


def test_patch_of_one_that_does_not_wait(pair):
    task = create(pair, method=ECHO)
    pair.wait_task(task["id"])
    for body in ({"priority": 1}, {"run_at": "2100-01-01T00:00:00Z"}):
        r = patch(pair, task, body, "*")
        assert (r.status, r.json()["code"]) == (409, "FAILED_PRECONDITION"), r
    r = patch(pair, task, {"labels": {"seen": "yes"}}, "*")
    assert (r.status, r.json()["labels"]) == (200, {"seen": "yes"}), r


def test_patch_run_at(pair):
    task = scheduled(pair)
    r = patch(pair, task, {"run_at": "2000-01-01T00:00:00Z"}, "*")
    assert r.status == 200, r
    assert pair.wait_task(task["id"])["state"] == "SUCCEEDED"


def test_patch_faults(pair):
    task = scheduled(pair)
    for body, where in (({"priority": "x"}, ["#/priority"]), ({"state": "RUNNING"}, ["#/state"]),
                        ({"priority": 2000000000, "labels": {"a b": "x", "n": 1}},
                         ["#/labels/a%20b", "#/labels/n", "#/priority"]),
                        ({"labels": {"a/b~c": 1}}, ["#/labels/a~1b~0c"])):
        r = patch(pair, task, body, "*")
        assert (r.status, pointers(r)) == (422, where), r
    assert pair.task(task["id"])["etag"] == task["etag"]


def test_patch_in_parallel(pair):
    """Labels of all who patch whatever is there are there in the end."""
    task = scheduled(pair)
    in_threads(8, lambda i: patch(pair, task, {"labels": {f"k{i}": str(i)}}, "*"))
    seen = pair.task(task["id"])["labels"]
    assert seen == {f"k{i}": str(i) for i in range(8)}, seen


# --- DELETE ---

def test_delete(pair):
    task = scheduled(pair)
    r = pair.request("DELETE", f"/v1/tasks/{task['id']}")
    assert r.status == 409, r
    pair.post(f"/v1/tasks/{task['id']}:cancel")
    r = pair.request("DELETE", f"/v1/tasks/{task['id']}")
    assert (r.status, r.body) == (204, b""), r
    assert pair.get(f"/v1/tasks/{task['id']}").status in (404, 410)
    assert pair.request("DELETE", f"/v1/tasks/{NOBODY}").status == 404


# --- bulk ---

def test_bulk_cancel_and_retry(make_pair):
    pair = make_pair()
    ids = [scheduled(pair, queue="bulk" if i % 2 else "other", labels={"n": str(i)})["id"] for i in range(20)]
    r = pair.post("/v1/tasks:cancel", {"filter": 'queue = "bulk"', "dry_run": True})
    assert r.status == 200, r
    assert (r.json()["matched"], r.json()["changed"], r.json()["complete"]) == ("10", "10", True)
    assert sorted(r.json()["ids"]) == sorted(ids[1::2])
    assert {pair.task(i)["state"] for i in ids} == {"SCHEDULED"}
    r = pair.post("/v1/tasks:cancel", {"filter": 'queue = "bulk"'})
    assert (r.json()["matched"], r.json()["changed"]) == ("10", "10"), r
    assert [pair.task(i)["state"] for i in ids] == ["SCHEDULED", "CANCELLED"] * 10
    r = pair.post("/v1/tasks:cancel", {"filter": "queue = bulk OR queue = other"})
    assert (r.json()["matched"], r.json()["changed"]) == ("20", "10"), r
    r = pair.post("/v1/tasks:retry", {"filter": 'labels.n = "3"'})
    assert (r.json()["matched"], r.json()["ids"]) == ("1", [ids[3]]), r
    assert pair.wait_task(ids[3], ("SUCCEEDED",))


def test_bulk_over_pages(make_pair):
    pair = make_pair(store="memory")
    for _ in range(3):
        r = pair.post("/v1/tasks:batchCreate", {"requests": [{"method": ECHO, "delay": "3600s"}] * 400})
        assert r.status == 200, r
    r = pair.post("/v1/tasks:cancel", {"filter": "state = SCHEDULED"})
    assert (r.json()["matched"], r.json()["changed"], r.json()["complete"]) == ("1200", "1200", True), r
    assert len(r.json()["ids"]) == 100


def test_bulk_needs_a_filter(pair):
    for verb in ("cancel", "retry"):
        for bad in ("", "  ", "state = ", "nope = 1"):
            r = pair.post(f"/v1/tasks:{verb}", {"filter": bad})
            assert (r.status, pointers(r)) == (422, ["#/filter"]), (bad, r)


# --- around ---

def test_server(pair):
    r = pair.get("/v1/server")
    assert r.status == 200 and r.headers["Cache-Control"] == "no-store", r
    server = r.json()
    assert server["version"] and server["pid"] == pair.service.pid
    assert server["store"]["kind"] == "sqlite" and server["store"]["ok"] is True
    assert float(server["uptime"].rstrip("s")) > 0 and server["draining"] is False


def test_traceparent_is_stored(pair):
    """The task's handler is given it; here it is enough that it is accepted and kept."""
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    r = pair.post("/v1/tasks", {"method": ECHO}, headers={"traceparent": trace})
    assert r.status == 201, r


def test_cors_knows_the_headers(make_pair):
    pair = make_pair(gateway_args=["--cors-origin", "https://app.example"])
    r = pair.request("OPTIONS", "/v1/tasks", headers={
        "Origin": "https://app.example", "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "idempotency-key, if-match"})
    assert r.headers["Access-Control-Allow-Headers"] == "idempotency-key, if-match", r
    r = pair.get("/v1/tasks", headers={"Origin": "https://app.example"})
    for name in ("Link", "Location", "ETag", "Retry-After", "Idempotency-Replayed"):
        assert name in r.headers["Access-Control-Expose-Headers"]
