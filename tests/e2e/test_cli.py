"""The errand command against a running service: call, tasks, task; its output and
exit statuses."""

import fcntl
import json
import os
import pty
import re
import signal
import socket
import struct
import subprocess
import termios
import time

import pytest

from conftest import BUILD, REPORT, in_threads, wait_until

ERRAND = os.path.join(BUILD, "errand")
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def environment(pair, **more):
    env = dict(os.environ, ERRAND_SOCKET=pair.socket, TZ="UTC", **more)
    env.pop("NO_COLOR", None)
    env.update(more)
    return env


def errand(pair, *args, status=0, text_in=None, **more):
    """Runs the command; its stdout, after a look at its exit status."""
    r = subprocess.run([ERRAND, *args], env=environment(pair, **more), input=text_in,
                       capture_output=True, text=True, timeout=60, check=False)
    assert REPORT.search(r.stderr) is None, r.stderr
    assert r.returncode == status, (r.returncode, r.stdout, r.stderr)
    errand.stderr = r.stderr
    return r.stdout


def submit(pair, method, *operands):
    task = json.loads(errand(pair, "call", "--async", method, *operands))
    assert UUID.fullmatch(task["id"])
    return task["id"]


# --- call ---

def test_one_method_four_ways(pair):
    want = {"item_id": 1, "name": "示例商品", "price": 99.9}
    ways = (["GetItem", "item_id=1"], ["article.v1.Article/GetItem", "item_id=1"],
            ["/items/1"], ["GET /items/1"], ["GET", "/items/1"], ["Article/GetItem", "item_id:=1"])
    for got in in_threads(len(ways), lambda i: errand(pair, "call", *ways[i])):
        assert json.loads(got) == want


def test_every_kind_of_field(pair):
    got = json.loads(errand(
        pair, "call", "Test/Echo", "text_value=示例=1", "int64_value=-9223372036854775808",
        "bool_value=true", "kind=SECOND", "inner.next.label=deep", "numbers=1", "numbers=2",
        "counts[a]=1", "counts.b=2", "inners:=[{\"label\":\"x\"},{}]", "maybe=0",
        "lasting=1.5s", "wrapped=7", "any_object:={\"k\":[1,null]}"))
    assert got["text_value"] == "示例=1"
    assert got["int64_value"] == "-9223372036854775808"
    assert got["bool_value"] is True and got["kind"] == "SECOND"
    assert got["inner"]["next"]["label"] == "deep"
    assert got["numbers"] == [1, 2] and got["counts"] == {"a": 1, "b": 2}
    assert got["inners"][0]["label"] == "x" and len(got["inners"]) == 2
    assert got["maybe"] == 0 and got["lasting"] == "1.500s" and got["wrapped"] == "7"
    assert got["any_object"] == {"k": [1, None]}


def test_body_from_file_and_stdin(pair):
    path = pair.path("body.json")
    with open(path, "w", encoding="utf-8") as f:
        f.write('{"text_value": "from file", "digits": 3}')
    got = json.loads(errand(pair, "call", "Test/Echo", f"@{path}", "int32_value=5"))
    assert (got["text_value"], got["digits"], got["int32_value"]) == ("from file", 3, 5)
    got = json.loads(errand(pair, "call", "POST /test/echo", "-", text_in='{"words": "in"}'))
    assert got["words"] == "in"


def test_stream_is_a_line_per_message(pair):
    lines = errand(pair, "call", "/test/stream?count=3&size=2").splitlines()
    assert [json.loads(x)["index"] for x in lines] == [0, 1, 2]
    lines = errand(pair, "call", "Stream", "count=2", "fail_code=5", status=4).splitlines()
    assert len(lines) == 2 and "NOT_FOUND" in errand.stderr


def test_bad_input_is_shown_with_its_place(pair):
    errand(pair, "call", "Test/Echo", "int32_value=x", "kindd=FIRST", "inner.weight=9999999999",
           status=65)
    for part in ("int32_value:", "did you mean 'kind'", "inner.weight:"):
        assert part in errand.stderr
    errand(pair, "call", "Test/Echo", "-", text_in="{\"text_value\": 1, \"numbers\": [1, \"x\"]}",
           status=65)
    assert "#/text_value" in errand.stderr and "#/numbers/1" in errand.stderr
    errand(pair, "--json", "call", "Test/Echo", "nope=1", status=65)
    assert json.loads(errand.stderr)["errors"][0]["parameter"] == "nope"


