"""Programs as methods (docs/COMMANDS.md): called in every way, given everything, believed nothing."""

import base64
import contextlib
import http.server
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import threading

import pytest

import rawworker
from conftest import BUILD, TOP, Pair, pid_gone, wait_until
from rawworker import Failed, field

SHOW = """#!/usr/bin/python3
import base64, json, os, stat, sys
print(json.dumps({"argv": sys.argv[1:], "env": dict(os.environ), "cwd": os.getcwd(),
                  "mode": stat.S_IMODE(os.stat(".").st_mode), "files": os.listdir("."),
                  "stdin": base64.b64encode(sys.stdin.buffer.read()).decode()}))
"""

CONFIG = """
; what a program is given, as JSON
[command cmd.v1.Show/Typed]
summary = Says what it was given
description = Nothing else.
route = POST /show/{name}
run = sync
param.name = string required pattern="^[a-z]+$"
param.count = int default=3 min=1 max=9 help="How many"
param.big = long
param.ratio = number
param.kind = string enum=fast|slow default=fast
param.tag = string repeated max_items=3
param.loud = bool
command = DIR/show {name} -n {count} [ --big={big} ] [ --ratio={ratio} ] {kind} --tag={tag...} [ {loud?} --loud ] {@method}
result = json
keep_env = KEPT ABSENT
env.GREETING = hello {name}

[command cmd.v1.Show/Task]
route = POST /show-task
param.text = string
command = DIR/show [ --text={text} ] {@task} {@attempt}
result = json
directory = temporary

[command cmd.v1.Show/Plain]
run = sync
param.text = string
param.path = path in=DIR/in
param.free = string dash=allow
command = DIR/show [ {text} ] [ {path} ] [ {free} ] end
result = json

[command cmd.v1.Show/Long]
run = sync
param.text = string max_len=4000000
command = DIR/show [ --text={text} ]
result = json

[command cmd.v1.Show/PathTask]
param.path = path required in=DIR/in must=file
command = cat {path}

[command cmd.v1.Stdin/Text]
run = sync
param.text = string required
command = cat
stdin = {text}

[command cmd.v1.Stdin/Bytes]
run = sync
route = POST /stdin/bytes
param.data = bytes required
command = cat
stdin = {data}
result = bytes application/x-some

[command cmd.v1.Stdin/Body]
run = sync
route = POST /stdin/body/{prefix}
param.prefix = string
command = sh -c 'printf "%s" "$1"; exec cat' sh {prefix}
stdin = body
result = bytes text/x-body

[command cmd.v1.Stdin/Json]
run = sync
param.text = string required
param.count = int default=3
param.data = bytes
command = cat
stdin = json
result = json

[command cmd.v1.Result/Shell]
run = sync
param.script = string required
command = sh -c {script}
success = 0 3-4
retryable = 7
max_output = 1000

[command cmd.v1.Result/Job]
param.script = string required
command = sh -c {script}
success = 0 3-4
retryable = 7
retry.base = 10ms
retry.max_attempts = 3

[command cmd.v1.Result/Json]
run = sync
param.script = string required
command = sh -c {script}
result = json

[command cmd.v1.Result/None]
run = sync
command = echo hello
result = none

[command cmd.v1.Result/File]
run = sync
route = POST /result/file
param.script = string required
command = sh -c {script}
directory = temporary
result = file {@dir}/made.png image/png

[command cmd.v1.Result/Fields]
run = sync
param.script = string required
command = sh -c {script}
directory = temporary
result.status = string const="success"
result.width = int stdout_json=image.width
result.text = string stdout
result.data = bytes file={@dir}/made
result.code = int exit
success = 0 5

[command cmd.v1.Progress/Fd3]
route = POST /progress/fd3
command = DIR/steps
progress.fd3 = yes

[command cmd.v1.Progress/Lines]
param.script = string required
command = sh -c {script}
progress.percent = stdout ^(\\d+)%
progress.message = stderr ^now: (.*)$

[command cmd.v1.Kill/Tree]
command = DIR/tree DIR/pids
timeout = 1s
cancel_grace = 100ms
retry.max_attempts = 1

[command cmd.v1.Kill/Cancelled]
command = DIR/tree DIR/pids
cancel_grace = 100ms

[command cmd.v1.Two/AtATime]
command = sh -c 'mkdir "$0/$1"; while ! [ -e "$0/go" ]; do sleep 0.02; done; rmdir "$0/$1"' DIR/two {@task}
queue = two
slots = 2

[command cmd.v1.Kill/Sync]
run = sync
command = DIR/tree DIR/pids
cancel_grace = 100ms

[command cmd.v1.Limit/Memory]
command = python3 -c "x = b'x' * (200 << 20)"
memory = 64M
retry.max_attempts = 1

[command cmd.v1.Dir/Messy]
param.script = string required
command = sh -c {script}
directory = temporary
retry.max_attempts = 1

[command cmd.v1.Dir/Atomic]
run = sync
param.out = path required must=new atomic in=DIR/in
param.script = string required
command = sh -c {script} sh {out}
"""

