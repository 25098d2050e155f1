"""Completion in real shells: what is typed with a tab at its end is what the command is run with.
Only `errand __complete` knows anything, from the commands' own tables and the running service."""

import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import time

import pytest
from conftest import BUILD, TOP, need
from test_cli import ERRAND, environment, errand, submit

COMPLETIONS = os.path.join(TOP, "cli", "completions")
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[=>]|\x1b\][^\a]*\a|[\r\a\b]")

# What is run in the end says how it was called; completion itself asks the program.
BASH = """
errand() {{ if [ "$1" = __complete ]; then "{errand}" "$@"; else echo "GOT<$*>"; fi; }}
errand-gateway() {{ echo "GOT<$*>"; }}
errand-service() {{ echo "GOT<$*>"; }}
. {completions}/bash/errand
bind 'set bell-style none'
PS1='ready> '
"""
ZSH = """
errand() {{ if [ "$1" = __complete ]; then "{errand}" "$@"; else print -r -- "GOT<$*>"; fi; }}
errand-gateway() {{ print -r -- "GOT<$*>"; }}
errand-service() {{ print -r -- "GOT<$*>"; }}
fpath=({completions}/zsh $fpath)
autoload -U compinit; compinit -u -D
unsetopt beep zle_bracketed_paste 2>/dev/null; unset zle_bracketed_paste
PS1='ready> '
"""


def complete(pair, *words, program="errand", **more):
    """The candidates, without what they are."""
    env = environment(pair, PATH=f"{BUILD}:{os.environ['PATH']}", **more)
    r = subprocess.run([ERRAND, "__complete", program, *words], env=env, capture_output=True, text=True,
                       timeout=30, check=False)
    assert r.stderr == "", r.stderr
    return [line.partition("\t")[0] for line in r.stdout.splitlines()]


# --- what the command says ---

def test_commands(pair):
    names = complete(pair, "")
    shown = re.findall(r"^  ([a-z-]+) ", errand(pair, "--help"), re.M)
    assert set(names) == {*shown, "help"} and "__complete" not in names
    assert complete(pair, "sched") == ["schedules", "schedule"]
    assert complete(pair, "help", "purg") == ["purge"]
    assert complete(pair, "--json", "deliv") == ["deliveries", "delivery"]
    assert complete(pair, "--socket", pair.socket, "conv") == ["convert"]
    assert complete(pair, "--soc") == ["--socket"]
    assert complete(pair, "nothing", "") == []


def test_every_option_of_every_command(pair):
    """Completion knows what --help knows, for each command and verb."""
    for name in complete(pair, ""):
        if name == "help":
            continue
        verbs = [[]]
        if name in ("task", "queue", "schedule", "delivery", "store"):  # the others share the options of all their verbs
            verbs += [[v] for v in complete(pair, name, "")]
            assert len(verbs) > 2, name
        for verb in verbs:
            words = subprocess.run([ERRAND, name, *verb, "--help"], env=environment(pair), capture_output=True,
                                   text=True, timeout=30, check=False).stdout
            listed = set(re.findall(r"^  (?:-\w,|   ) (--[a-z-]+)", words, re.M))
            assert listed and set(complete(pair, name, *verb, "--")) == listed, (name, verb)


def test_values(pair):
    assert complete(pair, "list", "--state", "sch") == ["scheduled"]
    assert complete(pair, "list", "--state=failed,can") == ["--state=failed,cancelling", "--state=failed,cancelled"]
    assert complete(pair, "call", "--color", "") == ["auto", "always", "never"]
    assert complete(pair, "list", "--columns", "id,sta") == ["id,state", "id,started"]
    assert complete(pair, "queues", "--sort", "-old") == [] and complete(pair, "queues", "--sort", "old") == ["oldest"]
    assert complete(pair, "deliveries", "--state", "d") == ["delivered", "dead"]
    assert complete(pair, "submit", "--on-conflict", "u") == ["use-existing"]
    assert complete(pair, "call", "--output", "") == [":files"]
    assert complete(pair, "list", "--limit", "") == []
    assert complete(pair, "worker", "--queue", "x", "--", "") == [":commands"]
    assert complete(pair, "workers", "") == ["forget"]
    assert "pause" in complete(pair, "queue", "") and complete(pair, "task", "rel") == ["release"]


