"""errand task create, set, hold, release, run-now; errand tasks cancel and retry."""

import json

from test_cli import errand

ECHO = "errandtest.v1.Test/TaskEcho"


def create(pair, *args, **more):
    return json.loads(errand(pair, "task", "create", *args, **more))


def test_create_with_every_option(pair):
    first = create(pair, "TaskEcho", "--delay", "1h")
    task = create(pair, "-q", "elsewhere", "-p", "-3", "--run-at", "2100-01-01T00:00:00Z",
                  "--label", "customer=x=y", "--label", "n=1", "--unique-key", "cli", "--unique-window", "1m",
                  "--on-conflict", "use-existing", "--after", first["id"], "--after-policy", "run",
                  "--start-deadline", "24h", "--attempt-timeout", "1500ms", "--total-timeout", "2h",
                  "--progress-timeout", "3m", "--cancel-grace", "4s", "--max-attempts", "2",
                  "--result-ttl", "25h", "TaskEcho", "text_value=hi", "numbers:=[1,2]")
    assert (task["method"], task["queue"], task["priority"]) == (ECHO, "elsewhere", -3)
    assert task["input"]["text_value"] == "hi" and task["input"]["numbers"] == [1, 2]
    assert task["labels"] == {"customer": "x=y", "n": "1"}
    options = task["options"]
    assert options["on_conflict"] == "USE_EXISTING" and options["after_policy"] == "RUN"
    assert options["after"] == [first["id"]] and options["run_at"] == "2100-01-01T00:00:00Z"
    assert {k: options[k] for k in ("unique_window", "start_deadline", "timeout", "total_timeout", "progress_timeout",
                                    "cancel_grace", "result_ttl")} == {
        "unique_window": "60s", "start_deadline": "86400s", "timeout": "1.500s", "total_timeout": "7200s",
        "progress_timeout": "180s", "cancel_grace": "4s", "result_ttl": "90000s"}
    assert options["retry"]["max_attempts"] == 2
    again = create(pair, "TaskEcho", "--unique-key", "cli", "--on-conflict", "use-existing")
    assert again["id"] == task["id"]
    errand(pair, "task", "create", "TaskEcho", "--unique-key", "cli", status=1)
    assert task["id"] in errand.stderr


def test_create_with_a_key(pair):
    first = create(pair, "--key", "cli-key", "TaskEcho", '{"text_value": "one"}')
    assert create(pair, "TaskEcho", "text_value=one", "-k", "cli-key")["id"] == first["id"]
    errand(pair, "task", "create", "-k", "cli-key", "TaskEcho", "text_value=two", status=65)
    assert "Idempotency-Key" in errand.stderr
    assert pair.wait_task(first["id"])["result"]["text_value"] == "one"


def test_create_with_faults(pair):
    errand(pair, "task", "create", "TaskEcho", "nope=1", status=65)
    assert "nope" in errand.stderr
    errand(pair, "task", "create", "TaskEcho", "-p", "much", "--on-conflict", "dance", status=65)
    assert "priority" in errand.stderr and "on_conflict" in errand.stderr
    errand(pair, "task", "create", "TaskChecked", "name=A", status=65)
    assert "#/input/name" in errand.stderr
    errand(pair, "task", "create", "TaskEcho", "--label", "x", status=64)
    errand(pair, "task", "create", "--delay", "soon", "TaskEcho", status=64)
    errand(pair, "task", "create", status=64)
    errand(pair, "task", "create", "NoSuchMethod", status=4)


def test_set(pair):
    task = create(pair, "TaskEcho", "--delay", "1h", "-l", "a=1", "-l", "b=2")
    changed = json.loads(errand(pair, "task", "set", task["id"], "-p", "9", "--unlabel", "a", "-l", "c=3"))
    assert changed["priority"] == 9 and changed["labels"] == {"b": "2", "c": "3"}
    errand(pair, "task", "set", "--if-match", task["etag"], task["id"], "-p", "1", status=1)
    assert "changed" in errand.stderr
    errand(pair, "task", "set", task["id"], "--run-at", "2000-01-01T00:00:00Z")
    assert pair.wait_task(task["id"])["state"] == "SUCCEEDED"
    errand(pair, "task", "set", status=64)


def test_hold_release_run_now(pair):
    task = create(pair, "TaskEcho", "--delay", "1h")
    assert json.loads(errand(pair, "task", "hold", "-j", task["id"]))["state"] == "HELD"
    assert json.loads(errand(pair, "task", "release", "-j", task["id"]))["state"] == "SCHEDULED"
    errand(pair, "task", "run-now", task["id"])
    assert pair.wait_task(task["id"])["state"] == "SUCCEEDED"
    errand(pair, "task", "hold", task["id"], status=1)


def test_bulk(pair):
    for _ in range(3):
        create(pair, "TaskEcho", "--delay", "1h", "-q", "clibulk")
    assert errand(pair, "tasks", "cancel", "-f", "queue = clibulk", "-n") == "3 matching, 3 would be cancelled\n"
    assert errand(pair, "tasks", "cancel", "-yf", "queue = clibulk") == "3 matching, 3 cancelled\n"
    reply = json.loads(errand(pair, "tasks", "retry", "--json", "--yes", "--filter", "queue = clibulk"))
    assert reply["changed"] == "3" and len(reply["ids"]) == 3
    errand(pair, "tasks", "cancel", status=64)
    errand(pair, "tasks", "cancel", "--filter", "queue is clibulk", status=65)