STEPS = """#!/bin/sh
echo '{"fraction":0.25,"message":"a quarter"}' >&3
echo 'not JSON' >&3
echo '{"fraction":0.5,"other":1}' >&3
i=0; while [ $i -lt 2000 ]; do echo '{"fraction":0.6,"message":"flood"}' >&3; i=$((i + 1)); done
echo to stdout
echo to stderr >&2
printf '{"fraction":1,"message":"done"}' >&3
"""

# A child that has left its group and session, deaf to SIGTERM; so is the program.
TREE = """#!/usr/bin/python3
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(1000)
    time.sleep(1000)
time.sleep(0.1)
with open(sys.argv[1] + ".new", "w") as f:
    f.write(str(os.getpid()))
os.rename(sys.argv[1] + ".new", sys.argv[1])
time.sleep(1000)
"""


def make(pair, text):
    for name, script in (("show", SHOW), ("steps", STEPS), ("tree", TREE)):
        with open(pair.path(name), "w", encoding="utf-8") as f:
            f.write(script)
        os.chmod(pair.path(name), 0o755)
    for name in ("in", "tmp", "media"):
        os.mkdir(pair.path(name))
    with open(pair.path("commands.conf"), "w", encoding="utf-8") as f:
        f.write(text.replace("DIR", pair.dir))
    pair.service_args += ["--config", pair.path("commands.conf")]
    pair.env |= {"TMPDIR": pair.path("tmp"), "KEPT": "yes", "SECRET": "not for programs"}


@contextlib.contextmanager
def started(config, prepare=lambda p: None):
    p = Pair(modules=())
    make(p, config)
    prepare(p)
    try:
        yield p.start()
    finally:
        p.close()


@pytest.fixture(scope="module")
def pair():
    with started(CONFIG) as p:
        yield p


def shell(pair, what, script, status=200):
    r = pair.post(f"/cmd.v1.{what}", {"script": script})
    assert r.status == status, r
    return r


def job(pair, what, body):
    task = pair.post(f"/cmd.v1.{what}", body)
    assert task.status == 202, task
    return pair.wait_task(task.json()["id"])


def pointers(problem):
    return [e["pointer"] for e in problem["errors"]]


# --- calls ---

def test_typed(pair):
    r = pair.post("/show/abc", {"count": 5, "big": "9007199254740993", "ratio": 0.5, "tag": ["a b", "-c"], "loud": True})
    assert r.status == 200, r
    got = r.json()
    assert got["argv"] == ["abc", "-n", "5", "--big=9007199254740993", "--ratio=0.5", "fast", "--tag=a b", "--tag=-c",
                           "--loud", "cmd.v1.Show/Typed"]
    assert got["cwd"] == "/" and got["stdin"] == ""
    assert pair.post("/show/abc", {}).json()["argv"] == ["abc", "-n", "3", "fast", "cmd.v1.Show/Typed"]
    assert pair.post("/show/abc", {"loud": False}).json()["argv"] == ["abc", "-n", "3", "fast", "cmd.v1.Show/Typed"]


def test_rules(pair):
    r = pair.post("/show/abc", {"count": 10, "kind": "other", "tag": ["1", "2", "3", "4"]})
    assert r.status == 422 and sorted(pointers(r.json())) == ["#/count", "#/kind", "#/tag"], r
    assert pair.post("/show/ABC", {}).status in (400, 422)
    assert pair.post("/show/abc", {"count": "many"}).status == 422
    assert pair.post("/show/abc", {"unknown": 1}).status == 422


