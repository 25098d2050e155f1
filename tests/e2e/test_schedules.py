"""Schedules as HTTP resources, and what they do when the clock says so: with a wall clock
that the test moves, never by waiting for a minute to pass."""

import datetime
import json
import os
import struct
import time

import pytest
from conftest import BUILD, FAULTS, Pair, wait_until
from test_cli import errand

ECHO = "errandtest.v1.Test/TaskEcho"
SLEEP = "errandtest.v1.Test/TaskSleep"
CHECKED = "errandtest.v1.Test/TaskChecked"
SHIM = os.path.join(BUILD, "tests", "e2e", ".libs", "shiftclock.so")
YEARLY = "0 0 1 1 *"


def create(pair, status=201, **schedule):
    schedule.setdefault("cron", YEARLY)
    schedule.setdefault("method", ECHO)
    r = pair.post("/v1/schedules", schedule)
    assert r.status == status, r
    return r.json()


def get(pair, name):
    r = pair.get(f"/v1/schedules/{name}")
    assert r.status == 200, r
    return r.json()


def patch(pair, name, body, match="*"):
    return pair.request("PATCH", f"/v1/schedules/{name}", body, {"If-Match": match} if match else {})


def pointers(r):
    return sorted(e["pointer"] for e in r.json()["errors"])


def seconds(text):
    return datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(
        tzinfo=datetime.timezone.utc).timestamp()


# --- the resource ---

def test_create_and_get(pair):
    r = pair.post("/v1/schedules", {
        "id": "nightly", "cron": "30 2 * * MON-FRI", "time_zone": "Europe/Berlin", "method": ECHO,
        "input": {"text_value": "hi"}, "options": {"queue": "other", "priority": 3}})
    assert r.status == 201, r
    made = r.json()
    assert r.headers["Location"] == "/v1/schedules/nightly"
    assert r.headers["ETag"] == made["etag"] == '"1"'
    assert (made["overlap"], made["missed"], made["paused"]) == ("SKIP", "RUN_ONCE", False)
    assert made["input"]["text_value"] == "hi"
    assert made["options"]["queue"] == "other"
    assert made.get("last_time") is None and made["n_made"] == "0"
    r = pair.get("/v1/schedules/nightly")
    assert (r.json(), r.headers["ETag"]) == (made, '"1"')
    assert pair.request("GET", "/v1/schedules/nightly", headers={"If-None-Match": '"1"'}).status == 304


def test_defaults(pair):
    made = create(pair)
    assert len(made["id"]) == 36 and made["time_zone"] == "UTC"
    year = datetime.datetime.now(datetime.timezone.utc).year
    assert made["next_time"] == f"{year + 1}-01-01T00:00:00Z"


def test_id_is_taken(pair):
    create(pair, id="taken")
    assert create(pair, 409, id="taken")["code"] == "ALREADY_EXISTS"


def test_all_faults_at_once(pair):
    r = pair.post("/v1/schedules", {
        "id": "-a b", "cron": "60 * * * *", "time_zone": "Europe/Atlantis", "method": CHECKED,
        "input": {"name": "A", "size": 11}, "options": {"queue": "no queue", "run_at": "2030-01-01T00:00:00Z"}})
    assert r.status == 422, r
    assert pointers(r) == ["#/cron", "#/id", "#/input/name", "#/input/name", "#/input/size",
                           "#/options/queue", "#/options/run_at", "#/time_zone"]
    cron = next(e for e in r.json()["errors"] if e["pointer"] == "#/cron")
    assert cron["detail"] == "minute field, column 1: 60 is not between 0 and 59"


@pytest.mark.parametrize("body, pointer", [
    ({"cron": ""}, "#/cron"), ({"cron": "0 0 31 2 *"}, "#/cron"), ({"cron": "0 0 ? * *"}, "#/cron"),
    ({"time_zone": "../../../etc/passwd"}, "#/time_zone"), ({"method": ""}, "#/method"),
    ({"method": "no.such/Method"}, "#/method"), ({"method": "errand.v1.Tasks/GetTask"}, "#/method"),
    ({"method": "errandtest.v1.Test/Stream"}, "#/method"), ({"input": {"nope": 1}}, "#/input/nope"),
    ({"options": {"after": ["01936b2c-0000-7000-8000-000000000000"]}}, "#/options/after"),
])
def test_refused(pair, body, pointer):
    r = pair.post("/v1/schedules", {"cron": YEARLY, "method": ECHO, **body})
    assert (r.status, pointers(r)) == (422, [pointer]), r


