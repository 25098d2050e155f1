"""The verbs of tasks as commands of their own: run, submit, show, watch, wait, logs, list, result, and
those that change one task, several or all that a filter takes."""

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import threading

import pytest
from conftest import TOP, need, wait_until
from test_cli import ERRAND, UUID, environment, errand, on_terminal

TOUCH = "errandtest.v1.Test/TaskTouch"
ECHO = "errandtest.v1.Test/TaskEcho"


def submit(pair, *args):
    task_id = errand(pair, "submit", *args).strip()
    assert UUID.fullmatch(task_id), task_id
    return task_id


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


# --- run, submit ---

def test_run(pair):
    out = errand(pair, "run", "TaskEcho", "text_value=x")
    assert json.loads(out)["text_value"] == "x" and "task 0" in errand.stderr
    assert json.loads(errand(pair, "run", "--quiet", "POST", "/test/task-echo", "-", text_in='{"words":"in"}'))["words"] == "in"
    assert errand.stderr == ""
    # Any method is a task when it is run.
    assert json.loads(errand(pair, "run", "/items/7"))["item_id"] == 7
    assert lines(errand(pair, "list", "--json", "-n", "1"))[0]["method"] == "article.v1.Article/GetItem"


def test_run_tells_how_it_ended(pair):
    assert errand(pair, "run", "TaskFail", "code=13", "final:=true", "times=9", status=1) == ""
    assert "errand logs" in errand.stderr and "errand retry" in errand.stderr
    errand(pair, "run", "--start-deadline", "1ms", "--delay", "1ms", "-q", "nobody-works", "TaskEcho", "nope=1", status=65)
    errand(pair, "run", "NoSuchThing", status=4)
    assert "errand routes" in errand.stderr
    errand(pair, "run", "TaskEch", status=4)
    assert "did you mean 'errandtest.v1.Test/TaskEcho'" in errand.stderr
    errand(pair, "run", status=64)
    errand(pair, "run", "--timeout", "300ms", "TaskSleep", "ms=30000", status=124)
    errand(pair, "cancel", UUID.search(errand.stderr)[0])


def test_run_into_a_file(pair):
    path = pair.path("answer")
    assert errand(pair, "run", "TaskEcho", "text_value=kept", "--output", path) == ""
    with open(path, encoding="utf-8") as f:
        assert json.load(f)["text_value"] == "kept"
    errand(pair, "run", "TaskEcho", "--output", "/nonexistent/x", status=1)
    assert "/nonexistent/x" in errand.stderr


def test_bytes_are_bytes(pair):
    data = "aGVsbG8KAAE="  # hello, newline, 0, 1
    body = f'{{"content_type":"text/x","data":"{data}"}}'
    task = submit(pair, "Raw", body)
    errand(pair, "wait", task)
    r = subprocess.run([ERRAND, "result", task], env=environment(pair), capture_output=True, timeout=30, check=True)
    assert r.stdout == b"hello\n\0\1"
    path = pair.path("raw")
    errand(pair, "result", "-o", path, task)
    with open(path, "rb") as f:
        assert f.read() == b"hello\n\0\1"
    assert json.loads(errand(pair, "result", "--json", task))["data"] == data
    r = subprocess.run([ERRAND, "call", "Raw", body], env=environment(pair), capture_output=True, timeout=30, check=True)
    assert r.stdout == b"hello\n\0\1"
    out, status = on_terminal(pair, "result", task)
    assert status == 1 and "--output FILE" in out


def test_submit(pair):
    task = submit(pair, "TaskEcho", "text_value=s", "-l", "who=submit", "-p", "3")
    assert pair.wait_task(task)["labels"] == {"who": "submit"}
    assert json.loads(errand(pair, "submit", "--json", "TaskEcho"))["method"] == ECHO
    done = errand(pair, "submit", "--wait", "TaskTouch", "name=sub").strip()
    assert pair.task(done)["state"] == "SUCCEEDED"
    failed = errand(pair, "submit", "--wait", "TaskFail", "code=13", "final:=true", "times=9", status=1).strip()
    assert pair.task(failed)["state"] == "FAILED"
    after = submit(pair, "TaskEcho", "--after", done[-9:])
    assert json.loads(errand(pair, "show", after))["options"]["after"] == [done]
    errand(pair, "submit", "--label", "x", "TaskEcho", status=64)