def test_environment_is_clean(pair):
    env = pair.post("/show/abc", {}).json()["env"]
    env.pop("LC_CTYPE", None)  # python's own
    assert sorted(env) == ["ERRAND_REQUEST_ID", "GREETING", "HOME", "KEPT", "LANG", "PATH", "TMPDIR", "TRACEPARENT"]
    assert env["GREETING"] == "hello abc" and env["KEPT"] == "yes" and env["TMPDIR"] == pair.path("tmp")


def test_over_the_socket(pair):
    out = subprocess.run([os.path.join(BUILD, "errand"), "-s", pair.socket, "call", "cmd.v1.Show/Typed", "name=abc",
                          "tag=x", "count=2"], capture_output=True, text=True, timeout=30, check=True).stdout
    assert json.loads(out)["argv"] == ["abc", "-n", "2", "fast", "--tag=x", "cmd.v1.Show/Typed"]
    r = subprocess.run([os.path.join(BUILD, "errand"), "-s", pair.socket, "call", "cmd.v1.Show/Plain", "text=-y"],
                       capture_output=True, text=True, timeout=30, check=False)
    assert r.returncode != 0 and "#/text" in r.stderr, r


def test_openapi(pair):
    doc = pair.get("/openapi.json").json()
    post = doc["paths"]["/show/{name}"]["post"]
    assert post["summary"] == "Says what it was given"
    text = json.dumps(doc)
    assert "How many" in text and "Default: 3." in text and "^[a-z]+$" in text
    assert "202" in doc["paths"]["/show-task"]["post"]["responses"]


def test_task(pair):
    task = pair.wait_task(pair.submit("/show-task", {"text": "a b"}))
    assert task["state"] == "SUCCEEDED" and task["queue"] == "default", task
    got = task["result"]
    assert got["argv"] == ["--text=a b", task["id"], "1"]
    assert got["cwd"].startswith(pair.path("tmp") + "/errand-work-") and got["mode"] == 0o700 and got["files"] == []
    assert not os.path.exists(got["cwd"])


# --- stdin ---

def test_stdin(pair):
    text = "zeile\n转码" * 5000
    assert pair.post("/cmd.v1.Stdin/Text", {"text": text}).json()["output"] == text
    data = bytes(range(256)) * 400
    r = pair.post("/stdin/bytes", {"data": base64.b64encode(data).decode()})
    assert (r.body, r.headers["Content-Type"]) == (data, "application/x-some")
    r = pair.request("POST", "/stdin/body/pre", data, {"Content-Type": "application/octet-stream"})
    assert r.status == 200 and r.body == b"pre" + data and r.headers["Content-Type"] == "text/x-body", r
    r = pair.post("/cmd.v1.Stdin/Json", {"text": "a\"b", "data": "AAE="})
    assert r.json() == {"text": "a\"b", "count": 3, "data": "AAE="}


# --- results ---

def test_results(pair):
    assert shell(pair, "Result/Shell", "echo hi; echo log >&2").json() == {"output": "hi\n", "exit_status": 0}
    assert shell(pair, "Result/Json", "echo '[1, {\"a\": null}]'").json() == [1, {"a": None}]
    r = pair.post("/cmd.v1.Result/None", {})
    assert (r.status, r.json()) == (200, {})
    script = "printf '\\000\\377' > made.png; echo noise"
    r = pair.post("/result/file", {"script": script})
    assert (r.body, r.headers["Content-Type"]) == (b"\0\xff", "image/png")
    got = shell(pair, "Result/File", script).json()
    assert got == {"content_type": "image/png", "data": "AP8="}, got
    assert shell(pair, "Result/Fields", "printf '{\"image\":{\"width\":7}}'; printf x > made; exit 5").json() == {
        "status": "success", "width": 7, "text": '{"image":{"width":7}}', "data": "eA==", "code": 5}


def test_text_that_is_none(pair):
    assert shell(pair, "Result/Shell", "printf 'a\\377b\\000c'").json()["output"] == "a\ufffdb\ufffdc"