def test_live_names(pair):
    mine = submit(pair, "TaskEcho", "text_value=x")
    assert mine in complete(pair, "cancel", "") and mine in complete(pair, "task", "get", mine[:20])
    assert complete(pair, "show", mine[-8:]) == [mine]
    assert "test" in complete(pair, "queue", "pause", "te") and "test" in complete(pair, "list", "--queue", "t")
    assert complete(pair, "call", "getit") == ["GetItem"]
    assert complete(pair, "run", "errandtest.v1.Test/TaskE") == ["errandtest.v1.Test/TaskEcho",
                                                                  "errandtest.v1.Test/TaskEnqueue"]
    assert not any("errand.v1" in m for m in complete(pair, "call", ""))
    assert "Tasks/GetTask" in complete(pair, "call", "Tasks/Get")
    assert complete(pair, "call", "Test/Echo", "int32") == ["int32_value="]
    assert complete(pair, "call", "Test/Echo", "kind=S") == ["kind=SECOND"]
    assert complete(pair, "call", "Test/Echo", "bool_value=") == ["bool_value=true", "bool_value=false"]

    class Elsewhere:
        socket = "/nonexistent/s"
    assert complete(Elsewhere, "--socket", pair.socket, "queue", "show", "tes") == ["test"]
    assert complete(Elsewhere, "queue", "show", f"--socket={pair.socket}", "tes") == ["test"]


def test_contexts(pair, tmp_path):
    submit(pair, "TaskEcho")  # its queue is known from then on
    os.mkdir(tmp_path / "errand")
    with open(tmp_path / "errand" / "contexts.conf", "w", encoding="utf-8") as f:
        f.write(f"[context near]\nsocket = {pair.socket}\n[context far]\nurl = https://errand.example.org\n")
    home = {"XDG_CONFIG_HOME": str(tmp_path)}
    assert complete(pair, "list", "--context", "", **home) == ["near", "far"]
    assert complete(pair, "context", "use", "n", **home) == ["near"]
    assert complete(pair, "context", "re", **home) == ["remove"] and complete(pair, "token", "rev") == ["revoke"]
    assert "test" in complete(pair, "--context", "near", "queue", "show", "te", **home)


def test_nobody_answers(tmp_path):
    class Nowhere:
        socket = "/nonexistent/service.sock"
    begin = time.monotonic()
    assert complete(Nowhere, "cancel", "") == [] and complete(Nowhere, "call", "G") == []
    assert time.monotonic() - begin < 10


def test_daemons(pair):
    for program in ("errand-service", "errand-gateway"):
        shown = subprocess.run([os.path.join(BUILD, program), "--help"], capture_output=True, text=True, check=True,
                               timeout=30).stdout
        listed = set(re.findall(r"^  (?:-\w,|   ) (--[a-z0-9-]+)", shown, re.M))
        assert set(complete(pair, "--", program=os.path.join(BUILD, program))) == listed
        assert complete(pair, "--socket", "", program=program) == [":files"]


# --- shells ---

class Shell:
    """An interactive shell on a terminal of its own."""

    def __init__(self, argv, env, setup):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execvpe(argv[0], argv, env)
        self.seen = ""
        with open(setup, encoding="utf-8") as f:
            assert f.read()
        self.send(f". {setup}\n")
        self.wait(r"ready> ")

    def send(self, text):
        os.write(self.fd, text.encode())

    def wait(self, pattern, timeout=30):
        end = time.monotonic() + timeout
        while not (m := re.search(pattern, self.seen)):
            assert select.select([self.fd], [], [], max(0, end - time.monotonic()))[0], (pattern, self.seen[-2000:])
            self.seen += ESCAPES.sub("", os.read(self.fd, 65536).decode(errors="replace"))
        self.seen = self.seen[m.end():]
        return m

    def run(self, typed):
        """What the command is given when this is typed; a tab completes."""
        self.send(typed + "\n")
        got = self.wait(r"GOT<([^>]*)>")[1]
        self.wait(r"ready> ")
        return got.strip()

    def close(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.fd)