# --- names of tasks ---

def test_ends_and_beginnings(pair):
    task = submit(pair, "TaskEcho")
    for name in (task, task[-8:], task[:-1], task[:-1].upper()):
        assert json.loads(errand(pair, "show", name))["id"] == task
    for _ in range(3):
        submit(pair, "TaskEcho")
    errand(pair, "show", task[:6], status=64)
    assert "several tasks" in errand.stderr and len(UUID.findall(errand.stderr)) >= 3
    for name in ("ffffff", "00000000-0000-7000-8000-000000000000", "fffff", "gggggggg"):
        errand(pair, "show", name, status=4 if name != "fffff" else 4)
        assert "errand list" in errand.stderr
    errand(pair, "--json", "show", "fffffff", status=4)
    assert "detail" in json.loads(errand.stderr)


def test_ids_from_stdin(pair):
    mine = [submit(pair, "TaskEcho", "--delay", "1h", "-q", "stdin") for _ in range(3)]
    table = errand(pair, "list", "-q", "stdin")
    assert table.startswith("ID ")
    out = errand(pair, "cancel", "-", text_in=table)
    assert sorted(out.split("\n")[:-1]) == sorted(f"{t} CANCELLED" for t in mine)
    errand(pair, "show", "-", text_in="\n", status=64)
    assert [t["id"] for t in lines(errand(pair, "show", *mine))] == mine


# --- list ---

def test_columns(pair):
    task = submit(pair, "TaskEcho", "-q", "columns", "-l", "a=1", "-l", "b=two words", "-p", "-4", "--delay", "1h")
    row = errand(pair, "list", "-q", "columns", "-c", "id,priority,LABELS,next", "-H").split()
    assert row[0] == task and row[1] == "-4" and "a=1" in " ".join(row) and "b=two words" in " ".join(row)
    assert len(errand(pair, "list", "-q", "columns").splitlines()) == 2
    names = errand(pair, "list", "--columns", "help").split()
    assert names[:2] == ["id", "state"] and "error" in names and "labels" in names
    wide = errand(pair, "list", "--queue", "columns", "--columns", ",".join(names), COLUMNS="40")
    assert ECHO in wide and task in wide  # nothing is cut in a pipe
    errand(pair, "list", "--columns", "id,nothing", status=64)
    assert "nothing" in errand.stderr and "priority" in errand.stderr
    errand(pair, "list", "--sort", "nothing", status=64)


def test_sort(pair):
    for priority in (2, 10, -1):
        submit(pair, "TaskEcho", "-q", "sorted", "-p", str(priority), "--delay", "1h")
    assert errand(pair, "list", "-q", "sorted", "-c", "priority", "-H", "-S", "priority").split() == ["-1", "2", "10"]
    assert errand(pair, "list", "-q", "sorted", "-c", "id", "-H", "-S", "-priority", "-n", "2").count("\n") == 2
    assert errand(pair, "list", "-q", "sorted", "-c", "priority", "-H", "--sort=-priority").split() == ["10", "2", "-1"]


def test_which_tasks(pair):
    submit(pair, "TaskEcho", "-q", "which", "--delay", "1h")
    done = submit(pair, "TaskTouch", "-q", "which", "name=which")
    errand(pair, "wait", done)

    def states(*args):
        return sorted(t["state"] for t in lines(errand(pair, "list", "--json", "-q", "which", *args)))
    assert states() == ["SCHEDULED", "SUCCEEDED"] == states("--state", "succeeded,scheduled")
    assert states("--state", "Scheduled") == ["SCHEDULED"]
    assert states("-m", "TaskTouch") == ["SUCCEEDED"] == states("-m", TOUCH)
    assert states("--since", "1h", "--filter", "state = SCHEDULED OR state = HELD") == ["SCHEDULED"]
    assert states("--since", "2000-01-01") == states("--since", "2000-01-01T00:00:00Z") == ["SCHEDULED", "SUCCEEDED"]
    assert states("--since", "2100-01-01") == []
    errand(pair, "list", "--since", "yesterday", status=64)
    errand(pair, "list", "--state", "suceeded", status=64)
    assert "did you mean SUCCEEDED" in errand.stderr
    errand(pair, "list", "--method", "TaskTuch", status=4)
    assert "did you mean" in errand.stderr
    assert errand(pair, "list", "--queue", "whihc") == "" and "did you mean 'which'" in errand.stderr
    errand(pair, "list", "-m", "errandtest.v1.Test/TaskTuch")
    assert "did you mean" in errand.stderr
    errand(pair, "list", "more", status=64)