@pytest.mark.parametrize("what, script, reason", [
    ("Json", "echo '{'", "stdout is not the JSON"),
    ("Json", "true", "stdout is not the JSON"),
    ("Shell", "head -c 1001 /dev/zero", "max_output"),
    ("Shell", "yes | head -c 100000000", "max_output"),
    ("File", "true", "cannot be read"),
    ("File", "ln -s /etc/passwd made.png", "symbolic link"),
    ("File", "mkdir made.png", "no regular file"),
    ("Fields", "echo '{}'; touch made", "no member image.width"),
    ("Fields", "echo '{\"image\": {\"width\": \"x\"}}'; touch made", "width"),
])
def test_output_that_is_not_what_it_should_be(pair, what, script, reason):
    r = shell(pair, f"Result/{what}", script, 500)
    assert reason in r.json()["detail"], r
    assert "passwd" not in r.json()["detail"]


def test_exit_statuses(pair):
    assert shell(pair, "Result/Shell", "exit 4").json()["exit_status"] == 4
    r = shell(pair, "Result/Shell", "echo why >&2; exit 5", 500)
    assert "sh ended with exit status 5" in r.json()["detail"] and "why" in r.json()["detail"]
    task = job(pair, "Result/Job", {"script": "exit 3"})
    assert task["state"] == "SUCCEEDED" and task["result"] == {"output": "", "exit_status": 3}
    task = job(pair, "Result/Job", {"script": "exit 5"})  # final
    assert (task["state"], task["attempt"], task["reason"]) == ("FAILED", 1, "not retryable"), task
    assert (task["attempts"][0]["outcome"], task["attempts"][0]["exit_status"]) == ("EXIT", 5)
    task = job(pair, "Result/Job", {"script": "exit 7"})
    assert (task["state"], task["attempt"], task["reason"]) == ("FAILED", 3, "attempts exhausted"), task
    task = job(pair, "Result/Job", {"script": "kill -9 $$"})
    assert task["attempts"][-1]["outcome"] == "SIGNAL", task


# --- progress and logs ---

def test_progress_on_descriptor_3(pair):
    task_id = pair.submit("/progress/fd3", {})
    seen = [e.json()["progress"] for e in pair.events(task_id) if e.event == "progress"]
    task = pair.task(task_id)
    assert task["state"] == "SUCCEEDED" and task["result"]["output"] == "to stdout\n"
    assert (task["progress"]["fraction"], task["progress"]["message"]) == (1, "done"), task
    assert (seen[-1]["fraction"], seen[-1]["message"]) == (1, "done") and len(seen) < 50, seen
    logs = [(l["stream"], l["text"]) for l in pair.logs(task_id)]
    assert ("handler", "not JSON") in logs and ("stderr", "to stderr") in logs
    assert ("handler", '{"fraction":0.5,"other":1}') in logs and not any("flood" in text for _, text in logs)
    assert not any(stream == "stdout" for stream, _ in logs)  # it is the result


def test_progress_by_patterns(pair):
    script = "echo begin; echo 40%; echo 'now: half' >&2; echo 80%; echo end"
    task = job(pair, "Progress/Lines", {"script": script})
    assert task["state"] == "SUCCEEDED" and task["result"]["output"] == "begin\nend\n", task
    assert (task["progress"]["fraction"], task["progress"]["message"]) == (0.8, "half"), task
    assert [l["text"] for l in pair.logs(task["id"]) if l["stream"] == "stderr"] == ["now: half"]


# --- the end of programs ---

def tree_of(pair):
    """All that was started from the script."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                if pair.path("tree").encode() in f.read():
                    found.append(int(pid))
        except OSError:
            pass
    return [p for p in found if not pid_gone(p)]


def test_a_timeout_kills_all_of_it(pair):
    r = pair.post("/cmd.v1.Kill/Tree", {})
    wait_until(lambda: len(tree_of(pair)) == 3, what="three processes")
    task = pair.wait_task(r.json()["id"])
    assert (task["state"], task["attempts"][0]["outcome"]) == ("FAILED", "TIMEOUT"), task
    wait_until(lambda: not tree_of(pair), what="nobody left")


def test_a_cancel_kills_all_of_it(pair):
    r = pair.post("/cmd.v1.Kill/Cancelled", {})
    wait_until(lambda: len(tree_of(pair)) == 3, what="three processes")
    assert pair.post(f"/v1/tasks/{r.json()['id']}:cancel").status in (200, 202)
    assert pair.wait_task(r.json()["id"])["state"] == "CANCELLED"
    wait_until(lambda: not tree_of(pair), what="nobody left")


def test_a_client_that_leaves_ends_it(pair):
    c = pair.connect()
    c.request("POST", "/cmd.v1.Kill/Sync", b"{}", {"Content-Type": "application/json"})
    wait_until(lambda: len(tree_of(pair)) == 3, what="three processes")
    c.close()
    wait_until(lambda: not tree_of(pair), what="nobody left")


def test_over_memory(pair):
    """Where no cgroup holds it, python's own allocation fails."""
    task = job(pair, "Limit/Memory", {})
    with open(pair.service.log, encoding="utf-8") as f:
        tree = re.search(r"msg=\"programs .*holds=\S*memory", f.read())
    assert task["state"] == "FAILED" and task["attempts"][-1]["outcome"] == ("OOM" if tree else "EXIT"), task
    usage = task["attempts"][-1]["usage"]
    assert int(usage["memory_limit"]) == 64 << 20 and (not tree or 60 << 20 < int(usage["peak_memory"]) <= 64 << 20)