@pytest.mark.parametrize("code,status", [(1, 3), (3, 65), (4, 124), (5, 4), (9, 1), (13, 1), (14, 69)])
def test_errors_and_exit_statuses(pair, code, status):
    assert errand(pair, "call", "Test/Fail", f"code={code}", "message=the reason", status=status) == ""
    assert "the reason" in errand.stderr
    errand(pair, "call", "--json", "Test/Fail", f"code={code}", "message=the reason", status=status)
    assert json.loads(errand.stderr)["detail"] == "the reason"


def test_unknown_and_ambiguous_names(pair):
    errand(pair, "call", "GetItm", status=4)
    assert "did you mean 'article.v1.Article/GetItem'" in errand.stderr
    errand(pair, "call", "/no/such/route", status=4)
    errand(pair, "call", "DELETE /items/1", status=4)


def test_usage(pair):
    for args in ([], ["call"], ["task"], ["task", "get"], ["task", "gte", "x"], ["tsk"],
                 ["tasks", "--nonsense"], ["tasks", "--state", "odd"], ["call", "Test/Echo", "word"],
                 ["logs", "a", "b"], ["tasks", "--timeout", "5"]):
        errand(pair, *args, status=64)
        assert errand.stderr
    for args in (["--help"], ["call", "--help"], ["tasks", "-h"], ["task", "--help"],
                 ["dev", "--help"], ["gen", "--help"], ["--version"]):
        assert errand(pair, *args)


def test_nobody_there():
    class Nowhere:
        socket = "/nonexistent/service.sock"
    errand(Nowhere, "tasks", status=69)
    assert "/nonexistent/service.sock" in errand.stderr
    errand(Nowhere, "call", "GetItem", status=69)
    errand(Nowhere, "tasks", "--json", status=69)
    assert "/nonexistent/service.sock" in json.loads(errand.stderr)["detail"]


def test_somebody_who_does_not_answer(tmp_path):
    """The socket takes the connection; nobody ever says a word."""
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(f"{tmp_path}/s")
        silent.listen()

        class Silent:
            socket = f"{tmp_path}/s"
        errand(Silent, "tasks", "--timeout", "200ms", status=124)
        assert "in time" in errand.stderr


def test_timeout(pair):
    begin = time.monotonic()
    errand(pair, "call", "Test/Wait", "ms=20000", "--timeout", "300ms", status=124)
    assert time.monotonic() - begin < 10
    errand(pair, "call", "TaskSleep", "ms=3000", "--timeout", "500ms", status=124)
    task_id = UUID.search(errand.stderr)[0]
    assert pair.wait_task(task_id)["state"] == "SUCCEEDED"  # it was left alone


# --- tasks ---

def test_call_waits_for_a_task(pair):
    assert json.loads(errand(pair, "call", "TaskEcho", "text_value=x"))["text_value"] == "x"
    errand(pair, "call", "TaskFail", "code=13", "final:=true", "times=9", status=1)
    assert "INTERNAL" in errand.stderr
    # Any method can be made a task.
    task_id = submit(pair, "GetItem", "item_id=3")
    assert pair.wait_task(task_id)["result"]["item_id"] == 3


def test_the_life_of_a_task(pair):
    task_id = submit(pair, "TaskLog", "lines=3", "size=10")
    tail = task_id[-12:]
    errand(pair, "task", "watch", tail)
    task = json.loads(errand(pair, "task", "get", tail))
    assert (task["id"], task["state"]) == (task_id, "SUCCEEDED")
    assert len(errand(pair, "task", "logs", tail).splitlines()) == 3
    line = json.loads(errand(pair, "task", "logs", tail, "--json").splitlines()[0])
    assert line["stream"] == "handler" and line["attempt"] == 1
    assert "message" in json.loads(errand(pair, "task", "result", tail))
    again = json.loads(errand(pair, "task", "retry", "--json", tail))
    assert again["state"] in ("QUEUED", "RUNNING")
    errand(pair, "task", "watch", tail)
    assert errand(pair, "task", "delete", tail) == f"{task_id} forgotten\n"
    errand(pair, "task", "get", tail, status=4)
    errand(pair, "task", "watch", task_id, status=4)


def test_cancel(pair):
    task_id = submit(pair, "TaskSleep", "ms=30000")
    pair.wait_task(task_id, ("RUNNING",))
    task = json.loads(errand(pair, "task", "cancel", "--json", task_id))
    assert task["state"] in ("CANCELLING", "CANCELLED")
    errand(pair, "task", "watch", task_id, status=3)
    errand(pair, "task", "result", task_id, status=3)


