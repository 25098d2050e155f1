"""errand top on a terminal: what it shows, its keys, another size, and the terminal afterwards."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

import pytest

from conftest import BUILD, wait_until
from test_cli_remote import errand, task_of, url

ERRAND = os.path.join(BUILD, "errand")
LEFT = "\033[?7h\033[?25h\033[?1049l"  # the terminal as it was


class Terminal:
    """A program on a pty; what it has written, and its present frame."""

    def __init__(self, *args, rows=24, columns=100, **env):
        self.master, slave = pty.openpty()
        self.resize(rows, columns)
        self.before = termios.tcgetattr(slave)
        env = dict(os.environ, TERM="xterm", LC_ALL="C.UTF-8", TZ="UTC", **env)
        env.pop("NO_COLOR", None)
        self.popen = subprocess.Popen([ERRAND, *args], stdin=slave, stdout=slave, stderr=slave, env=env,
                                      start_new_session=True)
        self.slave, self.text = slave, ""

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self):
        while select.select([self.master], [], [], 0.02)[0]:
            self.text += os.read(self.master, 65536).decode(errors="replace")

    def frame(self):
        self.read()
        whole = self.text.replace("\r", "").split("\033[H")
        return re.sub(r"\033\[[\d;]*[mKJ]", "", whole[-1] if len(whole) < 3 or "\033[J" in whole[-1] else whole[-2])

    def wait(self, pattern, timeout=20):
        return wait_until(lambda: re.search(pattern, self.frame()), timeout, pattern + " in " + self.frame())

    def key(self, text):
        os.write(self.master, text.encode())

    def end(self):
        status = wait_until(lambda: self.popen.poll() is not None and [self.popen.returncode], 20, "its end")[0]
        self.read()
        after = termios.tcgetattr(self.slave)
        os.close(self.master)
        os.close(self.slave)
        assert self.text.rstrip().endswith(LEFT) or LEFT in self.text, self.text[-200:]
        assert after == self.before
        return status


@pytest.fixture(scope="module")
def busy(pair):
    """Three tasks that go on for as long as the tests do."""
    tasks = [task_of(pair, "TaskSleep", "ms=600000") for _ in range(3)]
    for task in tasks:
        pair.wait_task(task, ("RUNNING",))
    yield tasks
    errand("cancel", *tasks, "--socket", pair.socket)


@pytest.mark.parametrize("way", ["socket", "url"])
def test_one_frame(pair, busy, way):
    """No terminal: text, without a single escape sequence."""
    at = {"socket": ("--socket", pair.socket), "url": ("--url", url(pair))}[way]
    for words in (("top", *at), ("top", "--once", *at)):
        r = errand(*words)
        assert r.status == 0 and "\033" not in r.out and "errand top" in r.out, r
        assert all(task in r.out for task in busy) and re.search(r"test +\d+ +3/8", r.out), r


def test_live(pair, busy):
    t = Terminal("top", "-i", "100ms", "--url", url(pair))
    t.wait("errand top")
    frame = t.frame()
    assert "QUEUE" in frame and "TaskSleep" in frame and "q quit" in frame and "░" in frame, frame
    assert all(len(line) <= 100 for line in frame.splitlines()) and len(frame.splitlines()) <= 24, frame
    t.key("p")
    t.wait(r"\[paused\]")
    t.key("p")
    t.wait(r"p pause")
    for order in ("progress", "queue", "method", "age"):
        t.key("s")
        t.wait("sort: " + order)
    t.key("q")
    assert t.end() == 0


def test_select_and_cancel(pair, busy):
    gone = task_of(pair, "TaskSleep", "ms=600000")
    pair.wait_task(gone, ("RUNNING",))
    t = Terminal("top", "-i", "100ms", "--socket", pair.socket, columns=140)
    t.wait("> " + busy[0])
    t.key("\033[B")
    t.wait("> " + busy[1])
    t.key("\033OA")
    t.wait("> " + busy[0])
    t.key("\033[F")
    t.wait("> " + gone)
    t.key("c")
    t.wait(f"cancel task {gone}")
    t.key("n")
    t.wait("not cancelled")
    assert pair.task(gone)["state"] == "RUNNING"
    t.key("c")
    t.wait(f"cancel task {gone}")
    t.key("y")
    t.wait("was asked to stop")
    pair.wait_task(gone, ("CANCELLED",))
    t.wait("> " + busy[0] + "|> " + busy[2])
    t.key("q")
    assert t.end() == 0


def test_another_size(pair, busy):
    t = Terminal("top", "-i", "100ms", "--socket", pair.socket)
    t.wait("TaskSleep")
    t.resize(10, 40)
    wait_until(lambda: all(len(x) <= 40 for x in t.frame().splitlines()) and len(t.frame().splitlines()) <= 10 and
               "errand top" in t.frame(), what="a small frame")
    t.resize(50, 140)
    t.wait(busy[2])
    t.key("q")
    assert t.end() == 0


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGABRT])
def test_a_signal_gives_the_terminal_back(pair, busy, sig):
    t = Terminal("top", "-i", "100ms", "--socket", pair.socket)
    t.wait("TaskSleep")
    t.popen.send_signal(sig)
    assert t.end() == -sig


def test_stopped_and_continued(pair, busy):
    t = Terminal("top", "-i", "100ms", "--socket", pair.socket)
    t.wait("TaskSleep")
    t.popen.send_signal(signal.SIGTSTP)
    wait_until(lambda: (t.read(), LEFT in t.text)[1], what="the terminal")
    time.sleep(0)
    t.text = ""
    t.popen.send_signal(signal.SIGCONT)
    t.wait("TaskSleep")
    t.key("q")
    assert t.end() == 0


def test_the_service_goes_and_comes(make_pair):
    pair = make_pair()
    t = Terminal("top", "-i", "100ms", "--socket", pair.socket)
    t.wait("nothing runs")
    pair.service.stop()
    t.wait("no news")
    pair.start_service()
    wait_until(lambda: "no news" not in t.frame() and "errand top" in t.frame(), what="news")
    t.key("q")
    assert t.end() == 0


def test_it_is_refused(pair):
    r = errand("top", "--json", "--socket", pair.socket)
    assert r.status == 64 and "errand status --json" in r.err, r
    assert errand("top", "-i", "1ms", "--socket", pair.socket).status == 64
    assert errand("top", "--socket", pair.path("none")).status == 69
