"""What an administrator finds again: request, task and trace ids in every log line, in every format, and
a trace from HTTP to handler, child, worker and callback."""

import json
import os
import re
import subprocess

from conftest import BUILD, TOP, wait_until
from rawworker import Worker
from test_callbacks import SECRETS, Receiver

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"
FAIL = "errandtest.v1.Test/TaskFail"
ENV = """[command obs.v1.Show/Now]
run = sync
command = env

[command obs.v1.Show/Later]
command = env
"""


def with_file(pair, name, text, option):
    """The service anew, with one more option that names a file with that text."""
    with open(pair.path(name), "w", encoding="utf-8") as f:
        f.write(text)
    os.chmod(pair.path(name), 0o600)
    pair.service.stop()
    pair.service_args += [option, pair.path(name)]
    pair.start_service()
    pair.wait_ready()
    return pair


def values(line):
    """The pairs of a logfmt line."""
    return {k: json.loads(v) if v.startswith('"') else v
            for k, v in re.findall(r'([a-z_]+)=("(?:[^"\\]|\\.)*"|\S+)', line)}


def access(pair, request_id):
    def look():
        for line in open(pair.path("access.log"), encoding="utf-8"):
            if request_id in line:
                return json.loads(line)
        return None
    return wait_until(look, what="access log")


def of_trace(text, trace=TRACE):
    """The one traceparent of that trace in text, which has a span of the gateway's."""
    found = set(re.findall(f"00-{trace}-([0-9a-f]{{16}})-([0-9a-f]{{2}})", text))
    assert len(found) == 1, text
    span, flags = found.pop()
    assert span != "b7ad6b7169203331"
    return flags


def test_ids_of_a_failed_attempt(make_pair):
    """Handler's call, attempt's end, access log: one grep finds all, by any of three ids."""
    pair = make_pair()
    r = pair.post("/v1/tasks", {"method": FAIL, "input": {"code": 3, "times": 9}, "retry": {"max_attempts": 1}},
                  headers={"traceparent": PARENT, "X-Request-Id": "req-one"})
    assert r.status == 201, r
    task = r.json()["id"]
    pair.wait_task(task, ("FAILED",))
    pair.service.wait_line(f"attempt failed.*task={task}")
    line = values([x for x in pair.service.text().splitlines() if task in x][0])
    assert (line["task"], line["request_id"], line["trace_id"], line["attempt"]) == (task, "req-one", TRACE, "1")
    entry = access(pair, "req-one")
    assert entry["task"] == task and entry["trace_id"] == TRACE


def test_a_retry_after_a_restart_has_the_ids(make_pair):
    pair = make_pair()
    r = pair.post("/v1/tasks", {"method": FAIL, "input": {"code": 14, "times": 9}, "retry": {"max_attempts": 2},
                                "delay": "0.5s"},
                  headers={"traceparent": PARENT, "X-Request-Id": "req-late"})
    assert r.status == 201, r
    pair.service.stop()
    pair.start_service()
    pair.wait_ready()
    task = r.json()["id"]
    pair.wait_task(task, ("FAILED",))
    lines = [values(x) for x in pair.service.text().splitlines() if task in x]
    assert lines and all(x["request_id"] == "req-late" and x["trace_id"] == TRACE for x in lines), lines


def test_every_line_is_json(make_pair):
    pair = make_pair(service_args=["--log-format", "json", "--log-level", "debug"],
                     gateway_args=["--log-format", "json", "--log-level", "debug"])
    r = pair.post("/test/after-fail", {}, headers={"X-Request-Id": "say-\"hi\""})
    assert r.status == 200, r
    pair.service.wait_line("background work")
    pair.service.stop()
    wait_until(lambda: "service down" in pair.gateway.text(), what="the gateway's line")
    for daemon, name in ((pair.service, "errand-service"), (pair.gateway, "errand-gateway")):
        lines = [json.loads(x) for x in daemon.text().splitlines()]
        assert len(lines) > 1 and all(x["prog"] == name and x["msg"] and x["time"] for x in lines)
    failed = [json.loads(x) for x in pair.service.text().splitlines() if "background work failed" in x]
    assert failed and failed[0]["request_id"] == 'say-"hi"' and len(failed[0]["trace_id"]) == 32


def test_the_journal_has_priorities(make_pair):
    pair = make_pair(service_args=["--log-format", "journal"])
    assert all(re.match(r"<[3-7]>msg=", x) for x in pair.service.text().splitlines())


def test_formats_that_are_none(make_pair):
    for daemon in ("service", "gateway"):
        r = subprocess.run([os.path.join(BUILD, f"errand-{daemon}"), "--log-format", "xml"], text=True,
                           capture_output=True, check=False, timeout=20)
        assert r.returncode == 64 and "logfmt, json or journal" in r.stderr, r


