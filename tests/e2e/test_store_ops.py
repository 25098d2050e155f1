"""errand.v1.Store: figures, check, online backup, vacuum; the same without a service."""

import json
import os
import re
import sqlite3
import stat
import subprocess
import threading
import time

import pytest

from conftest import BUILD, FAULTS, TESTMOD, TOP, Pair, in_threads
from test_cli import errand
from test_store import enqueue, ended_once


def service_on(path, *args):
    return subprocess.run([os.path.join(BUILD, "errand-service"), "--store", f"sqlite:{path}", *args],
                          capture_output=True, timeout=60, check=False)


def test_figures(make_pair):
    pair = make_pair(modules=[TESTMOD])
    for _ in range(3):
        pair.wait_task(pair.submit("/test/task-echo", {}))
    info = pair.get("/v1/store").json()
    path = pair.path("state", "tasks.db")
    assert info["kind"] == "sqlite" and info["path"] == path
    assert int(info["size"]) == os.stat(path).st_size and int(info["log_size"]) > 0
    assert int(info["pages"]) * int(info["page_size"]) >= int(info["size"])
    assert info["tasks"] == [{"state": "SUCCEEDED", "count": "3"}]
    assert int(info["reserve"]) == 1 << 20 and not info.get("error")


def test_memory_has_no_file(make_pair):
    pair = make_pair(modules=[TESTMOD], store="memory")
    assert pair.get("/v1/store").json()["kind"] == "memory"
    for what, body in (("check", {}), ("vacuum", {}), ("backup", {"path": "/tmp/x"})):
        r = pair.post(f"/v1/store:{what}", body)
        assert r.status == 400 and r.json()["code"] == "FAILED_PRECONDITION", r


def test_backup_under_load(make_pair):
    """Every task acknowledged before the backup began is in it; it is sound, and a store of its own;
    writers go on while it is made."""
    pair = make_pair(modules=[TESTMOD], service_args=["--slots", "4"])
    acked, stop, slowest = [], threading.Event(), [0.0]

    def load():
        while not stop.is_set():
            r = pair.post("/test/task-echo", {"text_value": "x" * 20000})
            assert r.status == 202, r
            acked.append(r.json()["id"])
    threads = [threading.Thread(target=load) for _ in range(4)]
    for t in threads:
        t.start()
    try:
        while len(acked) < 200:
            pass
        for n in range(3):
            before = list(acked)
            copy = pair.path(f"copy{n}.db")
            r = pair.post("/v1/store:backup", {"path": copy})
            assert r.status == 200 and int(r.json()["size"]) == os.stat(copy).st_size, r
            assert stat.S_IMODE(os.stat(copy).st_mode) == 0o600
            done = service_on(copy, "--check-store")
            assert done.returncode == 0, done
            db = sqlite3.connect(copy)
            there = {row[0].hex() for row in db.execute("SELECT id FROM task")}
            db.close()
            assert {i.replace("-", "") for i in before} <= there
            assert len(acked) > len(before), "nothing was taken meanwhile"
    finally:
        stop.set()
        for t in threads:
            t.join()
    assert not [f for f in os.listdir(pair.dir) if f.endswith(".part")]
    r = pair.post("/v1/store:backup", {"path": pair.path("copy0.db")})
    assert r.status == 409 and "already" in r.json()["detail"], r
    other = Pair(modules=[TESTMOD])
    try:
        os.rename(pair.path("copy2.db"), other.path("state", "tasks.db"))
        other.start()
        for task_id in acked[:50]:
            assert other.wait_task(task_id)["state"] == "SUCCEEDED"
    finally:
        other.close()


def test_backup_says_what_is_wrong(pair):
    for path, status in (("tasks.db", 400), ("/nowhere/x.db", 400), (pair.dir + "/", 400), ("", 400)):
        r = pair.post("/v1/store:backup", {"path": path})
        assert r.status == status, (path, r)


def test_check_of_a_live_store(make_pair):
    pair = make_pair(modules=[TESTMOD])
    pair.wait_task(pair.submit("/test/task-echo", {}))
    r = pair.post("/v1/store:check", {})
    assert r.status == 200 and r.json() == {"sound": True, "faults": [], "tasks": "1"}, r
    assert os.listdir(pair.path("state")).count("tasks.db.check") == 0
    done = service_on(pair.path("state", "tasks.db"), "--check-store")
    assert done.returncode == 75 and b"errand store check" in done.stderr, done
    pair.service.stop()
    path = pair.path("state", "tasks.db")
    with sqlite3.connect(path) as db:
        db.execute("UPDATE task SET state = 6")
        db.execute("DELETE FROM attempt")
        db.execute("INSERT INTO event (task, seq, kind, time_us) VALUES (zeroblob(16), 2, 1, 5)")
    db.close()
    done = service_on(path, "--check-store")
    assert done.returncode == 65 and b"last state event" in done.stdout, done
    assert b"1 events of tasks that are not there, as 00000000-" in done.stdout, done
    pair.start_service()
    pair.wait_ready()
    r = pair.post("/v1/store:check", {}).json()
    assert not r.get("sound") and len(r["faults"]) == 2, r