def test_two_at_a_time(pair):
    two = pair.path("two")
    os.mkdir(two)
    ids = [pair.post("/cmd.v1.Two/AtATime", {}).json()["id"] for _ in range(5)]
    wait_until(lambda: len(os.listdir(two)) == 2, what="two of them")
    states = sorted(pair.task(i)["state"] for i in ids)
    assert states == ["QUEUED"] * 3 + ["RUNNING"] * 2 and len(os.listdir(two)) == 2
    with open(os.path.join(two, "go"), "w", encoding="utf-8"):
        pass
    assert [pair.wait_task(i)["state"] for i in ids] == ["SUCCEEDED"] * 5
    assert pair.task(ids[0])["queue"] == "two"


# --- values (FAULTS 29) ---

@pytest.mark.parametrize("value", ["; rm -rf /", "$(touch pwned)", "`x`", "a b\tc", "a\nb", "../../etc/passwd", "", "*",
                                   "{name}", "{@task}", "'\"\\", "http://127.0.0.1/", "转码", "%s%n", "A" * 65536])
def test_values_are_data(pair, value):
    r = pair.post("/cmd.v1.Show/Plain", {"text": value})
    assert r.status == 200 and r.json()["argv"] == [value, "end"], r
    task = pair.wait_task(pair.submit("/show-task", {"text": value}))
    assert task["result"]["argv"][0] == "--text=" + value
    assert not os.path.exists("/pwned")


@pytest.mark.parametrize("value", ["-y", "-", "--", "--help", "-i;x"])
def test_values_are_no_options(pair, value):
    r = pair.post("/cmd.v1.Show/Plain", {"text": value})
    assert r.status == 422 and pointers(r.json()) == ["#/text"], r
    assert pair.post("/cmd.v1.Show/Plain", {"free": value}).json()["argv"] == [value, "end"]
    task = pair.wait_task(pair.submit("/show-task", {"text": value}))
    assert task["result"]["argv"][0] == "--text=" + value


def test_values_that_are_none(pair):
    """A megabyte, a NUL, what is no UTF-8."""
    for what, body in (("Show/Plain", {"text": "A" * (1 << 20)}), ("Show/Long", {"text": "A" * (1 << 20)})):
        r = pair.post(f"/cmd.v1.{what}", body)
        assert r.status == 422 and pointers(r.json()) == ["#/text"], r
    assert len(pair.post("/cmd.v1.Show/Long", {"text": "A" * 131000}).json()["argv"][0]) == 131007
    for text in (b"a\\u0000b", b"a\xffb", b"\\ud800", b"a\x00b"):
        r = pair.request("POST", "/cmd.v1.Show/Plain", b'{"text": "' + text + b'"}', {"Content-Type": "application/json"})
        assert r.status in (400, 422), r
        assert r.json()["errors"], r


def test_bytes_of_the_socket(pair):
    """Clients without a gateway in front of them."""
    client = rawworker.Client(pair.socket)

    def plain(*payload):
        return client.call("cmd.v1.Show/Plain", b"".join(payload))

    try:
        assert b"end" in plain(field(1, "text"), field(3, "-y"))
        for payload in (field(1, b"a\0b"), field(1, b"a\xff"), field(1, "-y"), field(2, "../../etc/passwd"),
                        field(1, "A" * (1 << 20)), b"\x0a\x7fa", field(2, b"a\0/../../x")):
            with pytest.raises(Failed) as failed:
                plain(payload)
            assert failed.value.code == 3, failed.value
    finally:
        client.close()