def test_trace_reaches_children(make_pair):
    pair = with_file(make_pair(), "commands.conf", ENV, "--config")
    head = {"traceparent": PARENT, "X-Request-Id": "req-child"}
    r = pair.post("/obs.v1.Show/Now", {}, headers=head)
    assert r.status == 200, r
    env = json.dumps(r.json())
    assert of_trace(env) == "01" and "ERRAND_REQUEST_ID=req-child" in env and "ERRAND_TASK_ID" not in env
    r = pair.post("/obs.v1.Show/Later", {}, headers=head)
    assert r.status == 202, r
    task = r.json()["id"]
    pair.wait_task(task)
    env = json.dumps(pair.task(task)["result"])
    assert of_trace(env) == "01" and f"ERRAND_TASK_ID={task}" in env and "ERRAND_REQUEST_ID=req-child" in env
    r = pair.post("/v1/tasks", {"method": "errandtest.v1.Test/TaskRun", "input": {"argv": ["env"]}}, headers=head)
    task = r.json()["id"]
    pair.wait_task(task)
    lines = "\n".join(x.get("text", x.get("line", "")) for x in pair.logs(task))
    assert of_trace(lines) == "01" and f"ERRAND_TASK_ID={task}" in lines and "ERRAND_REQUEST_ID=req-child" in lines


def test_traces_that_are_none_are_made_anew(make_pair):
    pair = with_file(make_pair(), "commands.conf", ENV, "--config")
    seen = set()
    for given in (None, PARENT.upper(), PARENT + "-more", PARENT.replace("00-", "ff-"), "00-" + "0" * 32 + PARENT[35:],
                  PARENT.replace("b7ad6b7169203331", "0" * 16), "x"):
        headers = {"X-Request-Id": f"req-{len(seen)}"}
        if given is not None:
            headers["traceparent"] = given
        env = pair.post("/obs.v1.Show/Now", {}, headers=headers).body.decode()
        trace = re.search("TRACEPARENT=00-([0-9a-f]{32})-[0-9a-f]{16}-03", env).group(1)
        assert trace != TRACE and set(trace) != {"0"}
        assert access(pair, f"req-{len(seen)}\"")["trace_id"] == trace
        seen.add(trace)
    assert len(seen) == 7


def test_trace_reaches_a_worker(make_pair):
    pair = make_pair()
    w = Worker(pair.socket, queues=["far"])
    r = pair.post("/v1/tasks", {"method": "errandtest.v1.Test/TaskEcho", "queue": "far"},
                  headers={"traceparent": PARENT, "X-Request-Id": "req-far", "tracestate": "a=1, b=2"})
    assert r.status == 201, r
    metadata = dict(w.work().metadata)
    w.close()
    assert of_trace(metadata["traceparent"]) == "01"
    assert metadata["x-request-id"] == "req-far" and metadata["tracestate"] == "a=1, b=2"


def test_trace_reaches_the_callback(make_pair):
    receiver = Receiver()
    pair = make_pair(service_args=["--callback-allow", "127.0.0.1"])
    with_file(pair, "keys", SECRETS[0] + "\n", "--callback-keys")
    try:
        r = pair.post("/v1/tasks", {"method": "errandtest.v1.Test/TaskEcho", "callback": {"url": receiver.url + "/x"}},
                      headers={"traceparent": PARENT})
        assert r.status == 201, r
        assert of_trace(receiver.wait("/x")[0]["headers"]["traceparent"]) == "01"
    finally:
        receiver.close()


def test_why_did_this_task_fail(make_pair):
    """docs/OBSERVABILITY.md, block by block."""
    pair = make_pair()
    r = pair.post("/v1/tasks", {"method": FAIL, "input": {"code": 3, "times": 9}}, headers={"X-Request-Id": "req-why"})
    task = r.json()["id"]
    pair.wait_task(task, ("FAILED",))
    access(pair, "req-why")
    with open(os.path.join(TOP, "docs", "OBSERVABILITY.md"), encoding="utf-8") as f:
        blocks = re.findall(r"```sh\n(.*?)```", f.read(), re.S)
    env = dict(os.environ, URL=f"http://127.0.0.1:{pair.port}", TASK=task, LOG=pair.path("service.log"),
               ACCESS=pair.path("access.log"))
    said = [subprocess.run(["bash", "-ec", b], env=env, capture_output=True, text=True, check=False, timeout=20)
            for b in blocks]
    assert len(said) == 5 and all(x.returncode == 0 for x in said), said
    assert '"FAILED"' in said[0].stdout and "INVALID_ARGUMENT" in said[0].stdout
    assert "request_id=req-why" in said[2].stdout and "outcome=ERROR" in said[2].stdout
    assert json.loads(said[3].stdout)["request_id"] == "req-why"
    assert 'attempts_total{outcome="ERROR"} 1' in said[4].stdout and "store_up 1" in said[4].stdout