def test_colours(pair):
    task = submit(pair, "TaskEcho", "-q", "colours")
    errand(pair, "wait", task)
    assert "\033[" in errand(pair, "list", "-q", "colours", "--color", "always")
    assert "\033[" not in errand(pair, "list", "-q", "colours")
    out, _ = on_terminal(pair, "list", "-q", "colours", "--color=never")
    assert "\033[" not in out and "SUCCEEDED" in out
    out, _ = on_terminal(pair, "list", "-q", "colours", NO_COLOR="1")
    assert "\033[" not in out
    errand(pair, "list", "--color", "sometimes", status=64)


# --- wait, watch, logs ---

def test_wait_for_all(pair):
    tasks = [submit(pair, "TaskSleep", f"ms={ms}") for ms in (10, 150, 300)]
    assert sorted(errand(pair, "wait", *tasks).split("\n")[:-1]) == sorted(f"{t} SUCCEEDED" for t in tasks)
    assert errand(pair, "wait", tasks[0][-9:]) == f"{tasks[0]} SUCCEEDED\n"  # it had ended
    failing = submit(pair, "TaskFail", "code=13", "final:=true", "times=9")
    assert len(errand(pair, "wait", "--all", tasks[0], failing, status=1).splitlines()) == 2
    assert lines(errand(pair, "wait", "--json", tasks[0]))[0]["state"] == "SUCCEEDED"


def test_wait_for_any(pair):
    slow, quick = submit(pair, "TaskSleep", "ms=30000"), submit(pair, "TaskSleep", "ms=200")
    assert errand(pair, "wait", "--any", slow, quick) == f"{quick} SUCCEEDED\n"
    errand(pair, "wait", "--timeout", "300ms", slow, status=124)
    assert "--timeout" in errand.stderr
    errand(pair, "cancel", slow)
    assert errand(pair, "wait", slow, status=3) == f"{slow} CANCELLED\n"
    errand(pair, "wait", "--any", "--all", slow, status=64)
    errand(pair, "wait", "fffffff", status=4)
    errand(pair, "wait", status=64)