@pytest.mark.parametrize("path", ["../../etc/passwd", "/etc/passwd", "a/../../x", "/", "..", "/proc/self/" "root/etc/passwd"])
def test_paths_stay_below(pair, path):
    """As text, before there is a task."""
    for what in ("Show/Plain", "Show/PathTask"):
        r = pair.post(f"/cmd.v1.{what}", {"path": path})
        assert r.status == 422 and pointers(r.json()) == ["#/path"], r
    body = {"method": "cmd.v1.Show/PathTask", "input": {"path": path}}
    r = pair.post("/v1/tasks", body)
    assert r.status == 422 and pointers(r.json()) == ["#/input/path"], r


def test_links_do_not_lead_out(pair):
    os.symlink("/etc", pair.path("in", "etc"))
    os.symlink("/etc/passwd", pair.path("in", "passwd"))
    os.symlink("good", pair.path("in", "alias"))
    with open(pair.path("in", "good"), "w", encoding="utf-8") as f:
        f.write("content")
    for path in ("etc/passwd", "passwd", pair.path("in", "passwd")):
        r = pair.post("/cmd.v1.Show/Plain", {"path": path})
        assert r.status == 422 and pointers(r.json()) == ["#/path"], r
        task = job(pair, "Show/PathTask", {"path": path})
        assert (task["state"], task["attempt"], pointers(task["error"])) == ("FAILED", 1, ["#/path"]), task
    assert pair.post("/cmd.v1.Show/Plain", {"path": "alias"}).json()["argv"] == [pair.path("in", "good"), "end"]
    assert pair.post("/cmd.v1.Show/Plain", {"path": "-y"}).json()["argv"] == [pair.path("in", "-y"), "end"]
    assert job(pair, "Show/PathTask", {"path": "alias"})["result"]["output"] == "content"
    assert pointers(job(pair, "Show/PathTask", {"path": "absent"})["error"]) == ["#/path"]


def test_all_faults_at_once(pair):
    r = pair.post("/cmd.v1.Show/Plain", {"text": "-y", "path": "/etc/passwd"})
    assert r.status == 422 and sorted(pointers(r.json())) == ["#/path", "#/text"], r


# --- directories and files ---

def test_a_temporary_directory_goes_whole(pair):
    outside = pair.path("in", "outside")
    os.mkdir(outside)
    with open(os.path.join(outside, "precious"), "w", encoding="utf-8") as f:
        f.write("still there")
    script = (f"pwd; ln -s {outside} link; ln {outside}/precious hard; mkdir -p a/b closed; touch a/b/c; chmod 0 closed a; "
              "i=0; while [ $i -lt 300 ]; do mkdir d; cd d; i=$((i + 1)); done; touch deep")
    task = job(pair, "Dir/Messy", {"script": script})
    assert task["state"] == "SUCCEEDED", task
    assert not os.path.exists(task["result"]["output"].strip())
    assert os.listdir(outside) == ["precious"]
    task = job(pair, "Dir/Messy", {"script": "touch x; exit 1"})
    top, = os.listdir(pair.path("tmp"))
    assert os.listdir(pair.path("tmp", top)) == []


def test_a_service_that_was_killed_leaves_directories_to_the_next():
    with started(CONFIG) as pair:
        r = pair.post("/cmd.v1.Dir/Messy", {"script": "touch x; sleep 1000"})
        wait_until(lambda: any("x" in files for _, _, files in os.walk(pair.path("tmp"))), what="its file")
        before = os.listdir(pair.path("tmp"))
        pair.service.kill()
        os.mkdir(pair.path("tmp", "errand-work-unused"))
        os.mkdir(pair.path("tmp", "else"))
        pair.start_service()
        pair.wait_ready()
        now = os.listdir(pair.path("tmp"))
        assert not {*before, "errand-work-unused"} & {*now} and "else" in now and len(now) == 2, now
        pair.post(f"/v1/tasks/{r.json()['id']}:cancel")
        pair.wait_task(r.json()["id"])
        pair.service.stop()
        assert os.listdir(pair.path("tmp")) == ["else"]


