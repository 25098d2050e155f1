"""errand dev DIR: built by make, watched, and only the service is started anew."""
import os
import signal
import threading

import pytest
from conftest import ARTICLE, wait_until
from test_dev import Dev

MAKEFILE = f"""
all: m.so
m.so: shop.c $(wildcard more/*.c)
\t! grep -n BROKEN $^
\tcp {ARTICLE} $@.new
\tmv $@.new $@
"""


@pytest.fixture
def dev(tmp_path):
    work = tmp_path / "shop"
    work.mkdir()
    (work / "Makefile").write_text(MAKEFILE)
    (work / "shop.c").write_text("first\n")
    made = Dev("--listen", "127.0.0.1:0", str(work), state=str(tmp_path / "state"))
    made.work = work
    yield made.ready()
    if made.popen.poll() is None:
        made.stop()


def test_a_change_restarts_the_service_only(dev):
    before = dev.children()
    failures, asked, stop = [], [0], threading.Event()

    def ask():
        while not stop.is_set():
            status, _ = dev.get("/search?q=a")
            asked[0] += 1
            if status != 200:
                failures.append(status)

    t = threading.Thread(target=ask)
    t.start()
    (dev.work / "shop.c").write_text("second\n")
    assert "shop.c" in dev.next("building")["detail"]
    dev.next("built")
    dev.next("restarted")
    seen = asked[0]
    wait_until(lambda: asked[0] > seen + 3)
    stop.set()
    t.join()
    after = dev.children()
    assert after["gateway"] == before["gateway"] and after["service"] != before["service"]
    assert failures == [] and asked[0] > 3


def test_a_build_that_fails_keeps_the_service(dev):
    before = dev.children()
    (dev.work / "shop.c").write_text("BROKEN\n")
    assert "stays as it was" in dev.next("build failed")["detail"]
    assert "1:BROKEN" in dev.text()
    assert dev.children() == before and dev.get("/search?q=a")[0] == 200
    (dev.work / "shop.c").write_text("good again\n")
    dev.next("built")
    dev.next("restarted")
    assert dev.get("/search?q=a")[0] == 200


def test_many_changes_are_one_build_and_new_files_count(dev):
    (dev.work / "more").mkdir()
    for i in range(20):
        (dev.work / "more" / f"f{i}.c").write_text("x\n")
    dev.next("built")
    dev.next("restarted")
    (dev.work / "notes.txt").write_text("no source\n")
    (dev.work / ".shop.c.swp").write_text("no source\n")
    (dev.work / "shop.pb-c.c").write_text("made\n")
    (dev.work / "unused.h").write_text("nobody needs it\n")
    dev.next("unchanged")
    kinds = [e["event"] for e in dev.events]
    assert kinds.count("built") <= 2 and kinds.count("building") <= 4, dev.events


def test_a_service_that_dies_again_and_again(dev):
    for _ in range(4):
        os.kill(dev.children()["service"], signal.SIGKILL)
        dev.next("died")
        dev.next("restarted")
    os.kill(dev.children()["service"], signal.SIGKILL)
    dev.next("given up", timeout=30)
    assert "service" not in dev.children()
    (dev.work / "shop.c").write_text("mended\n")
    dev.next("built")
    dev.next("restarted")
    wait_until(lambda: dev.get("/search?q=a")[0] == 200)  # the gateway has been without it for long


def test_a_project_that_does_not_build(tmp_path):
    work = tmp_path / "shop"
    work.mkdir()
    (work / "Makefile").write_text("all:\n\t@echo shop.c:3: no; exit 1\n")
    dev = Dev(str(work), state=str(tmp_path / "state"))
    assert dev.popen.wait(30) == 1
    assert "shop.c:3: no" in dev.text() and "does not build" in dev.text()
    (work / "Makefile").write_text("all:\n")
    dev = Dev(str(work), state=str(tmp_path / "state"))
    assert dev.popen.wait(30) == 1
    assert "no module" in dev.text()