def test_wait_over_a_restart(make_pair):
    own = make_pair()
    task = submit(own, "TaskSleep", "ms=1500")
    own.wait_task(task, ("RUNNING",))
    with subprocess.Popen([ERRAND, "wait", task], env=environment(own), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as waiting:
        wait_until(lambda: catches_interrupts(waiting.pid), what="handler")
        own.service.kill()
        own.start_service()
        out, err = waiting.communicate(timeout=60)
    assert waiting.returncode == 0 and out == f"{task} SUCCEEDED\n", (out, err)


def test_watch_several(pair):
    tasks = [submit(pair, "TaskSleep", "ms=100") for _ in range(2)]
    out = errand(pair, "watch", *tasks)
    assert [m in out for m in (f"==> {tasks[0]} <==", f"==> {tasks[1]} <==")] == [True, True]
    assert out.count("SUCCEEDED") == 2


def catches_interrupts(pid):
    """The program itself, not libtool's script in front of it."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as f:
        caught = int(re.search(r"SigCgt:\s*(\w+)", f.read())[1], 16)
    return caught & (1 << (signal.SIGINT - 1)) and os.readlink(f"/proc/{pid}/exe").endswith("errand")


@pytest.mark.parametrize("command", [["watch"], ["wait"], ["logs", "-f"]])
def test_interrupted(pair, command):
    task = submit(pair, "TaskSleep", "ms=60000")
    pair.wait_task(task, ("RUNNING",))
    with subprocess.Popen([ERRAND, *command, task], env=environment(pair), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as p:
        wait_until(lambda: catches_interrupts(p.pid), what="handler")
        p.send_signal(signal.SIGINT)
        _, err = p.communicate(timeout=20)
    assert p.returncode == 130, err
    assert f"errand watch {task}" in err and f"errand cancel {task}" in err
    assert pair.task(task)["state"] == "RUNNING"
    errand(pair, "cancel", task)


def test_logs(pair):
    task = submit(pair, "TaskLog", "lines=20", "size=8")
    errand(pair, "wait", task)
    every = errand(pair, "logs", task).splitlines()
    assert len(every) == 20
    assert errand(pair, "logs", "--tail", "3", task).splitlines() == every[-3:]
    assert errand(pair, "logs", "--tail", "100", "-f", task).splitlines() == every
    assert errand(pair, "logs", "--tail", "0", task) == ""
    assert lines(errand(pair, "logs", "--json", "-n", "1", task))[0]["text"] == every[-1]
    assert errand(pair, "logs", "--attempt", "2", task) == ""
    errand(pair, "logs", "fffffff", status=4)
    assert "errand list" in errand.stderr


def test_tail_and_follow(pair):
    task = submit(pair, "TaskRun", "argv=sh", "argv=-c",
                  "argv=for i in 1 2 3 4; do echo line $i; done; sleep 0.5; echo line 5; sleep 0.3; echo line 6")
    wait_until(lambda: len(errand(pair, "logs", task).splitlines()) == 4, what="four lines")
    got = errand(pair, "logs", "-f", "--tail", "2", task).splitlines()
    assert got == [f"line {i}" for i in range(3, 7)], got


def test_results(pair):
    tasks = [submit(pair, "TaskEcho", f"text_value={i}") for i in range(2)]
    errand(pair, "wait", *tasks)
    assert [r["text_value"] for r in lines(errand(pair, "result", *tasks))] == ["0", "1"]
    errand(pair, "result", "--output", "x", *tasks, status=64)
    running = submit(pair, "TaskEcho", "--delay", "1h")
    assert errand(pair, "result", running, status=4) == "" and "errand watch" in errand.stderr
    errand(pair, "cancel", running)


# --- changes ---

def test_every_change(pair):
    task = submit(pair, "TaskEcho", "--delay", "1h")
    assert errand(pair, "hold", task) == f"{task} HELD\n"
    assert errand(pair, "release", task[-9:]) == f"{task} SCHEDULED\n"
    assert json.loads(errand(pair, "set", task, "-p", "5", "-l", "x=y"))["priority"] == 5
    assert json.loads(errand(pair, "run-now", "--json", task))["id"] == task
    errand(pair, "wait", task)
    assert errand(pair, "retry", task).startswith(f"{task} ")
    errand(pair, "wait", task)
    assert errand(pair, "delete", "--json", task) == ""
    errand(pair, "show", task, status=4)
    # What goes wrong with one does not hold up the others.
    other = submit(pair, "TaskEcho", "--delay", "1h")
    out = errand(pair, "cancel", "00000000-0000-7000-8000-000000000000", other, status=4)
    assert out == f"{other} CANCELLED\n"
    errand(pair, "hold", status=64)
    errand(pair, "set", status=64)
    assert errand(pair, "cancel", "-n", other) == "1 task would be cancelled\n"


@pytest.mark.parametrize("verb,state,after", [
    ("cancel", "SCHEDULED", "CANCELLED"), ("hold", "SCHEDULED", "HELD"), ("release", "HELD", "SCHEDULED"),
    ("run-now", "SCHEDULED", "SUCCEEDED"), ("retry", "CANCELLED", "SUCCEEDED"), ("delete", "CANCELLED", None)])
def test_all_that_a_filter_takes(pair, verb, state, after):
    queue = f"bulk-{verb}"
    tasks = [submit(pair, "TaskEcho", "-q", queue, "--delay", "1h") for _ in range(3)]
    if state != "SCHEDULED":
        errand(pair, "hold" if state == "HELD" else "cancel", *tasks)
    errand(pair, verb, "-q", queue, status=64)
    assert "3 tasks?" in errand.stderr and "--yes" in errand.stderr
    assert all(pair.task(t)["state"] == state for t in tasks)
    assert errand(pair, verb, "-q", queue, "--dry-run").startswith("3 matching, 3 would be ")
    out = errand(pair, verb, "--queue", queue, "--yes")
    assert out.startswith("3 matching, 3 ") or len(out.splitlines()) == 3, out
    for task in tasks:
        if after is None:
            errand(pair, "show", task, status=4)
        else:
            assert pair.wait_task(task, (after,))
    again = errand(pair, verb, "-q", queue, "--filter", "state = HELD AND state = FAILED", "-y")
    assert again in ("", "0 matching, 0 cancelled\n", "0 matching, 0 queued again\n")


def test_all(make_pair):
    own = make_pair()
    waiting = [submit(own, "TaskEcho", "--delay", "1h") for _ in range(2)]
    done = submit(own, "TaskEcho")
    errand(own, "wait", done)
    assert errand(own, "hold", "--all", "--yes").count("HELD") == 2
    assert errand(own, "release", "-a", "-y").count("SCHEDULED") == 2
    assert errand(own, "cancel", "--all", "--dry-run") == "2 matching, 2 would be cancelled\n"
    reply = json.loads(errand(own, "cancel", "--all", "-y", "--json"))
    assert reply["changed"] == "2" and sorted(reply["ids"]) == sorted(waiting)
    assert errand(own, "retry", "--all", "-y") == "0 matching, 0 queued again\n"  # not what was cancelled
    assert len(errand(own, "delete", "--all", "-y").splitlines()) == 3
    assert errand(own, "list") == "" and "no tasks" in errand.stderr
    errand(own, "cancel", "--all", done, status=64)
    errand(own, "cancel", "--all", "--state", "failed", status=64)


def test_it_asks(pair):
    tasks = [submit(pair, "TaskEcho", "-q", "asked", "--delay", "1h") for _ in range(2)]

    def answer(text):
        pid, fd = pty.fork()
        if pid == 0:
            os.execve(ERRAND, [ERRAND, "cancel", "-q", "asked"], environment(pair, TERM="xterm"))
        fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
        out = b""
        try:
            while chunk := os.read(fd, 65536):
                out += chunk
                if out.endswith(b"[y/N] "):
                    os.write(fd, text)
        except OSError:
            pass
        os.close(fd)
        return out.decode(), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    out, status = answer(b"n\n")
    assert "Cancel 2 tasks? [y/N]" in out and "nothing was done" in out and status == 1
    assert pair.task(tasks[0])["state"] == "SCHEDULED"
    out, status = answer(b"yes\n")
    assert status == 0 and "2 matching, 2 cancelled" in out
    assert pair.task(tasks[1])["state"] == "CANCELLED"


# --- queues and the others ---

def test_purge(pair):
    held = submit(pair, "TaskEcho", "-q", "purged", "--delay", "1h")
    other = submit(pair, "TaskEcho", "-q", "kept", "--delay", "1h")
    errand(pair, "purge", "purged", status=64)
    assert errand(pair, "purge", "purged", "--dry-run") == "1 matching, 1 would be cancelled\n"
    assert errand(pair, "purge", "-y", "purged") == "1 matching, 1 cancelled\n"
    assert (pair.task(held)["state"], pair.task(other)["state"]) == ("CANCELLED", "SCHEDULED")
    errand(pair, "purge", "-y", "purgde")
    assert "did you mean 'purged'" in errand.stderr
    errand(pair, "queue", "show", "purgde", status=4)
    assert "did you mean 'purged'" in errand.stderr
    errand(pair, "purge", status=64)


def test_lists(pair):
    submit(pair, "TaskEcho", "-q", "listed", "--delay", "1h")
    assert "listed" in errand(pair, "queues", "-c", "queue", "-H").split()
    assert "listed" in [q["name"] for q in lines(errand(pair, "queues", "--json"))]
    errand(pair, "queues", "x", status=64)
    assert errand(pair, "schedules", "--json") == "" or True
    errand(pair, "schedule", "create", "--id", "listed", "@daily", "TaskEcho", "-z", "Europe/Berlin")
    row = errand(pair, "schedules", "-c", "id,state,cron,zone,method", "-H").split()
    assert row[:5] == ["listed", "on", "@daily", "Europe/Berlin", ECHO]
    assert lines(errand(pair, "schedules", "--json"))[0]["id"] == "listed"
    errand(pair, "schedule", "delete", "listed")
    errand(pair, "schedule", "show", "listed", status=4)
    assert "errand schedules" in errand.stderr
    errand(pair, "delivery", "show", "nothing", status=4)
    assert "errand deliveries" in errand.stderr
    assert errand(pair, "deliveries") == "" and "no deliveries" in errand.stderr
    assert errand(pair, "workers", "-c", "worker,pid") == "" and "no workers" in errand.stderr
    assert "/items/{item_id}" in errand(pair, "routes")


def test_events_of_some(pair):
    with subprocess.Popen([ERRAND, "events", "--json", "-m", "TaskTouch", "--state", "succeeded,failed"],
                          env=environment(pair), stdout=subprocess.PIPE, text=True) as p:
        seen = []
        reader = threading.Thread(target=lambda: seen.append(json.loads(p.stdout.readline())))
        reader.start()
        while reader.is_alive():  # it may not be there yet
            errand(pair, "run", "--quiet", "TaskEcho")
            errand(pair, "run", "--quiet", "TaskTouch", "name=event")
            reader.join(0.2)
        p.terminate()
    assert seen[0]["method"] == TOUCH


# --- help ---

def test_help(pair):
    general = errand(pair, "--help")
    heads = re.findall(r"^([A-Z].*):$", general, re.M)
    assert heads[0] == "Call and run" and general.index("  call") < general.index("  list") < general.index("  cancel")
    assert errand(pair, "help") == general
    for name in re.findall(r"^  ([a-z-]+) ", general, re.M):
        words = errand(pair, "help", name)
        assert words.startswith(f"Usage: errand {name}") or name in ("tasks",), (name, words[:80])
    assert errand(pair, "help", "task", "logs") == errand(pair, "logs", "--help")
    errand(pair, "help", "lsit", status=64)
    assert "did you mean 'list'" in errand.stderr
    errand(pair, "cancle", "x", status=64)
    assert "did you mean 'cancel'" in errand.stderr


# --- errand(1) ---

def test_examples_of_the_page(make_pair, clips):
    """Every command of EXAMPLES, in its order, as it stands there."""
    need(os.path.exists(f"{clips}/clip.mp4"), "ffmpeg")
    own = make_pair()
    with open(os.path.join(TOP, "man", "errand.1"), encoding="utf-8") as f:
        text = f.read().partition(".Sh EXAMPLES")[2].partition(".Sh SEE ALSO")[0]
    commands = [line[2:] for line in text.splitlines() if line.startswith("$ ")]
    assert commands.pop(0) == "errand dev &" and commands.pop(0).startswith("export ERRAND_SOCKET=")
    script = "set -ex\nmkdir -p work\ncd work\ncp %s/clip.mp4 a.mp4\n%s\n" % (clips, "\n".join(commands))
    env = environment(own, PATH=f"{os.path.dirname(ERRAND)}:{os.environ['PATH']}", ARTICLE_DIR=own.dir)
    r = subprocess.run(["bash", "-c", script], env=env, cwd=own.dir, capture_output=True, text=True, timeout=120, check=False)
    assert r.returncode == 0, (r.stdout, r.stderr)
    assert len(commands) > 12 and '"item_id":3' in r.stdout
    assert os.path.exists(own.path("work", "c.mp4")) and os.path.exists(own.path("work", "answer.json"))
