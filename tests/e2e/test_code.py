"""What handlers do with tasks: checkpoints, progress with a detail, faults of their input,
tasks they make, tasks that come after others."""

import time

import pytest

from conftest import in_threads, wait_until

TOUCH = "errandtest.v1.Test/TaskTouch"
SLEEP = "errandtest.v1.Test/TaskSleep"
JOIN = "errandtest.v1.Test/TaskJoin"
FAIL = "errandtest.v1.Test/TaskFail"


def create(p, method, input=None, **options):
    r = p.post("/v1/tasks", {"method": method, "input": input or {}, **options})
    assert r.status == 201, r
    return r.json()["id"]


def effects(p):
    try:
        with open(p.path("effects.log")) as f:
            return [line.split()[0] for line in f]
    except FileNotFoundError:
        return []


# --- checkpoints and progress ---


def test_an_attempt_goes_on_where_the_last_one_was_killed(make_pair):
    p = make_pair()
    task_id = p.submit("/test/task-steps", {"steps": 6, "crash_at": 4})
    wait_until(lambda: not p.service.alive(), what="the handler's abort")
    p.start_service()
    task = p.wait_task(task_id)
    assert task["state"] == "SUCCEEDED" and task["attempt"] == 2, task
    assert task["result"]["began_behind"] == 4
    assert [a["outcome"] for a in task["attempts"]] == ["LEASE_LOST", "OK"]


def test_the_last_checkpoint_of_a_failed_attempt_is_kept(pair):
    task = pair.wait_task(pair.submit("/test/task-steps", {"steps": 3, "fail_at": 2}))
    assert task["state"] == "SUCCEEDED" and task["attempt"] == 2, task
    assert task["result"]["began_behind"] == 2


def test_a_retry_of_a_task_that_succeeded_starts_afresh(pair):
    task_id = pair.submit("/test/task-steps", {"steps": 2})
    pair.wait_task(task_id)
    assert pair.post(f"/v1/tasks/{task_id}:retry").status == 200
    task = pair.wait_task(task_id)
    assert task["attempt"] == 2 and task["result"]["began_behind"] == 0


def test_a_checkpoint_that_is_too_large_is_refused(pair):
    task = pair.wait_task(pair.submit("/test/task-steps", {"steps": 1, "too_large": 300000}))
    assert task["result"]["code"] == -8


def test_progress_shows_its_detail(pair):
    task_id = pair.submit("/test/task-steps", {"steps": 3})
    task = pair.wait_task(task_id)
    assert task["progress"] == {"fraction": 0.3, "message": "a step",
                                "detail": {"done": 3, "by": "attempt 1", "ballast": ""}}
    last = [e.json()["progress"] for e in pair.events(task_id) if e.event == "progress"][-1]
    assert last["detail"]["done"] == 3


def test_a_method_s_own_cap_of_its_result(pair):
    task = pair.wait_task(pair.submit("/test/task-small", {"text_value": "x" * 90}))
    assert task["state"] == "SUCCEEDED", task
    task = pair.wait_task(pair.submit("/test/task-small", {"text_value": "x" * 100}))
    assert task["state"] == "FAILED" and task["attempt"] == 1, task
    assert "the limit is 100 (its method's)" in task["error"]["detail"]


# --- faults of the input ---


def test_a_handler_s_faults_are_shown_as_the_schema_s_are(pair):
    r = pair.post("/test/fail-fields", {"code": 7})
    assert r.status == 422, r
    problem = r.json()
    assert problem["code"] == "INVALID_ARGUMENT" and problem["detail"] == "nor is this a message"
    assert [(e["pointer"], e["rule"], e["detail"]) for e in problem["errors"]] == [
        ("#/code", "test.code", "7 is no good code"),
        ("#/message", "test.message", "nor is this a message"),
    ]
    task = pair.wait_task(pair.submit("/test/task-fail-fields", {"code": 7}))
    assert task["state"] == "FAILED" and task["attempt"] == 1
    assert [(e["pointer"], e["rule"]) for e in task["error"]["errors"]] == [
        ("#/code", "test.code"), ("#/message", "test.message")]


# --- errand_enqueue ---


