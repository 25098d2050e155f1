"""errand doctor: what is right is ok; each fault, provoked for real, is named (FAULTS 87)."""

import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import threading

import pytest

from conftest import BUILD, Pair, wait_until
from test_cli_remote import Run, errand, free_port, url

AS_ROOT = os.geteuid() == 0


def doctor(*words, status=None, **env):
    """Its findings by check."""
    r = errand("doctor", "--json", *words, **env)
    found = {}
    for line in r.out.splitlines():
        finding = json.loads(line)
        assert finding["level"] in ("ok", "warn", "fail")
        found[finding["check"]] = finding
    worst = max(["ok", "warn", "fail"].index(f["level"]) for f in found.values())
    assert r.status == worst and (status is None or r.status == status), r
    return found


def failed(found, check, *words):
    f = found[check]
    assert f["level"] == "fail" and all(w in f["found"] + f.get("advice", "") for w in words), found


def at(pair):
    return ("--socket", pair.socket, "--gateway", url(pair))


def test_all_is_right(pair):
    found = doctor(*at(pair))
    for check in ("socket", "service", "gateway", "versions", "store", "store-file", "store-disk", "store-log", "store-check", "clock",
                  "limit-files", "config-service", "config-gateway", "time-zones"):
        assert found[check]["level"] == "ok", found[check]
    assert "pid %d" % pair.service.pid in found["socket"]["found"] and "0660" in found["socket"]["found"]
    assert "sound" in found["store-check"]["found"]
    text = errand("doctor", *at(pair))
    assert re.search(r"^ok    socket ", text.out, re.M) and "\033" not in text.out, text
    assert errand("doctor", "x").status == 64


def test_over_a_url(pair):
    found = doctor("--url", url(pair))
    assert {"service", "gateway", "versions", "store", "clock"} == set(found), found
    assert all(f["level"] == "ok" for f in found.values()), found


# --- the service ---

def test_absent(tmp_path):
    found = doctor("--socket", tmp_path / "service.sock", "--store", tmp_path / "x.db", status=2)
    failed(found, "socket", "no service runs here", "start errand-service")
    assert found["store-file"]["level"] == "warn"


def test_no_socket_and_a_stale_one(tmp_path):
    file = tmp_path / "service.sock"
    file.write_text("x")
    failed(doctor("--socket", file), "socket", "is no socket")
    file.unlink()
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(file))
    failed(doctor("--socket", file), "socket", "stale", "start errand-service")


def test_stopped(make_pair):
    pair = make_pair()
    os.kill(pair.service.pid, signal.SIGSTOP)
    try:
        found = doctor(*at(pair), "-t", "500ms", status=2)
        failed(found, "service", "is stopped", "SIGSTOP", f"kill -CONT {pair.service.pid}")
        assert found["store-file"]["level"] == "ok" and pair.state in found["store-file"]["found"], found
    finally:
        os.kill(pair.service.pid, signal.SIGCONT)
    assert doctor(*at(pair))["service"]["level"] == "ok"


def test_hangs(make_pair):
    pair = make_pair()
    call = threading.Thread(target=lambda: errand("call", "Test/Stuck", "ms=6000", "--socket", pair.socket))
    call.start()
    pair.service.wait_line("loop", timeout=20)
    failed(doctor(*at(pair), "-t", "300ms", status=2), "service", "hangs", f"pid {pair.service.pid}", "handler")
    call.join()


def test_gateway_faults(make_pair):
    pair = make_pair()
    pair.service.stop()
    found = doctor("--socket", pair.socket, "--gateway", url(pair))
    wait_until(lambda: pair.get("/readyz").status == 503, what="503")
    found = doctor("--socket", pair.socket, "--gateway", url(pair), status=2)
    failed(found, "gateway", "503", "no connection to the service")
    found = doctor("--socket", pair.socket, "--gateway", f"http://127.0.0.1:{free_port()}", status=2)
    failed(found, "gateway", "start errand-gateway")
    os.kill(pair.gateway.pid, signal.SIGSTOP)
    try:
        failed(doctor("--socket", pair.socket, "--gateway", url(pair), "-t", "300ms"), "gateway", "no answer in time", "stopped")
    finally:
        os.kill(pair.gateway.pid, signal.SIGCONT)


