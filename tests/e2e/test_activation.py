"""What a supervisor does with the daemons: sockets it keeps while they restart, notifications,
the watchdog. The test stands in for systemd: it holds both sockets and hands them over."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest

from conftest import BUILD, Daemon, SANITIZED, need, wait_until


class Supervisor:
    """Both listening sockets, a notification socket, and the daemons started with them."""

    def __init__(self, pair):
        self.pair, self.said = pair, []
        self.unix, self.tcp, self.notes = (socket.socket(f, t) for f, t in (
            (socket.AF_UNIX, socket.SOCK_STREAM), (socket.AF_INET, socket.SOCK_STREAM),
            (socket.AF_UNIX, socket.SOCK_DGRAM)))
        self.unix.bind(pair.socket)
        self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.tcp.bind(("127.0.0.1", 0))
        for s in (self.unix, self.tcp):
            s.listen(1024)
        self.notes.bind(pair.path("notify"))
        self.notes.settimeout(0.01)
        pair.port = self.tcp.getsockname()[1]
        self.env = dict(pair.env, NOTIFY_SOCKET=pair.path("notify"))

    def service(self, *more, given=None):
        p = self.pair
        argv = [os.path.join(BUILD, "errand-service"), "--socket", p.path("not-used.sock"),
                "--state", p.state, "--store", f"sqlite:{p.path('state', 'tasks.db')}"]
        for m in p.modules:
            argv += ["--module", m]
        p.service = Daemon(argv + list(more), p.path("service.log"), self.env,
                           given=given or [("service", self.unix)])
        return p.service

    def gateway(self, *more):
        p = self.pair
        with open(p.path("access.log"), "ab") as access:
            p.gateway = Daemon([os.path.join(BUILD, "errand-gateway"), "--socket", p.socket, "--host", "*", "--threads", "2",
                                "--reconnect-wait", "30s", *more],
                               p.path("gateway.log"), self.env, stdout=access, given=[("http", self.tcp)])
        return p.gateway

    def hear(self):
        """All that was said so far, [(pid, text)]."""
        while True:
            try:
                data, ancillary, _, _ = self.notes.recvmsg(4096)
            except (TimeoutError, BlockingIOError):
                return self.said
            self.said.append(data.decode())

    def wait_said(self, pattern, timeout=20):
        return wait_until(lambda: next((m for t in self.hear() if (m := re.search(pattern, t))), None),
                          timeout, f"{pattern} from a daemon")

    def close(self):
        for s in (self.unix, self.tcp, self.notes):
            s.close()


@pytest.fixture
def supervisor():
    from conftest import Pair
    pair = Pair()
    s = Supervisor(pair)
    try:
        yield s
    finally:
        pair.close()
        s.close()


def test_given_socket_is_served_and_left(supervisor):
    s, p = supervisor, supervisor.pair
    s.service()
    s.wait_said(r"^READY=1$")
    assert s.wait_said(r"^STATUS=serving: 0 calls, 0 tasks running, 0 waiting; store sqlite ok$")
    assert re.search(f"serving.*socket={p.socket} ", p.service.text())
    s.gateway()
    p.wait_ready()
    assert s.wait_said(r"^STATUS=serving; the service is there$")
    assert p.get("/v1/server").status == 200
    assert not os.path.exists(p.path("not-used.sock"))
    p.service.popen.send_signal(signal.SIGHUP)
    s.wait_said(r"^RELOADING=1\nMONOTONIC_USEC=\d+$")
    wait_until(lambda: s.hear().count("READY=1") == 3, what="READY=1 after the reload")
    s.said.clear()
    p.gateway.popen.send_signal(signal.SIGHUP)
    s.wait_said(r"^RELOADING=1\nMONOTONIC_USEC=\d+$")
    s.wait_said(r"^READY=1$")
    p.service.stop()
    s.wait_said(r"^STOPPING=1$")
    assert os.path.exists(p.socket)  # its name is the supervisor's
    with socket.socket(socket.AF_UNIX) as c:
        c.connect(p.socket)  # and the queue takes clients
    s.service()
    assert wait_until(lambda: p.get("/v1/server").status == 200)


def test_sockets_it_cannot_serve_on(supervisor):
    s = supervisor
    for given, why in (([("http", s.tcp)], "is no listening UNIX stream socket"),
                       ([("service", s.notes)], "is no listening UNIX stream socket"),
                       ([("a", s.unix), ("b", s.unix)], "several sockets were given: name one of them service")):
        with pytest.raises(AssertionError, match=why):
            s.service(given=given)


def test_hanging_loop_falls_silent(supervisor):
    s, p = supervisor, supervisor.pair
    s.env["WATCHDOG_USEC"] = "600000"
    s.service()
    s.gateway()
    p.wait_ready()
    s.hear()
    s.said.clear()
    wait_until(lambda: s.hear().count("WATCHDOG=1") >= 6, what="WATCHDOG=1")
    p.gateway.stop()
    p.gateway = None
    p.service.popen.send_signal(signal.SIGSTOP)
    s.hear()
    s.said.clear()
    time.sleep(0.8)
    assert "WATCHDOG=1" not in s.hear()
    p.service.popen.send_signal(signal.SIGCONT)
    s.wait_said(r"^WATCHDOG=1$")


def restart_often(s, stop, done):
    """Both daemons, in turn, as systemd restarts units: the old one has ended before the new begins."""
    p = s.pair
    while not stop.is_set():
        for name, start in (("service", s.service), ("gateway", s.gateway)):
            getattr(p, name).stop()
            start()
            done.append(name)
            stop.wait(0.3)


@pytest.mark.parametrize("keep_alive", [True, False])
def test_restart_under_load(supervisor, keep_alive):
    need(shutil.which("wrk"), "wrk")
    s, p = supervisor, supervisor.pair
    s.service()
    s.gateway()
    p.wait_ready()
    script = p.path("wrk.lua")
    with open(script, "w", encoding="utf-8") as f:
        f.write("""