def test_unknown(pair):
    for verb, path in (("GET", ""), ("DELETE", ""), ("POST", ":trigger"), ("POST", ":pause"), ("POST", ":resume")):
        r = pair.request(verb, "/v1/schedules/nobody" + path)
        assert (r.status, r.json()["code"]) == (404, "NOT_FOUND"), r
    assert patch(pair, "nobody", {"cron": YEARLY}).status == 404


def test_update(pair):
    made = create(pair, id="changed", input={"text_value": "a", "int32_value": 7}, options={"queue": "q"})
    assert patch(pair, "changed", {"cron": "@daily"}, None).status == 428
    assert patch(pair, "changed", {"cron": "@daily"}, '"9"').status == 412
    assert patch(pair, "changed", {"cron": "@daily"}, 'W/"1"').status == 412
    r = patch(pair, "changed", {"overlap": "ALLOW"}, made["etag"])
    assert (r.status, r.headers["ETag"]) == (200, '"2"'), r
    assert r.json()["next_time"] == made["next_time"]
    r = patch(pair, "changed", {"cron": "@daily", "time_zone": "Asia/Kathmandu",
                                "input": {"text_value": "b"}, "options": {"priority": 2}})
    now = r.json()
    assert now["next_time"].endswith("T18:15:00Z") and now["overlap"] == "ALLOW"
    assert (now["input"]["text_value"], now["input"]["int32_value"]) == ("b", 0)
    assert (now["options"]["queue"], now["options"]["priority"]) == ("", 2)
    r = patch(pair, "changed", {"cron": "never", "method": "no.such/Method"})
    assert (r.status, pointers(r)) == (422, ["#/cron", "#/method"])
    assert get(pair, "changed") == now


def test_delete(pair):
    create(pair, id="gone")
    assert pair.request("DELETE", "/v1/schedules/gone").status == 204
    assert pair.get("/v1/schedules/gone").status == 404


def test_pages(pair):
    for i in range(5):
        create(pair, id=f"page-{i}")
    seen, token = [], ""
    while True:
        r = pair.get(f"/v1/schedules?page_size=2&page_token={token}")
        assert r.status == 200, r
        seen += [s["id"] for s in r.json()["schedules"]]
        token = r.json()["next_page_token"]
        if not token:
            break
        assert len(r.json()["schedules"]) == 2
    assert [s for s in seen if s.startswith("page-")] == [f"page-{i}" for i in range(5)]
    assert seen == sorted(seen) and len(set(seen)) == len(seen)
    for name, value in (("page_token", "%2F"), ("page_size", "501")):
        r = pair.get(f"/v1/schedules?{name}={value}")
        assert (r.status, r.json()["errors"][0]["parameter"]) == (400, name), r


def test_trigger(pair):
    made = create(pair, id="pulled", input={"text_value": "x"}, paused=True)
    assert made.get("next_time") is None
    r = pair.post("/v1/schedules/pulled:trigger")
    assert r.status == 201, r
    task = r.json()
    assert r.headers["Location"] == f"/v1/tasks/{task['id']}"
    assert task["schedule"] == "pulled"
    assert pair.wait_task(task["id"])["result"]["text_value"] == "x"
    after = get(pair, "pulled")
    assert (after["last_task"], after["n_made"], after.get("last_time")) == (task["id"], "1", None)


def test_pause(pair):
    made = create(pair, id="resting")
    r = pair.post("/v1/schedules/resting:pause")
    assert (r.status, r.json()["paused"], r.json().get("next_time")) == (200, True, None)
    assert pair.post("/v1/schedules/resting:pause").json()["etag"] == r.json()["etag"]
    r = pair.post("/v1/schedules/resting:resume")
    assert (r.status, r.json()["paused"], r.json()["next_time"]) == (200, False, made["next_time"])


def test_kept_by_a_restart(make_pair):
    pair = make_pair()
    made = create(pair, id="kept")
    pair.service.kill()
    pair.start_service()
    pair.wait_ready()
    assert get(pair, "kept") == made


# --- the clock ---

class Clocked(Pair):
    """A pair whose service has a wall clock of its own."""

    def __init__(self):
        super().__init__(service_args=("--slots", "8", "--drain-timeout", "1s"))
        self.shift_s = 0.0
        self.shift_file = self.path("shift")
        self.shift(0)

    def shift(self, s):
        self.shift_s = s
        if not os.path.exists(self.shift_file):
            open(self.shift_file, "wb").write(struct.pack("=q", 0))
        with open(self.shift_file, "r+b", buffering=0) as f:
            f.write(struct.pack("=q", int(s * 1e6)))

    def now(self):
        return time.time() + self.shift_s

    def set_clock(self, to):
        self.shift(to - time.time())

    def start_service(self, *more, **env):
        plain = self.env
        self.env = dict(plain, LD_PRELOAD=SHIM, SHIFTCLOCK_FILE=self.shift_file, **env)
        try:
            return super().start_service(*more)
        finally:
            self.env = plain

    def tasks(self, name):
        r = self.get("/v1/tasks?page_size=500")
        return [t for t in r.json()["tasks"] if t["schedule"] == name]