@pytest.mark.parametrize("path", ["/test/enqueue", "/test/sync-enqueue"])
def test_tasks_are_there_when_the_answer_comes(pair, path):
    r = pair.post(path, {"names": ["one", "two"], "delay_ms": 3600000, "label": "here"},
                  headers={"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"})
    assert r.status == 200, r
    for task_id, name in zip(r.json()["ids"], ("one", "two")):
        task = pair.task(task_id)
        assert task["state"] == "SCHEDULED" and task["input"]["name"] == name, task
        assert task["labels"] == {"from": "here"}


@pytest.mark.parametrize("path", ["/test/enqueue", "/test/sync-enqueue"])
def test_a_call_that_fails_makes_none(make_pair, path):
    p = make_pair()
    assert p.post(path, {"names": ["no"], "fail_code": 14}).status == 503
    ids = p.post(path, {"names": ["yes"]}).json()["ids"]
    p.wait_task(ids[0])
    assert effects(p) == ["yes"]
    assert len(p.get("/v1/tasks").json()["tasks"]) == 1


def test_a_task_that_is_retried_makes_them_once(make_pair):
    p = make_pair()
    task = p.wait_task(p.submit("/test/task-enqueue", {"names": ["a"], "fail_code": 14, "fail_times": 2}))
    assert task["attempt"] == 3 and task["state"] == "SUCCEEDED", task
    p.wait_task(task["result"]["ids"][0])
    assert effects(p) == ["a"]
    assert len(p.get("/v1/tasks").json()["tasks"]) == 2


def test_a_task_s_success_and_what_it_makes_are_one(make_pair):
    """Killed at a random moment: no success without its child, no child without success."""
    p = make_pair()
    ids = [p.submit("/test/task-enqueue", {"names": [f"n{i}"]}) for i in range(40)]
    p.service.kill()
    p.start_service()
    tasks = [p.wait_task(i) for i in ids]
    children = [t["result"]["ids"][0] for t in tasks]
    assert all(p.wait_task(c)["state"] == "SUCCEEDED" for c in children)
    listed = p.get("/v1/tasks?page_size=500").json()["tasks"]
    assert len(listed) == 80


def test_a_chain_made_in_one_call_runs_in_its_order(make_pair):
    p = make_pair()
    names = [f"link{i}" for i in range(20)]
    ids = p.post("/test/enqueue", {"names": names, "chain": True}).json()["ids"]
    assert p.wait_task(ids[-1])["state"] == "SUCCEEDED"
    assert effects(p) == names


def test_what_cannot_be_made_fails_the_call_or_is_refused(pair):
    r = pair.post("/test/enqueue", {"names": ["x"], "method": "no.Such/Method"})
    assert r.json()["code"] == -5
    r = pair.post("/test/enqueue", {"names": ["x"], "method": "errandtest.v1.Test/TaskSleep"})
    assert r.json()["code"] == -3
    r = pair.post("/test/enqueue", {"names": ["x"], "after": "nonsense"})
    assert r.json()["code"] == -3
    r = pair.post("/test/enqueue", {"names": ["x"], "after": "01936b2c-0000-7000-8000-000000000000"})
    assert r.status == 400 and r.json()["code"] == "FAILED_PRECONDITION", r
    body = {"names": ["x"], "unique_key": "only-one", "delay_ms": 3600000}
    first = pair.post("/test/enqueue", body).json()["ids"][0]
    r = pair.post("/test/enqueue", body)
    assert r.status == 409 and first in r.json()["detail"], r
    task = pair.wait_task(pair.submit("/test/task-enqueue", body))
    assert task["state"] == "FAILED" and task["attempt"] == 1, task
    assert task["error"]["code"] == "ALREADY_EXISTS" and first in task["error"]["detail"]
    pair.post(f"/v1/tasks/{first}:cancel")


# --- after ---


def test_a_child_runs_when_all_parents_have_ended_and_reads_their_results(pair):
    parents = [create(pair, SLEEP, {"ms": 300}), create(pair, TOUCH, {"name": "left"}),
               create(pair, TOUCH, {"name": "right", "ms": 200})]
    child = create(pair, JOIN, after=parents)
    task = pair.task(child)
    assert task["state"] == "BLOCKED" and task["reason"] == "parents", task
    done = pair.wait_task(child)
    assert done["state"] == "SUCCEEDED" and done["result"]["message"] == "slept+left+right+", done
    for parent in parents:
        assert pair.task(parent)["end_time"] <= done["start_time"]