def test_listing(pair):
    mine = [submit(pair, "TaskTouch", f"name=list{i}") for i in range(4)]
    for task_id in mine:
        pair.wait_task(task_id)
    listed = [json.loads(line) for line in errand(
        pair, "tasks", "--json", "--method", "errandtest.v1.Test/TaskTouch", "--state", "succeeded", "-n", "3").splitlines()]
    assert [t["id"] for t in listed] == mine[:0:-1]
    plain = errand(pair, "tasks", "--queue", "test", "-n", "2").splitlines()
    assert plain[0].split()[:2] == ["ID", "STATE"] and len(plain) == 3
    assert UUID.match(plain[1])
    assert errand(pair, "tasks", "--queue", "no-such-queue") == ""


def test_watch_goes_on_over_a_restart(make_pair):
    own = make_pair()
    task_id = submit(own, "TaskSleep", "ms=2000")
    own.wait_task(task_id, ("RUNNING",))
    with subprocess.Popen([ERRAND, "task", "watch", task_id], env=environment(own),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as watch:
        assert "RUNNING" in watch.stdout.readline() + watch.stdout.readline()
        own.service.kill()
        assert "waiting for it" in watch.stderr.readline()
        own.start_service()
        out, err = watch.communicate(timeout=60)
    assert watch.returncode == 0, (out, err)
    assert "SUCCEEDED" in out and "attempt 2" in out


def test_interrupt_leaves_the_task(pair):
    with subprocess.Popen([ERRAND, "call", "TaskSleep", "ms=1500"], env=environment(pair),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as call:
        task_id = UUID.search(call.stderr.readline())[0]
        while "RUNNING" not in call.stderr.readline():
            pass
        call.send_signal(signal.SIGINT)
        call.communicate(timeout=20)
    assert call.returncode == 130
    assert pair.wait_task(task_id)["state"] == "SUCCEEDED"


def on_terminal(pair, *args, **more):
    """What a terminal of 100 columns shows, and the exit status."""
    pid, fd = pty.fork()
    if pid == 0:
        os.execve(ERRAND, [ERRAND, *args], environment(pair, **{"TERM": "xterm", **more}))
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    out = b""
    try:
        while chunk := os.read(fd, 65536):
            out += chunk
    except OSError:  # EIO: the other end is closed
        pass
    os.close(fd)
    return out.decode(), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_terminal(pair, clips):
    def encode(name):
        return submit(pair, "Encode", f"input_path={clips}/clip.mp4",
                      f"output_path={pair.path(name)}", "preset=medium")
    out, status = on_terminal(pair, "task", "watch", encode("bar.mp4"))
    assert status == 0 and "█" in out and "100%" in out and "\033[K" in out, out
    assert "SUCCEEDED" in out
    for line in out.replace("\033[K", "").replace("\n", "\r").split("\r"):
        assert len(line) <= 100
    out, status = on_terminal(pair, "task", "watch", encode("plain.mp4"), NO_COLOR="1")
    assert status == 0 and "\033" not in out and "%" in out, out
    table, status = on_terminal(pair, "tasks")
    assert status == 0 and "\033[32m" in table, table
    assert all(len(re.sub("\033\\[[0-9;]*m", "", x)) <= 100 for x in table.splitlines()), table
    # The ends of the ids do on a dumb terminal, too.
    table, status = on_terminal(pair, "tasks", TERM="dumb")
    assert status == 0 and "\033" not in table and "SUCCEEDED" in table, table
    assert all(len(x) <= 100 for x in table.splitlines()), table
    pretty, _ = on_terminal(pair, "call", "/items/1")
    assert "\n  \"item_id\": 1" in pretty.replace("\r", "")


def test_a_closed_pipe_is_quiet(pair):
    with subprocess.Popen(f"{ERRAND} call Stream count=2000 size=1000 | head -1 >/dev/null; "
                          "echo ${PIPESTATUS[0]}", shell=True, executable="/bin/bash",
                          env=environment(pair), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True) as p:
        out, err = p.communicate(timeout=30)
    assert out.strip() == "141" and err == ""


def test_logs_follow(pair):
    task_id = submit(pair, "TaskRun", "argv=sh", "argv=-c",
                     "argv=for i in 1 2 3; do echo line $i; sleep 0.2; done")
    out = errand(pair, "task", "logs", "-f", task_id)
    assert out.splitlines() == ["line 1", "line 2", "line 3"]
    assert wait_until(lambda: pair.task(task_id)["state"] == "SUCCEEDED")


def test_json_watch_is_events(pair):
    task_id = submit(pair, "TaskSleep", "ms=300")
    events = [json.loads(x) for x in errand(pair, "task", "watch", "--json", task_id).splitlines()]
    assert [e["seq"] for e in events] == sorted((e["seq"] for e in events), key=int)
    assert events[-1]["event"] in ("result", "state")
