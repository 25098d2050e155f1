"""The points of service/fault.h: the service dies at each when it is told to, and the next one
finds all that was acknowledged."""

import os
import subprocess

import pytest

from conftest import BUILD, FAULTS, TESTMOD, wait_until
from test_store import enqueue, ended_once

pytestmark = pytest.mark.skipif(not FAULTS, reason="a build without --enable-fault-injection")


def start_at(pair, fault):
    plain = pair.env
    pair.env = dict(plain, ERRAND_FAULT=fault)
    try:
        pair.start_service()
    finally:
        pair.env = plain


@pytest.mark.parametrize("fault", ["statement:25", "before-commit:3", "after-commit:3", "before-done:5",
                                   "move-RUNNING:3", "move-SUCCEEDED:2"])
def test_dies_there_and_loses_nothing(make_pair, fault):
    pair = make_pair(modules=[TESTMOD])
    pair.service.stop()
    start_at(pair, fault)
    acked = enqueue(pair, 40)
    assert pair.service.popen.wait(20) == -9
    assert f"fault: {fault}" in pair.service.text()
    pair.start_service()
    pair.wait_ready()
    for task_id in acked:
        ended_once(pair, task_id)


def test_a_mistake_is_an_error(tmp_path):
    for text in ("statement", "statement:0", "statement:x", ":3", "statement:3:sleep", "a:1,,b:2"):
        done = subprocess.run([os.path.join(BUILD, "errand-service"), "--socket", tmp_path / "s",
                               "--store", f"sqlite:{tmp_path}/t.db"], capture_output=True, timeout=20,
                              env=dict(os.environ, ERRAND_FAULT=text), check=False)
        assert done.returncode == 64 and b"write NAME:N" in done.stderr, (text, done)


def test_stop_lets_a_test_look_around(make_pair):
    pair = make_pair(modules=[TESTMOD])
    pair.service.stop()
    start_at(pair, "move-RUNNING:1:stop")
    pair.wait_ready()
    c = pair.connect()
    c.request("POST", "/test/task-echo", "{}", {"Content-Type": "application/json"})

    def stopped():
        with open(f"/proc/{pair.service.pid}/stat", encoding="utf-8") as f:
            return f.read().rpartition(")")[2].split()[0] == "T"
    wait_until(stopped, what="stopped")
    os.kill(pair.service.pid, 18)
    r = c.getresponse()
    assert r.status == 202
    r.read()
    c.close()