local threads = {}
function setup(t) table.insert(threads, t) end
function init() bad, good, first = 0, 0, "" end
function response(status, headers, body)
	if status >= 200 and status < 300 then good = good + 1 else
		bad = bad + 1
		first = status .. " " .. body
	end
end
function done(summary, latency, requests)
	local good, bad, first = 0, 0, ""
	for _, t in ipairs(threads) do
		good, bad = good + t:get("good"), bad + t:get("bad")
		first = first .. t:get("first")
	end
	local e = summary.errors
	io.write(string.format("RESULT {\\"good\\": %d, \\"bad\\": %d, \\"connect\\": %d, \\"read\\": %d, " ..
		"\\"write\\": %d, \\"timeout\\": %d, \\"first\\": %q}\\n", good, bad, e.connect, e.read, e.write, e.timeout,
		(first:gsub("[%c\\\\\\"]", " "))))
end
""")
    argv = ["wrk", "-t1", "-c16", "-d6s", "--timeout", "20s", "-s", script]
    argv += [] if keep_alive else ["-H", "Connection: close"]
    stop, done = threading.Event(), []
    restarts = threading.Thread(target=restart_often, args=(s, stop, done))
    with subprocess.Popen([*argv, f"http://127.0.0.1:{p.port}/v1/server"], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True) as wrk:
        restarts.start()
        out = wrk.communicate(timeout=60)[0]
    stop.set()
    restarts.join()
    result = json.loads(re.search(r"RESULT (.*)", out)[1])
    assert done.count("service") >= 2 and done.count("gateway") >= 2, done
    assert result["good"] > 100, out
    assert {k: v for k, v in result.items() if k not in ("good", "first")} == dict.fromkeys(
        ("bad", "connect", "read", "write", "timeout"), 0), (result, out)
    print(f"{result['good']} requests, {len(done)} restarts, none failed; sanitizers: {SANITIZED or 'none'}")