@pytest.mark.skipif(not AS_ROOT, reason="another user is needed")
def test_who_may_not_connect(make_pair):
    pair = make_pair()
    os.chmod(pair.dir, 0o755)
    nobody = pwd.getpwnam("nobody")
    env = dict(os.environ, HOME="/nonexistent")

    def as_nobody():
        return Run(subprocess.run([os.path.join(BUILD, "errand"), "doctor", "--socket", pair.socket, "-t", "1s"], user=nobody.pw_uid,
                                  group=nobody.pw_gid, extra_groups=[], env=env, capture_output=True, text=True, check=False, timeout=60))
    probe = subprocess.run([os.path.join(BUILD, "errand"), "version"], user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[],
                           env=env, capture_output=True, check=False)
    if probe.returncode != 0:
        pytest.skip("the build is not for other users")
    r = as_nobody()
    assert r.status == 2 and "does not let UID" in r.out and "group" in r.out, r
    os.chmod(pair.socket, 0o666)
    r = as_nobody()
    assert r.status == 2 and "every user" in r.out and "--allow-uid" in r.out, r


# --- the store ---

def test_store_is_gone(make_pair):
    pair = make_pair()
    shutil.move(pair.state, pair.state + "-away")
    try:
        failed(doctor(*at(pair), status=2), "store-file", "missing", pair.state)
    finally:
        shutil.move(pair.state + "-away", pair.state)


def test_store_is_corrupt():
    pair = Pair()
    pair.start()
    for _ in range(20):
        pair.submit("/test/task-sleep", {"ms": "1"})
    wait_until(lambda: not pair.get("/v1/tasks?filter=state%20%3D%20RUNNING").json()["tasks"], what="their end")
    pair.service.stop()
    db = pair.path("state", "tasks.db")
    size = os.path.getsize(db)
    with open(db, "r+b") as f:
        f.seek(4096)
        f.write(b"\xa5" * min(8192, size - 4096))
    try:
        failed(doctor("--socket", pair.socket, "--store", db, status=2), "store-check", "corrupt")
        with open(db, "r+b") as f:
            f.write(b"not a database, not at all")
        failed(doctor("--socket", pair.socket, "--store", f"sqlite:{db}", status=2), "store-file", "corrupt", "restore a backup")
    finally:
        pair.close()


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own for the store."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m,mode=700", "tmpfs", str(disk)], capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip("a file system can be mounted by root only")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def on_disk(disk):
    pair = Pair(service_args=["--slots", "2", "--store-reserve", "1M"])
    os.rmdir(pair.state)
    pair.state = str(disk)
    pair.service_args += ["--store", f"sqlite:{disk}/tasks.db", "--state", str(disk)]
    return pair.start()


def test_store_disk_is_full(small_disk):
    pair = on_disk(small_disk)
    try:
        with open(small_disk / "filler", "wb") as f:
            try:
                while True:
                    f.write(b"x" * 65536)
                    f.flush()
            except OSError:
                pass
        for _ in range(300):
            if pair.post("/test/task-sleep", {"ms": "1"}).status != 202:
                break
        found = doctor(*at(pair), status=2)
        failed(found, "store-disk", "full", "make room")
        if found["store"]["level"] != "ok":
            failed(found, "store", "full")
        os.unlink(small_disk / "filler")
        wait_until(lambda: doctor(*at(pair))["store-disk"]["level"] != "fail", what="room")
    finally:
        pair.close()


def test_store_is_read_only(small_disk):
    """The file system becomes read-only, as the kernel makes it after an error."""
    pair = on_disk(small_disk)
    try:
        pair.service.stop()
        subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
        found = doctor("--socket", pair.socket, "--store", small_disk / "tasks.db", status=2)
        failed(found, "store-disk", "read-only", "remount,rw")
        subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    finally:
        pair.close()


def test_store_may_be_read_by_others(make_pair):
    pair = make_pair()
    os.chmod(pair.path("state", "tasks.db"), 0o644)
    found = doctor(*at(pair))
    assert found["store-file"]["level"] == "warn" and "0644" in found["store-file"]["found"], found


# --- the machine ---

def test_configuration_is_wrong(pair):
    found = doctor(*at(pair), ERRAND_SERVICE_SLOTS="many", status=2)
    failed(found, "config-service", "ERRAND_SERVICE_SLOTS", "would not start")


def test_few_files(make_pair):
    import resource  # pylint: disable=import-outside-toplevel
    pair = make_pair()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.prlimit(pair.service.pid, resource.RLIMIT_NOFILE, (200, hard))
    found = doctor(*at(pair))
    assert found["limit-files"]["level"] == "warn" and "200" in found["limit-files"]["found"], found


def test_no_time_zones(pair, tmp_path):
    found = doctor(*at(pair), TZDIR=tmp_path)
    assert found["time-zones"]["level"] == "warn" and "tzdata" in found["time-zones"]["advice"], found
