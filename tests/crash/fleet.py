"""The kind "anyone": command methods, a worker in Python and `errand worker`, and kill -9 of
whichever of all the processes. Everything that is started has a mark in its environment, of the one
that started it: when that one is dead, nothing may live with its mark.
"""

import collections
import os
import signal
import subprocess
import sys

from conftest import BUILD, SANITIZED, TOP, pid_gone, wait_until

HERE = os.path.dirname(os.path.abspath(__file__))
GONE_S = 20 if SANITIZED else 10  # for what a dead one has left
MIX = ["command"] * 4 + ["python"] * 4 + ["shell"] * 3 + ["touch", "keyed", "cancel-command", "cancel-python",
                                                        "cancel-shell"]

DAEMON = "sleep 300"  # of program.sh
VICTIMS = ["service", "service", "gateway", "python", "shell"]

CONFIG = """
[command crash.v1.Command/Run]
route = POST /crash/command
param.name = string required pattern="^[a-z0-9]+$"
param.seconds = number required
command = {program} {effects} {{name}} {{@attempt}} {{seconds}}
result = json
keep_env = CRASH_MARK
queue = command
slots = 3
cancel_grace = 1s
"""


def marked(mark):
    """Live processes that have the mark: (pid, command line)."""
    found, wanted = [], f"CRASH_MARK={mark}".encode()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as f:
                if wanted not in f.read().split(b"\0") or pid_gone(pid):
                    continue
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                found.append((int(pid), f.read().replace(b"\0", b" ").decode(errors="replace")))
        except OSError:
            pass  # it ended meanwhile
    return found


class Fleet:
    """The workers of a rig, and the marks of the dead."""

    def __init__(self, rig):
        self.rig, self.pair = rig, rig.pair
        self.incarnations = collections.Counter()
        self.workers, self.marks, self.kills = {}, {}, collections.Counter()
        self.cgroups = True
        effects, program = self.pair.path("effects.log"), os.path.join(HERE, "program.sh")
        with open(self.pair.path("crash.conf"), "w", encoding="utf-8") as f:
            f.write(CONFIG.format(program=program, effects=effects))
        subprocess.run(["protoc", f"-I{HERE}", f"-I{TOP}/proto", "-I/usr/include", "--include_imports",
                        f"--descriptor_set_out={self.pair.path('work.pb')}", "work.proto"], check=True)
        self.argv = {
            "python": [sys.executable, os.path.join(HERE, "worker.py"), self.pair.path("work.pb"), effects],
            "shell": [os.path.join(BUILD, "errand"), "worker", "--name", "crash-shell", "--method",
                      "crash.v1.Shell/Run", "--route", "POST /crash/shell", "--tasks", "3", "--lease", "2s", "--",
                      program, effects]}
        self.pair.service_args += ["--config", self.pair.path("crash.conf")]

    def mark(self, who):
        self.incarnations[who] += 1
        self.marks[who] = f"{self.pair.dir}:{who}:{self.incarnations[who]}"
        return {"CRASH_MARK": self.marks[who]}

    def start_worker(self, who):
        env = dict(os.environ, ERRAND_SOCKET=self.pair.socket, ASAN_OPTIONS=self.pair.env["ASAN_OPTIONS"],
                   **self.mark(who))
        with open(self.pair.path(f"{who}.log"), "ab") as log:
            self.workers[who] = subprocess.Popen(self.argv[who], env=env, stdout=log, stderr=log,
                                                 stdin=subprocess.DEVNULL)

    def served(self):
        r = self.pair.get("/v1/workers")
        return {w["name"] for w in r.json().get("workers", []) if w.get("worker")} if r.status == 200 else set()

    def ready(self):
        """Everybody is there; the tail of a worker's log when it is not."""
        try:
            wait_until(lambda: self.served() == {"crash-python", "crash-shell"}, 30, "workers")
        except AssertionError as e:
            logs = "".join(open(self.pair.path(f"{who}.log"), encoding="utf-8").read()[-1500:] for who in self.argv)
            raise AssertionError(f"{e}: {self.served()}: {logs}") from None

    def kill(self, who):
        """kill -9; started again at once, and nothing that it had lives on."""
        self.kills[who] += 1
        mark = self.marks.get(who)
        if who == "gateway":
            self.pair.gateway.kill()
            self.pair.start_gateway()
            return
        if who == "service":
            self.rig.kill()
            assert self.rig.start_service(self.mark(who)), self.pair.service
        else:
            self.workers[who].kill()
            self.workers[who].wait(20)
            self.start_worker(who)
        self.gone(mark)

    def gone(self, mark):
        try:
            wait_until(lambda: not self.left(mark), GONE_S, f"nothing of {mark} lives")
        except AssertionError as e:
            raise AssertionError(f"{e}: {marked(mark)}") from None

    def left(self, mark):
        """Without cgroups a killed service leaves daemons of its programs (docs/RELIABILITY.md)."""
        left = marked(mark)
        if not self.cgroups and ":service:" in mark:
            for pid in [pid for pid, argv in left if DAEMON in argv]:
                os.kill(pid, signal.SIGKILL)
            left = [x for x in left if DAEMON not in x[1]]
        return left

    def look_for_cgroups(self):
        task = self.pair.wait_task(self.pair.submit("/crash/command", {"name": "first", "seconds": 0}))
        self.cgroups = task["attempts"][-1]["usage"]["isolation"] != "rlimit"
        self.rig.note("with cgroups" if self.cgroups else "without cgroups")

    def stop(self):
        """In good order: exit status 0, and nothing lives on."""
        for who, p in self.workers.items():
            p.send_signal(signal.SIGTERM)
            assert p.wait(40) == 0, (who, p.returncode)
            self.gone(self.marks[who])

    def close(self):
        for p in self.workers.values():
            if p.poll() is None:
                p.kill()
                p.wait()


def anyone(rig, rounds):
    """kill -9 of the service, the gateway or a worker, at random, while commands and workers work."""
    fleet = Fleet(rig)
    rig.load_args.update(clients=12, mix=MIX)
    try:
        rig.start(fleet.mark("service"), load=False)
        for who in fleet.argv:
            fleet.start_worker(who)
        fleet.ready()
        fleet.look_for_cgroups()
        rig.load.start()
        who = []
        for _ in range(rounds):
            who = who or rig.random.sample(VICTIMS, len(VICTIMS))
            rig.grow(rig.random.randint(4, 16), 60)
            fleet.kill(who.pop())
            fleet.ready()
        rig.grow(10, 60)
        rig.load.stop()
        rig.all_ended()
        fleet.stop()
        mark = fleet.marks["service"]
        wait_until(lambda: len(marked(mark)) <= 2, GONE_S, "the service and its warden are alone")
        verdict = rig.verdict()
        fleet.gone(mark)
        rig.note("killed: " + ", ".join(f"{who} {n}" for who, n in sorted(fleet.kills.items())))
        return verdict
    finally:
        fleet.close()