@pytest.fixture
def clocked():
    pairs = []

    def make(start_at=None):
        pairs.append(Clocked())
        if start_at is not None:
            pairs[-1].set_clock(start_at)
        return pairs[-1].start()
    yield make
    for p in pairs:
        p.close()


def at(text):
    return seconds(text + "Z")


MORNING = at("2031-03-10T08:00:10")


def wait_made(pair, name, n):
    wait_until(lambda: int(get(pair, name)["n_made"]) >= n, 15, f"{n} tasks of {name}")
    return get(pair, name)


def seen_again(pair, name):
    """The service has looked at its clock since: another schedule's task is there."""
    other = f"marker-{name}-{time.monotonic_ns()}"
    create(pair, id=other, cron="* * * * *", overlap="ALLOW")
    pair.set_clock(seconds(get(pair, other)["next_time"]) + 1)
    wait_made(pair, other, 1)
    return get(pair, name)


def test_due(clocked):
    pair = clocked(MORNING)
    made = create(pair, id="due", cron="30 9 * * *", time_zone="Europe/Berlin", input={"text_value": "on time"})
    assert made["next_time"] == "2031-03-10T08:30:00Z"
    pair.set_clock(at("2031-03-10T08:30:01"))
    now = wait_made(pair, "due", 1)
    assert (now["last_time"], now["next_time"]) == ("2031-03-10T08:30:00Z", "2031-03-11T08:30:00Z")
    task, = pair.tasks("due")
    assert task["id"] == now["last_task"]
    assert pair.wait_task(task["id"])["result"]["text_value"] == "on time"


def test_clock_set_forward(clocked):
    """An hour: the policy for missed times decides."""
    pair = clocked(MORNING)
    for missed in ("SKIP", "RUN_ONCE", "RUN_ALL"):
        create(pair, id=missed, cron="5-59/15 * * * *", missed=missed, overlap="ALLOW")
    pair.set_clock(MORNING + 3600)  # 09:00:10; missed: 08:05 :20 :35 :50
    wait_made(pair, "RUN_ALL", 4)
    once = wait_made(pair, "RUN_ONCE", 1)
    wait_until(lambda: get(pair, "SKIP")["n_missed"] == "4", 15, "SKIP to be looked at")
    assert (once["n_made"], once["n_missed"], once["last_time"]) == ("1", "3", "2031-03-10T08:50:00Z")
    every = get(pair, "RUN_ALL")
    assert (every["n_made"], every["n_missed"], every["last_time"]) == ("4", "0", "2031-03-10T08:50:00Z")
    none = get(pair, "SKIP")
    assert (none["n_made"], none.get("last_time")) == ("0", None)
    for s in (once, every, none):
        assert s["next_time"] == "2031-03-10T09:05:00Z"


def test_clock_set_back(clocked):
    """Nothing is done twice, and what was to come still comes."""
    pair = clocked(at("2031-03-10T08:29:50"))
    create(pair, id="back", cron="30,45 * * * *")
    pair.set_clock(at("2031-03-10T08:30:02"))
    wait_made(pair, "back", 1)
    pair.set_clock(at("2031-03-10T07:29:50"))
    now = seen_again(pair, "back")  # its own marker passes 07:30
    assert (now["n_made"], now["next_time"]) == ("1", "2031-03-10T08:45:00Z")
    pair.set_clock(at("2031-03-10T08:45:01"))
    now = wait_made(pair, "back", 2)
    assert (now["n_made"], now["last_time"]) == ("2", "2031-03-10T08:45:00Z")


def test_service_was_down(clocked):
    """Three hours of a killed service are one task, with RUN_ONCE."""
    pair = clocked(MORNING)
    create(pair, id="once", cron="@hourly")
    create(pair, id="all", cron="@hourly", missed="RUN_ALL", overlap="ALLOW")
    pair.service.kill()
    pair.set_clock(MORNING + 3 * 3600)
    pair.start_service()
    pair.wait_ready()
    once, every = wait_made(pair, "once", 1), wait_made(pair, "all", 3)
    assert (once["n_made"], once["n_missed"], once["last_time"]) == ("1", "2", "2031-03-10T11:00:00Z")
    assert (every["n_made"], len(pair.tasks("all"))) == ("3", 3)