def test_no_place_for_them(pair):
    r = subprocess.run([os.path.join(BUILD, "errand-service"), "-s", pair.path("other.sock"), "--store", "memory", "--config",
                        pair.path("commands.conf")], env=dict(pair.env, TMPDIR="/nonexistent"), capture_output=True,
                       text=True, timeout=30, check=False)
    assert r.returncode == 73 and "no temporary directory in /nonexistent (TMPDIR)" in r.stderr, r


def test_files_whole_or_not_at_all(pair):
    out = pair.path("in", "made.txt")

    def made(script, status):
        r = pair.post("/cmd.v1.Dir/Atomic", {"out": "made.txt", "script": script})
        assert r.status == status, r
        assert not [n for n in os.listdir(pair.path("in")) if n.startswith(".errand-")]
        return r

    assert made("echo half > $1; exit 1", 500) and not os.path.exists(out)
    assert "did not write made.txt" in made("true", 500).json()["detail"]
    name = made("echo whole > $1; echo $1", 200).json()["output"].strip()
    assert re.fullmatch(re.escape(pair.path("in")) + r"/\.errand-[0-9a-f-]{36}-0\.txt", name)
    with open(out, encoding="utf-8") as f:
        assert f.read() == "whole\n"
    assert stat.S_IMODE(os.stat(out).st_mode) == 0o644
    made("echo other > $1; kill -9 $$", 500)
    with open(out, encoding="utf-8") as f:
        assert f.read() == "whole\n"


# --- playlists (FAULTS 30) ---

def documented():
    """The command of docs/COMMANDS.md's first example."""
    with open(os.path.join(TOP, "docs", "COMMANDS.md"), encoding="utf-8") as f:
        block = re.search(r"^    \[command media\.v1\.Encoder/Encode\]\n(    .*\n)+", f.read(), re.M)[0]
    return re.sub(r"^    ", "", block, flags=re.M)


class Hits(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.hits.append(self.path)
        self.send_response(404)
        self.end_headers()

    def log_message(self, *args):
        pass


def playlists(web):
    hls = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n{}\n#EXT-X-ENDLIST\n"
    return {
        "a.m3u8": hls.format("file:///etc/passwd"), "b.m3u8": hls.format(web + "/x.ts"), "c.mp4": hls.format("clip.mp4"),
        "d.ffconcat": "ffconcat version 1.0\nfile clip.mp4\n",
        "e.mp4": f"ffconcat version 1.0\nfile '{web}/x.mp4'\n",
        "f.mp4": hls.format(f"concat:{web}/x|file:///etc/passwd"),
        "g.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"
                 "a=rtpmap:96 H264/90000\n",
        "h.mpd": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static">'
                 f"<BaseURL>{web}/</BaseURL></MPD>\n",
    }


@contextlib.contextmanager
def web_server():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hits)
    server.hits = []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def refused(pair, name):
    task = pair.wait_task(pair.submit("/encode", {"input_path": name, "output_path": "out.mp4", "preset": "ultrafast"}))
    assert task["state"] == "FAILED", (name, task)
    assert not os.path.exists(pair.path("media", "out.mp4")), name
    assert "root:" not in json.dumps(pair.logs(task["id"])) + json.dumps(task)


def test_playlists_name_nothing(clips):
    def prepare(pair):
        shutil.copy(f"{clips}/clip.mp4", pair.path("media"))

    with web_server() as server:
        lists = playlists(f"http://127.0.0.1:{server.server_port}")
        config = documented().replace("/srv/media", "DIR/media") + "retry.max_attempts = 1\n"
        with started(config, prepare) as pair:
            for name, text in lists.items():
                with open(pair.path("media", name), "w", encoding="utf-8") as f:
                    f.write(text)
            # They are what they seem: ffmpeg alone reads what this one names.
            subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-i", pair.path("media", "d.ffconcat"), "-f", "null", "-"],
                           check=True, timeout=60, capture_output=True)
            for name in lists:
                refused(pair, name)
            assert server.hits == []
            task = pair.wait_task(pair.submit("/encode", {"input_path": "clip.mp4", "output_path": "out.mp4",
                                                          "preset": "ultrafast"}))
            assert task["state"] == "SUCCEEDED" and os.path.getsize(pair.path("media", "out.mp4")) > 1000, task
