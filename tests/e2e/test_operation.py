"""Starting, stopping and being operated badly."""

import os
import signal
import subprocess
import sys
import time

import pytest


def test_damaged_store_is_refused(make_pair):
    """FAULTS 8: nothing is dropped in silence."""
    pair = make_pair()
    pair.wait_task(pair.submit("/test/task-echo", {}))
    argv = list(pair.service.argv)
    pair.service.stop()
    db = pair.path("state", "tasks.db")
    with open(db, "rb") as f:
        good = f.read()
    for bad in (b"not a database, a letter\n" * 200, os.urandom(8192), good[:100] + b"\xff" * 4096):
        with open(db, "wb") as f:
            f.write(bad)
        run = subprocess.run(argv, capture_output=True, timeout=20, env=pair.env, check=False)
        assert run.returncode > 0 and b"tasks.db" in run.stderr, run
        with open(db, "rb") as f:
            assert f.read() == bad  # kept as it is, for whoever repairs it


def test_second_sigterm_does_not_wait(make_pair):
    """FAULTS 35, TASKS.md 14: what runs is handed back."""
    pair = make_pair()
    task_id = pair.submit("/test/task-run", {"argv": ["sleep", "1000"]})
    pair.wait_task(task_id, ("RUNNING",))
    pair.service.popen.send_signal(signal.SIGTERM)
    pair.service.wait_line("msg=stopping.* tasks=1")
    assert pair.service.alive()  # drains: 30 s by default
    begin = time.monotonic()
    pair.service.stop(timeout=20)
    assert time.monotonic() - begin < 10
    pair.start_service()
    pair.wait_ready()
    task = pair.wait_task(task_id, ("RUNNING",))
    assert task["attempts"][0]["outcome"] == "INTERRUPTED", task
    pair.post(f"/v1/tasks/{task_id}:cancel")
    pair.wait_task(task_id, ("CANCELLED",))


def test_idle_pair_stops_at_once(make_pair):
    pair = make_pair()
    begin = time.monotonic()
    pair.gateway.stop()
    pair.service.stop()
    assert time.monotonic() - begin < 5


def test_sigpipe_and_sighup_are_survived(make_pair):
    pair = make_pair()
    for daemon in (pair.gateway, pair.service):
        for sig in (signal.SIGPIPE, signal.SIGHUP):
            daemon.popen.send_signal(sig)
    for _ in range(20):
        assert pair.post("/test/echo", {}).status == 200
    assert pair.gateway.alive() and pair.service.alive()


CONNECT = """
import os, socket, sys
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
s = socket.socket(socket.AF_UNIX)
s.settimeout(10)
s.connect(sys.argv[1])
try:
    s.sendall(bytes.fromhex("00000005000000010100") + b"hello")
    print(len(s.recv(100)))
except (BrokenPipeError, ConnectionResetError):
    print(0)
"""


@pytest.mark.skipif(os.getuid() != 0, reason="becomes another user, which needs root")
def test_another_user_is_refused(make_pair):
    """FAULTS 43: by SO_PEERCRED, when the mode of the socket lets him come."""
    pair = make_pair(service_args=["--mode", "0666"])
    os.chmod(pair.dir, 0o755)
    run = subprocess.run([sys.executable, "-c", CONNECT, pair.socket], capture_output=True,
                         text=True, timeout=30, check=False)
    assert run.stdout == "0\n", run
    pair.service.wait_line(r"uid=65534")
    assert pair.post("/test/echo", {}).status == 200


def test_socket_is_not_for_everybody(pair):
    assert os.stat(pair.socket).st_mode & 0o777 == 0o660


def test_a_blocked_log_blocks_nothing(make_pair):
    """FAULTS 40: stderr is a pipe that nobody reads."""
    pair = make_pair()
    argv = list(pair.service.argv) + ["--log-level", "debug"]
    pair.service.stop()
    reader, writer = os.pipe()
    ready, ready_w = os.pipe()
    popen = subprocess.Popen(argv + ["--ready-fd", str(ready_w)], stderr=writer, env=pair.env,
                             pass_fds=[ready_w], stdin=subprocess.DEVNULL)
    os.close(ready_w)
    os.close(writer)
    try:
        os.read(ready, 16)
        pair.wait_ready()
        for i in range(1500):  # each leaves a line or more of debugging
            r = pair.post("/test/fail", {"code": 13, "message": "x" * 200})
            assert r.status == 500, (i, r)
        popen.send_signal(signal.SIGTERM)
        assert popen.wait(30) == 0
    finally:
        if popen.poll() is None:
            popen.kill()
            popen.wait()
        os.close(ready)
        os.close(reader)
    pair.start_service()


def test_peer_text_cannot_forge_log_lines(pair):
    """FAULTS 40."""
    pair.request("GET", "/items/abc%0Alevel=error%20msg=forged")
    pair.raw(b"GET /\x1b[31mred HTTP/1.1\r\nHost: x\r\n\r\n")
    assert pair.post("/test/fail", {"code": 13, "message": "a\nlevel=error msg=forged"}).status == 500
    for daemon in (pair.gateway, pair.service):
        assert "\nlevel=error msg=forged" not in daemon.text()
        assert "\x1b" not in daemon.text()
    with open(pair.path("access.log"), encoding="utf-8") as f:
        assert "\x1b" not in f.read()


def test_unknown_options_and_modules(make_pair):
    pair = make_pair()
    argv = list(pair.service.argv)
    for more in (["--modul", "x"], ["--module", "/no/such.so"], ["--store", "oracle:x"]):
        run = subprocess.run(argv + more, capture_output=True, timeout=20, env=pair.env, check=False)
        assert run.returncode > 0, run
        assert more[1].encode() in run.stderr or more[0].encode() in run.stderr, run