def test_run_all_is_bounded(clocked):
    """A year of minutes: a hundred tasks, and one for the rest."""
    pair = clocked(MORNING)
    create(pair, id="many", cron="* * * * *", missed="RUN_ALL", overlap="ALLOW")
    pair.set_clock(MORNING + 365 * 86400)
    now = wait_made(pair, "many", 101)
    assert now["n_made"] == "101"
    assert seconds(now["next_time"]) > pair.now() - 60


def test_paused_is_not_missed(clocked):
    pair = clocked(MORNING)
    create(pair, id="paused", cron="@hourly")
    pair.post("/v1/schedules/paused:pause")
    pair.set_clock(MORNING + 2 * 3600)
    now = seen_again(pair, "paused")
    assert now["n_made"] == "0"
    r = pair.post("/v1/schedules/paused:resume")
    assert r.json()["next_time"] == "2031-03-10T11:00:00Z"


@pytest.mark.parametrize("overlap", ["SKIP", "ALLOW", "CANCEL_RUNNING"])
def test_overlap(clocked, overlap):
    pair = clocked(MORNING)
    create(pair, id="slow", cron="* * * * *", overlap=overlap, method=SLEEP, input={"ms": "600000"})
    pair.set_clock(at("2031-03-10T08:01:01"))
    first = wait_made(pair, "slow", 1)["last_task"]
    pair.wait_task(first, ("RUNNING",))
    pair.set_clock(at("2031-03-10T08:02:01"))
    if overlap == "SKIP":
        wait_until(lambda: get(pair, "slow")["n_skipped"] == "1", 15, "the second time")
        now = get(pair, "slow")
        assert (now["n_made"], now["last_task"]) == ("1", first)
        assert now["error"] == "overlap: its last task has not ended"
        assert pair.task(first)["state"] == "RUNNING"
        return
    now = wait_made(pair, "slow", 2)
    pair.wait_task(now["last_task"], ("RUNNING",))
    assert pair.wait_task(first, ("RUNNING", "CANCELLED") if overlap == "ALLOW" else ("CANCELLED",))[
        "state"] == ("RUNNING" if overlap == "ALLOW" else "CANCELLED")


def test_killed_while_firing(clocked):
    """Dead before the COMMIT that has task and schedule: one task, not none and not two."""
    if not FAULTS:
        pytest.skip("this build has no fault injection")
    pair = clocked(MORNING)
    create(pair, id="shot", cron="@hourly")
    pair.service.kill()
    pair.set_clock(MORNING + 3600)
    try:
        pair.start_service(ERRAND_FAULT="before-commit:1")
    except Exception:
        pass  # it may be dead before it is ready
    wait_until(lambda: not pair.service.alive(), 15, "the service to die")
    pair.start_service()
    pair.wait_ready()
    now = wait_made(pair, "shot", 1)
    assert (now["n_made"], len(pair.tasks("shot"))) == ("1", 1)


# --- errand schedule ---

def test_command(pair):
    def run(*args, **more):
        return json.loads(errand(pair, "schedule", *args, **more))

    made = run("create", "--id", "cli", "-z", "Asia/Kathmandu", "--overlap", "cancel-running", "--missed", "run-all",
               "--paused", "-q", "elsewhere", "-p", "4", "@daily", "TaskEcho", "text_value=hi")
    assert (made["overlap"], made["missed"], made["paused"]) == ("CANCEL_RUNNING", "RUN_ALL", True)
    assert (made["cron"], made["time_zone"], made["method"]) == ("@daily", "Asia/Kathmandu", ECHO)
    assert (made["options"]["queue"], made["options"]["priority"]) == ("elsewhere", 4)
    assert made["input"]["text_value"] == "hi"
    assert run("show", "cli") == made
    assert "cli" in [json.loads(line)["id"] for line in errand(pair, "schedule", "list", "--json").splitlines()]
    assert run("set", "--cron", "@hourly", "--if-match", made["etag"], "cli")["cron"] == "@hourly"
    errand(pair, "schedule", "set", "--cron", "@daily", "--if-match", made["etag"], "cli", status=1)
    assert run("resume", "cli")["next_time"]
    assert run("pause", "cli")["paused"]
    assert run("trigger", "cli")["schedule"] == "cli"
    assert errand(pair, "schedule", "delete", "cli") == ""
    errand(pair, "schedule", "show", "cli", status=4)
    errand(pair, "schedule", "create", "@daily", status=64)
    errand(pair, "schedule", "sho", "cli", status=64)