def test_vacuum_gives_pages_back(make_pair):
    pair = make_pair(modules=[TESTMOD])
    ids = [pair.submit("/test/task-echo", {"text_value": "x" * 50000}) for _ in range(60)]
    for task_id in ids:
        pair.wait_task(task_id)
        assert pair.request("DELETE", f"/v1/tasks/{task_id}").status == 204
    info = pair.get("/v1/store").json()
    assert int(info["free_pages"]) > 500, info
    r = pair.post("/v1/store:vacuum", {}).json()
    assert int(r["pages"]) > 500, r
    after = pair.get("/v1/store").json()
    assert int(after.get("free_pages", 0)) == 0 and int(after["size"]) < 400000, after
    assert pair.post("/v1/store:check", {}).json()["sound"]


def test_the_command(make_pair):
    pair = make_pair(modules=[TESTMOD])
    for _ in range(2):
        pair.wait_task(pair.submit("/test/task-echo", {}))
    path = pair.path("state", "tasks.db")
    shown = errand(pair, "store", "show")
    assert f"path     {path}\n" in shown and "tasks    2 SUCCEEDED\n" in shown and "1.0 MiB" in shown, shown
    assert json.loads(errand(pair, "store", "show", "--json"))["path"] == path
    assert errand(pair, "store", "check") == "sound: 2 tasks\n"
    copy = pair.path("copy.db")
    assert errand(pair, "store", "backup", copy).startswith(f"{copy}: ")
    done = service_on(copy, "--check-store")
    assert done.returncode == 0 and b"sound, schema" in done.stdout and b"2 tasks" in done.stdout, done
    errand(pair, "store", "backup", copy, status=1)
    assert "there already" in errand.stderr
    assert "given back" in errand(pair, "store", "vacuum")
    assert "sound" in json.loads(errand(pair, "store", "check", "-j"))
    for wrong in (["store"], ["store", "backup"], ["store", "check", "x"], ["store", "chek"],
                  ["store", "backup", "a", "b"]):
        errand(pair, *wrong, status=64)
    assert "show|check|backup" in subprocess.run([os.path.join(BUILD, "errand"), "store"],
                                                 capture_output=True, text=True, check=False).stderr


def test_check_of_what_is_no_store(tmp_path):
    def check(name, content=None, status=0):
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        done = service_on(path, "--check-store")
        assert done.returncode == status, done
        assert content is None or path.read_bytes() == content
        return done.stderr.decode()
    assert "no such file" in check("none.db", status=73)
    assert "not an SQLite database" in check("noise.db", os.urandom(9000), status=65)
    db = sqlite3.connect(tmp_path / "foreign.db")
    db.execute("CREATE TABLE mine (x)")
    db.commit()
    db.close()
    assert "another program" in check("foreign.db", (tmp_path / "foreign.db").read_bytes(), status=78)
    done = subprocess.run([os.path.join(BUILD, "errand-service"), "--store", "memory", "--check-store"],
                          capture_output=True, check=False)
    assert done.returncode == 64 and b"no file" in done.stderr


def test_strangers_at_the_database(make_pair):
    """FAULTS 11, 13: whoever opens the file of a running service is kept out, whatever he wants."""
    seconds = float(os.environ.get("ERRAND_STRESS_SECONDS", "2"))
    pair = make_pair(modules=[TESTMOD])
    path = pair.path("state", "tasks.db")
    end = time.monotonic() + seconds
    acked, tried = [], [0]

    def stranger(what):
        while time.monotonic() < end:
            db = sqlite3.connect(path, timeout=0.05, isolation_level=None)
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                db.execute(what)
            db.close()
            tried[0] += 1

    def client():
        while time.monotonic() < end:
            r = pair.post("/test/task-echo", {"text_value": "x" * 3000})
            assert r.status == 202, r
            acked.append(r.json()["id"])
    jobs = [lambda: stranger("BEGIN EXCLUSIVE"), lambda: stranger("PRAGMA wal_checkpoint(TRUNCATE)"),
            lambda: stranger("SELECT count(*) FROM task"), client, client]
    in_threads(len(jobs), lambda i: jobs[i]())
    assert tried[0] > 10 and len(acked) > 20, (tried, len(acked))
    assert pair.post("/v1/store:check", {}).json()["sound"]
    for task_id in acked[-20:]:
        ended_once(pair, task_id)


@pytest.mark.skipif(not FAULTS, reason="a build without --enable-fault-injection")
@pytest.mark.parametrize("fault", ["backup:2", "backup-rename:1"])
def test_killed_while_it_copies(make_pair, fault):
    """The copy has no name yet, the store is as it was, and the next copy begins anew."""
    pair = make_pair(modules=[TESTMOD])
    pair.service.stop()
    pair.env["ERRAND_FAULT"] = fault
    pair.start_service()
    pair.wait_ready()
    acked = enqueue(pair, 30)
    for _ in range(30):
        acked.append(pair.submit("/test/task-echo", {"text_value": "x" * 60000}))
    copy = pair.path("copy.db")
    assert pair.post("/v1/store:backup", {"path": copy}).status in (502, 503)
    assert pair.service.popen.wait(20) == -9
    assert not os.path.exists(copy)
    del pair.env["ERRAND_FAULT"]
    pair.start_service()
    pair.wait_ready()
    assert pair.post("/v1/store:backup", {"path": copy}).status == 200
    assert not os.path.exists(copy + ".part")
    done = service_on(copy, "--check-store")
    assert done.returncode == 0, done
    for task_id in acked:
        ended_once(pair, task_id)