def start(pair, name, argv, words):
    need(shutil.which(name), name)
    setup = pair.path(f"{name}.setup")
    with open(setup, "w", encoding="utf-8") as f:
        f.write(words.format(errand=ERRAND, completions=COMPLETIONS))
    env = environment(pair, TERM="xterm", PATH=f"{BUILD}:{os.environ['PATH']}", HOME=pair.dir, HISTFILE="/dev/null",
                      COLUMNS="200", PS1="$ ")
    return Shell(argv, env, setup)


@pytest.mark.parametrize("name,argv,words", [
    ("bash", ["bash", "--norc", "--noprofile", "-i"], BASH), ("zsh", ["zsh", "-f", "-i"], ZSH)])
def test_shells(pair, name, argv, words):
    task = submit(pair, "TaskEcho", "text_value=shell")
    shell = start(pair, name, argv, words)
    try:
        assert shell.run("errand schedules --no-h\t") == "schedules --no-header"
        assert shell.run("errand purg\t") == "purge"
        assert shell.run(f"errand result {task[-7:]}\t") == f"result {task}"
        assert shell.run("errand list --state=fail\t") == "list --state=failed"
        assert shell.run("errand list --state failed,expi\t") == "list --state failed,expired"
        assert shell.run("errand call GetIt\titem_\t7") == "call GetItem item_id=7"
        assert shell.run("errand call Test/Echo kind=SEC\t") == "call Test/Echo kind=SECOND"
        assert shell.run("errand queue paus\ttes\t") == "queue pause test"
        assert shell.run("errand-service --drain-t\t5s") == "--drain-timeout 5s"
        assert shell.run(f"errand call --output={pair.dir}/{name}.set\t") == f"call --output={pair.dir}/{name}.setup"
    finally:
        shell.close()


def test_fish(pair):
    need(shutil.which("fish"), "fish")
    task = submit(pair, "TaskEcho", "text_value=fish")
    env = environment(pair, PATH=f"{BUILD}:{os.environ['PATH']}", HOME=pair.dir, XDG_CONFIG_HOME=pair.dir,
                      XDG_DATA_HOME=pair.dir)

    def fish(line):
        r = subprocess.run(["fish", "--no-config", "-c", f"set fish_complete_path {COMPLETIONS}/fish; "
                            f"complete -C {line!r}"], env=env, capture_output=True, text=True, timeout=60, check=False)
        assert r.returncode == 0 and r.stderr == "", r
        return [x.partition("\t")[0] for x in r.stdout.splitlines()]
    assert fish("errand purg") == ["purge"]
    assert fish("errand schedules --no-h") == ["--no-header"]
    assert task in fish("errand result ")
    assert fish("errand list --state=fail") == ["--state=failed"]
    assert fish("errand queue pause tes") == ["test"]
    assert "--drain-timeout" in fish("errand-service --drain")
    assert f"{pair.dir}/service.log" in fish(f"errand call --output {pair.dir}/service.l")


def test_candidates_say_what_they_are(pair):
    out = errand(pair, "__complete", "errand", "que")
    assert out.splitlines()[0] == "queues\tlist queues"
    task = submit(pair, "TaskEcho")
    pair.wait_task(task)
    line = errand(pair, "__complete", "errand", "show", task[-9:])
    assert line == f"{task}\tSUCCEEDED errandtest.v1.Test/TaskEcho\n"
    assert json.loads(errand(pair, "show", task))["id"] == task
