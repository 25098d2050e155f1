"""clients/go against the real daemons: what its README shows, and a worker's life."""
import os
import re
import shutil
import signal
import subprocess

import pytest

from conftest import TOP, need, wait_until

GO = os.path.join(TOP, "clients/go")
README = open(os.path.join(GO, "README.md"), encoding="utf-8").read()


@pytest.fixture(scope="module")
def bin_dir(tmp_path_factory):
    """The README's blocks but the last, with bin somewhere else."""
    where = str(tmp_path_factory.mktemp("go"))
    build, protoc, _ = re.findall(r"```sh\n(.*?)\n```", README, re.S)
    out = subprocess.run(build.replace("bin", where), shell=True, cwd=GO, capture_output=True, text=True, check=False)
    need(out.returncode != 77, out.stdout.strip())
    assert out.returncode == 0, out.stderr
    subprocess.run(protoc.replace("bin/", where + "/").replace("-I words", "-I words -I /usr/include"), shell=True, cwd=GO,
                   check=True, env={**os.environ, "PROTO": os.path.join(TOP, "proto")})
    return where


class Words:
    def __init__(self, pair, where):
        self.log = open(pair.path("words.log"), "ab")
        self.p = subprocess.Popen([f"{where}/words", "-socket", pair.socket, f"{where}/words.pb"], stderr=self.log)

    def stop(self, how=signal.SIGTERM):
        if self.p.poll() is None:
            self.p.send_signal(how)
        code = self.p.wait(30)
        self.log.close()
        return code


@pytest.fixture
def pair(make_pair):
    return make_pair()


def connected(pair):
    return [w for w in pair.get("/v1/workers").json().get("workers", []) if w.get("worker")]


def submit(pair, where, text):
    return subprocess.run([f"{where}/submit", "-socket", pair.socket, "words.v1.Words/Echo", '{"text":"%s"}' % text],
                          capture_output=True, text=True, timeout=60, check=False)


def test_the_readme(pair, bin_dir):
    words = Words(pair, bin_dir)
    wait_until(lambda: connected(pair), what="the worker")
    last = re.findall(r"```sh\n(.*?)\n```", README, re.S)[-1]
    out = subprocess.run(last.replace("bin/", bin_dir + "/"), shell=True, capture_output=True, text=True, timeout=60,
                         env={**os.environ, "ERRAND_SOCKET": pair.socket}, check=False)
    assert out.returncode == 0, out.stderr
    assert out.stdout.splitlines()[-1] == 'result {"text":"one two"}' and "event 1 state" in out.stdout
    assert words.stop() == 0


def test_its_tasks_wait_for_it(pair, bin_dir):
    """kill -9 of the worker in the middle: the attempt is lost, the next worker does it."""
    words = Words(pair, bin_dir)
    wait_until(lambda: connected(pair), what="the worker")
    text = " ".join("w%d" % i for i in range(100))
    client = subprocess.Popen([f"{bin_dir}/submit", "-socket", pair.socket, "words.v1.Words/Echo",
                               '{"text":"%s"}' % text], stdout=subprocess.PIPE, text=True)
    task_id = client.stdout.readline().split()[1]
    wait_until(lambda: pair.task(task_id)["state"] == "RUNNING", what="RUNNING")
    words.stop(signal.SIGKILL)
    wait_until(lambda: pair.task(task_id)["state"] in ("QUEUED", "RETRYING"), what="the loss")
    words = Words(pair, bin_dir)
    out, _ = client.communicate(timeout=60)
    task = pair.task(task_id)
    assert (task["state"], task["crash_count"]) == ("SUCCEEDED", 1), task
    assert [a["outcome"] for a in task["attempts"]] == ["LEASE_LOST", "OK"]
    assert out.splitlines()[-1] == 'result {"text":"%s"}' % text
    assert words.stop() == 0


def test_a_stop_waits_for_what_runs(pair, bin_dir):
    words = Words(pair, bin_dir)
    wait_until(lambda: connected(pair), what="the worker")
    text = " ".join("w%d" % i for i in range(50))
    client = subprocess.Popen([f"{bin_dir}/submit", "-socket", pair.socket, "words.v1.Words/Echo",
                               '{"text":"%s"}' % text], stdout=subprocess.PIPE, text=True)
    task_id = client.stdout.readline().split()[1]
    wait_until(lambda: pair.task(task_id)["state"] == "RUNNING", what="RUNNING")
    assert words.stop() == 0
    client.communicate(timeout=30)
    assert [a["outcome"] for a in pair.task(task_id)["attempts"]] == ["OK"]


def test_a_restart_of_the_service(pair, bin_dir):
    """The worker comes back by itself; what it had is done again."""
    words = Words(pair, bin_dir)
    wait_until(lambda: connected(pair), what="the worker")
    pair.service.kill()
    pair.start_service()
    wait_until(lambda: pair.get("/readyz").status == 200, what="readyz")
    wait_until(lambda: connected(pair), what="the worker again")
    out = submit(pair, bin_dir, "a b")
    assert out.stdout.splitlines()[-1] == 'result {"text":"a b"}', out.stderr
    assert words.stop() == 0


def test_a_handler_that_heeds_nothing_keeps_nobody_away(pair, bin_dir, tmp_path):
    """The connection is lost while it sleeps: the worker is back at once all the same, and the task
    runs again; what the first attempt answers counts no more."""
    shutil.copytree(GO, tmp_path / "go")
    main = tmp_path / "go" / "words" / "main.go"
    text = main.read_text(encoding="utf-8")
    assert "for i, word := range words {" in text
    main.write_text(text.replace("for i, word := range words {", """if work.Attempt == 1 {
		time.Sleep(15 * time.Second)
		return errand.Set(work.Out, "text", "too late"), nil
	}
	for i, word := range words {"""), encoding="utf-8")
    build = re.findall(r"```sh\n(.*?)\n```", README, re.S)[0]
    out = subprocess.run(build.replace("bin", str(tmp_path / "bin")), shell=True, cwd=tmp_path / "go",
                         capture_output=True, text=True, check=False)
    assert out.returncode == 0, out.stderr
    shutil.copy(f"{bin_dir}/words.pb", tmp_path / "bin" / "words.pb")
    words = Words(pair, tmp_path / "bin")
    wait_until(lambda: connected(pair), what="the worker")
    r = pair.post("/v1/tasks", {"method": "words.v1.Words/Echo", "input": {"text": "in time"}})
    assert r.status == 201, r
    task_id = r.json()["id"]
    pair.wait_task(task_id, ("RUNNING",))
    pair.service.kill()
    pair.start_service()
    pair.wait_ready()
    wait_until(lambda: connected(pair), timeout=8, what="the worker again")
    task = pair.wait_task(task_id, timeout=10)
    assert task["result"]["text"] == "in time" and [a["outcome"] for a in task["attempts"]] == ["LEASE_LOST", "OK"]
    assert words.stop(signal.SIGKILL) == -signal.SIGKILL