def old_store(path):
    """A store of schema 1, with a task in each of its states; their ids by state."""
    with open(os.path.join(TOP, "tests", "contract", "test_store_upgrade.c"), encoding="utf-8") as f:
        text = re.search(r"version_1\[\] =\n(.*?);\n\n", f.read(), re.S)[1]
    db = sqlite3.connect(path, isolation_level=None)
    db.executescript("".join(re.findall(r'"([^"]*)"', text)))
    ids, now = {}, int(time.time() * 1e6)
    for state in range(1, 8):
        raw = bytes.fromhex("01930000000070008000000000%02x0000" % state)
        begun, ended = state > 1, state > 4
        db.execute("INSERT INTO task VALUES (?, 'errandtest.v1.Test/TaskEcho', 'default', ?, 0, ?, ?, 0, 0, ?,"
                   " ?, ?, ?, 0, NULL, ?, 0, 0)",
                   (raw, state, 2 if begun else 1, begun, now, begun * now, ended * now, now, state == 4))
        if begun:
            db.execute("INSERT INTO attempt VALUES (?, 1, ?, 5, ?, 0, 0, NULL, 'old/1')",
                       (raw, 0 if state in (2, 4) else 1 if state == 5 else 2, 0 if state in (2, 4) else 6))
            db.execute("INSERT INTO event VALUES (?, 2, 1, 9, ?)", (raw, bytes([0x28, state, 0x30, 1])))
        h = raw.hex()
        ids[state] = "-".join((h[:8], h[8:12], h[12:16], h[16:20], h[20:]))
    db.close()
    return ids


@pytest.mark.skipif(not FAULTS, reason="a build without --enable-fault-injection")
def test_killed_in_the_upgrade(make_pair):
    """FAULTS 22: the next start finds the old file and brings it up to date; every task is there and
    goes its way."""
    pair = make_pair(modules=[TESTMOD])
    pair.service.stop()
    path = pair.path("state", "tasks.db")
    os.unlink(path)
    ids = old_store(path)
    for fault in ("upgrade:1", "before-commit:1"):
        pair.env["ERRAND_FAULT"] = fault
        with pytest.raises(AssertionError):
            pair.start_service()
        assert pair.service is None or not pair.service.alive()
    del pair.env["ERRAND_FAULT"]
    pair.start_service()
    pair.wait_ready()
    ends = {1: "SUCCEEDED", 2: "SUCCEEDED", 3: "SUCCEEDED", 4: "CANCELLED", 5: "SUCCEEDED", 6: "FAILED",
            7: "CANCELLED"}
    for state, end in ends.items():
        assert pair.wait_task(ids[state])["state"] == end
    assert pair.task(ids[2])["attempt"] == 2
    assert pair.post("/v1/store:check", {}).json()["sound"]
    assert int(pair.get("/v1/store").json()["schema_version"]) >= 2


def test_what_is_refused_has_its_status(make_pair):
    """FAULTS 8 to 10, 22: each with what to do, the file as it was."""
    pair = make_pair(modules=[TESTMOD])
    path = pair.path("state", "tasks.db")
    done = service_on(path, "--socket", pair.path("other.sock"))
    assert done.returncode == 75 and f"pid {pair.service.pid} on ".encode() in done.stderr, done
    pair.wait_task(pair.submit("/test/task-echo", {"text_value": "x" * 100000}))
    pair.service.stop()
    with open(path, "rb") as f:
        whole = f.read()

    def refused(content, status, words):
        with open(path, "wb") as f:
            f.write(content)
        done = service_on(path, "--socket", pair.path("other.sock"))
        assert done.returncode == status and words.encode() in done.stderr, done
        with open(path, "rb") as f:
            assert f.read() == content
    refused(whole[:len(whole) // 2 // 4096 * 4096], 65, "restore a copy")
    refused(os.urandom(len(whole)), 65, "restore a copy")
    refused(whole[:4096 * 3] + bytes(4096 * 2) + whole[4096 * 5:], 65, "--check-store")
    refused(whole[:60] + b"\0\0\0\x63" + whole[64:], 78, "upgrade errand")
    refused(whole[:68] + b"abcd" + whole[72:], 78, "another program")
    os.rename(path, path + ".real")
    os.symlink(path + ".real", path)
    done = service_on(path, "--socket", pair.path("other.sock"))
    assert done.returncode == 78 and b"symbolic link" in done.stderr, done
    os.unlink(path)
    with open(path, "wb") as f:
        f.write(whole)
    pair.start_service()