def test_parents_that_ended_before(pair):
    parent = create(pair, TOUCH, {"name": "early"})
    pair.wait_task(parent)
    task = pair.wait_task(create(pair, JOIN, after=[parent, parent]))
    assert task["result"]["message"] == "early+"  # given twice is once


@pytest.mark.parametrize("policy,state", [("FAIL", "FAILED"), ("CANCEL", "CANCELLED"),
                                          ("RUN", "SUCCEEDED")])
@pytest.mark.parametrize("before", [False, True])
def test_a_parent_that_fails(pair, policy, state, before):
    parent = create(pair, FAIL, {"code": 3, "times": 9}, **({} if before else {"delay": "0.3s"}))
    if before:
        pair.wait_task(parent)
    child = create(pair, JOIN, after=[parent], after_policy=policy)
    task = pair.wait_task(child)
    assert task["state"] == state, task
    if policy == "RUN":
        assert task["result"]["message"] == "-9+"
    else:
        assert task["reason"] == "parent failed" and parent in task["error"]["detail"], task
        assert task["attempt"] == 0


def test_a_cancelled_parent_counts_as_failed_all_the_way_down(pair):
    parent = create(pair, SLEEP, delay="3600s")
    ids = [parent]
    for _ in range(30):
        ids.append(create(pair, TOUCH, {"name": "never"}, after=[ids[-1]]))
    pair.post(f"/v1/tasks/{parent}:cancel")
    task = pair.wait_task(ids[-1])
    assert task["state"] == "FAILED" and ids[-2] in task["error"]["detail"], task
    assert [pair.task(i)["state"] for i in ids[1:-1]] == ["FAILED"] * 29


def test_an_unknown_parent(pair):
    parent = create(pair, SLEEP, delay="3600s")
    r = pair.post("/v1/tasks", {"method": TOUCH, "input": {}, "after":
                                [parent, "01936b2c-0000-7000-8000-000000000000"]})
    assert r.status == 422, r
    fault = r.json()["errors"][0]
    assert fault["pointer"] == "#/after" and "8000-000000000000" in fault["detail"], fault
    pair.post(f"/v1/tasks/{parent}:cancel")
    assert pair.get(f"/v1/tasks/{parent}").json()["state"] == "CANCELLED"


def test_a_parent_is_kept_while_a_child_has_not_ended(pair):
    parent = create(pair, TOUCH, {"name": "kept"})
    pair.wait_task(parent)
    child = create(pair, JOIN, after=[parent], delay="3600s")
    r = pair.request("DELETE", f"/v1/tasks/{parent}")
    assert r.status in (400, 409) and child in r.json()["detail"], r
    assert pair.post(f"/v1/tasks/{child}:runNow").status == 200
    assert pair.wait_task(child)["result"]["message"] == "kept+"
    assert pair.request("DELETE", f"/v1/tasks/{parent}").status == 204


def test_a_chain_survives_kill_9(make_pair):
    p = make_pair()
    first = create(p, SLEEP, {"ms": 400})
    ids = [first]
    for i in range(10):
        ids.append(create(p, TOUCH, {"name": f"k{i}"}, after=[ids[-1]]))
    p.service.kill()
    p.start_service()
    assert p.wait_task(ids[-1])["state"] == "SUCCEEDED"
    assert effects(p) == [f"k{i}" for i in range(10)]


def test_many_children_of_one_parent(pair):
    parent = create(pair, SLEEP, delay="3600s")
    ids = []
    in_threads(4, lambda i: ids.extend(create(pair, TOUCH, {"name": "fan"}, after=[parent])
                                       for _ in range(100)))
    begin = time.monotonic()
    pair.post(f"/v1/tasks/{parent}:cancel")
    assert all(pair.wait_task(i)["state"] == "FAILED" for i in ids)
    assert time.monotonic() - begin < 30
