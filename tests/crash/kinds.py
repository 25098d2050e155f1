"""The kinds of trouble. Each is a function of a Rig: it makes the trouble while the load runs,
`rounds` times. Rig has what they share: the pair, the load, restarts and their times.
"""

import contextlib
import mmap
import os
import random
import re
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "e2e"))

from conftest import BUILD, FAULTS, SANITIZED, TESTMOD, Pair, wait_until  # noqa: E402

import check  # noqa: E402
from fleet import anyone  # noqa: E402
from load import Load  # noqa: E402

LIBS = os.path.join(BUILD, "tests", "crash", ".libs")
NTHWRITE = os.path.join(BUILD, "tests", "e2e", ".libs", "nthwrite.so")
DRAIN_S = 120  # for what was acknowledged to end
POINTS = ["statement", "before-commit", "after-commit", "before-done", "checkpoint", "move-RUNNING",
          "move-SUCCEEDED", "move-FAILED", "move-RETRYING", "move-CANCELLING", "move-CANCELLED", "move-QUEUED"]
HOUR, DAY = 3600 * 10**9, 86400 * 10**9


class Skip(Exception):
    """This kind cannot be made here."""


class Shared:
    """Numbers that a preloaded library reads while the daemon runs."""

    def __init__(self, path, n):
        with open(path, "wb") as f:
            f.write(bytes(8 * n))
        with open(path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), 8 * n)

    def set(self, i, value):
        struct.pack_into("q", self.map, 8 * i, value)

    def get(self, i):
        return struct.unpack_from("q", self.map, 8 * i)[0]


class Rig:
    """A pair under load, and a clock on each of its restarts."""

    def __init__(self, seed=1, clients=32, mix=None, state_dir=None, service_args=("--slots", "32"),
                 gateway_args=("--reconnect-wait", "0s")):
        self.pair = Pair(modules=[TESTMOD], service_args=service_args, gateway_args=gateway_args)
        if state_dir:
            self.pair.state = state_dir
        self.random = random.Random(seed)
        self.plain_env = self.pair.env
        self.recoveries, self.notes = [], []
        self.load_args = {"clients": clients, "mix": mix, "seed": seed}
        self.load = None
        self.effects = True

    @property
    def db(self):
        return os.path.join(self.pair.state, "tasks.db")

    def start(self, env=None, load=True):
        self.pair.service_args += ["--store", f"sqlite:{self.db}"]
        self.start_service(env)
        self.recoveries.clear()  # the first start recovers nothing
        self.pair.start_gateway()
        self.pair.wait_ready()
        self.load = Load(self.pair.port, **self.load_args)
        if load:
            self.load.start()
        return self

    def start_service(self, env=None):
        """False when what was preloaded or injected ended it before it was ready."""
        self.pair.env = dict(self.plain_env, **(env or {}))
        if env and "LD_PRELOAD" in env:
            self.pair.env["ASAN_OPTIONS"] += ":verify_asan_link_order=0"
        try:
            self.pair.start_service()
        except AssertionError:
            if not env:
                raise
            return False
        finally:
            self.pair.env = self.plain_env
        self.recoveries.append(self.pair.service.ready_s)
        return True

    def grow(self, n, timeout=20):
        """Until n tasks more are acknowledged."""
        goal = self.load.acked + n
        wait_until(lambda: self.load.acked >= goal or self.load.failure, timeout, f"{n} tasks")

    def died(self, timeout=10):
        try:
            return self.pair.service.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

    def kill(self):
        self.pair.service.kill()

    def note(self, text):
        self.notes.append(text)

    def all_ended(self):
        def live():
            left = []
            for state in ("QUEUED", "RUNNING", "RETRYING", "CANCELLING"):
                r = self.pair.get(f"/v1/tasks?page_size=1&state={state}")
                assert r.status == 200, r
                left += r.json().get("tasks", [])
            return not left
        # one may slip from a state that is still to be looked at into one that was
        wait_until(lambda: live() and live(), DRAIN_S, "all tasks have ended")

    def verdict(self, wait=True):
        """Stops the load, waits for the end of every task, and checks."""
        self.load.stop()
        if not self.pair.service.alive():
            self.start_service()
        self.pair.wait_ready()
        if wait:
            self.all_ended()
        sample = self.random.sample(sorted(self.load.journal), min(50, self.load.acked))
        shown = {i: self.pair.get(f"/v1/tasks/{i}") for i in sample}
        self.pair.service.stop()
        v = check.check(self.db, self.load.journal, self.effects and self.pair.path("effects.log"),
                        self.load.twice)
        for task_id, r in shown.items():  # what HTTP says is what the file says
            if r.status != 200:
                v.lost.append((task_id, f"HTTP {r.status}"))
            elif r.json()["state"] not in ("SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED"):
                v.unfinished.append((task_id, r.json()["state"]))
        return v

    def close(self):
        if self.load and self.load.thread and self.load.thread.is_alive():
            self.load.stopping = True
            self.load.thread.join(10)
        self.pair.close()


# --- kill -9 ---

def points(rig, rounds):
    """kill -9 at every named point of every transition (service/fault.h)."""
    if not FAULTS:
        raise Skip("needs a build with --enable-fault-injection")
    rig.start()
    reached = {}
    for i in range(rounds):
        point = POINTS[i % len(POINTS)]
        most = {"statement": 400, "checkpoint": 3}.get(point, 40)
        rig.kill()
        at = rig.random.randint(1, most)
        if rig.start_service({"ERRAND_FAULT": f"{point}:{at}"}):
            rig.recoveries.pop()  # counted when it starts after its death
        reached[point] = reached.get(point, 0) + (rig.died() == -signal.SIGKILL)
        if rig.pair.service.alive():
            rig.kill()
        rig.start_service()
    rig.note(f"{sum(reached.values())} of {rounds} died at their point")
    if missed := [p for p in POINTS[:rounds] if not reached.get(p)]:
        rig.note(f"never reached: {', '.join(missed)}")


def nth_write(rig, rounds):
    """kill -9 at the Nth write or sync of the store's files, the write half done."""
    rig.start()
    for i in range(rounds):
        rig.kill()
        n = i + 1 if rounds >= 100 else rig.random.randint(1, 200)
        if rig.start_service({"LD_PRELOAD": NTHWRITE, "NTHWRITE_KILL": str(n)}):
            assert rig.died() == -signal.SIGKILL
        rig.start_service()
        rig.grow(10)


def at_random(rig, rounds):
    """kill -9 at random moments; goes on until 1,000 tasks a round were acknowledged."""
    goal = rounds * 1000
    rig.start()
    kills = 0
    while rig.load.acked < goal:
        time.sleep(rig.random.uniform(0.05, 0.8))
        rig.kill()
        rig.start_service()
        kills += 1
    rig.note(f"{kills} kills")


def sigterm(rig, rounds):
    """SIGTERM under load: drains, exit 0; every third time a second one follows at once."""
    rig.pair.service_args += ["--drain-timeout", "50ms"]
    rig.start()
    for i in range(rounds):
        rig.grow(50)
        if i % 3 == 2:
            rig.pair.service.popen.send_signal(signal.SIGTERM)
        rig.pair.service.stop()
        rig.start_service()


# --- the disk ---

def disk_full(rig, rounds):
    """A file system of 8 MB fills up; kill -9 while it is full; then there is room again."""
    with small_disk() as disk:
        rig.pair.state = os.path.join(disk, "state")
        os.mkdir(rig.pair.state, 0o700)
        rig.start()
        filler = os.path.join(disk, "filler")
        for _ in range(rounds):
            rig.grow(100)
            fill(filler)
            before = rig.load.statuses[507]
            wait_until(lambda: rig.load.statuses[507] > before + 20, 20, "507")
            rig.kill()
            os.truncate(filler, max(0, os.path.getsize(filler) - (1 << 20)))
            rig.start_service()
            os.unlink(filler)
        rig.note(f"{rig.load.statuses[507]} refused with 507")
        rig.grow(50)
        return rig.verdict()


def fill(path):
    with open(path, "ab", buffering=0) as f, contextlib.suppress(OSError):
        while True:
            f.write(bytes(16384))


@contextlib.contextmanager
def small_disk(size="8m"):
    with tempfile.TemporaryDirectory(prefix="errand-disk-") as d:
        if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", d],
                          capture_output=True, check=False).returncode:
            raise Skip("a file system can be mounted by root only")
        try:
            yield d
        finally:
            subprocess.run(["umount", "-l", d], check=True)


def io_error(rig, rounds):
    """The Nth write, then the Nth sync, of the store fails, and all after it."""
    rig.start()
    for i in range(rounds):
        rig.kill()
        what = ("NTHWRITE_EIO_WRITE", "NTHWRITE_EIO_SYNC")[i % 2]
        n = rig.random.randint(5, 60)
        before = rig.load.statuses[503]
        if rig.start_service({"LD_PRELOAD": NTHWRITE, what: str(n)}):
            rig.recoveries.pop()
            wait_until(lambda: not rig.pair.service.alive() or
                       rig.load.statuses[503] > before + 50, 20, "503, or the end of the service")
        if rig.pair.service.alive():
            rig.kill()
        rig.start_service()
        rig.grow(10)


# --- clocks ---

def shim(rig):
    """Environment and numbers of trouble.c: wall clock, boot clock, forks."""
    return ({"LD_PRELOAD": os.path.join(LIBS, "trouble.so"), "TROUBLE": rig.pair.path("trouble")},
            Shared(rig.pair.path("trouble"), 3))


def clocks(rig, rounds):
    """The wall clock is set +1 h, -1 h, -10 days, +10 days under load; kill -9 now and then."""
    env, numbers = shim(rig)
    rig.start(env)
    for i in range(rounds):
        numbers.set(0, numbers.get(0) + (HOUR, -HOUR, -10 * DAY, 10 * DAY)[i % 4])
        rig.grow(60)
        if i % 4 == 3:
            rig.kill()
            rig.start_service(env)


def suspend(rig, rounds):
    """The service stops for a while and the boot clock is an hour on when it goes on."""
    env, numbers = shim(rig)
    rig.start(env)
    for i in range(rounds):
        rig.grow(60)
        rig.pair.service.popen.send_signal(signal.SIGSTOP)
        numbers.set(1, (i + 1) * HOUR)
        time.sleep(rig.random.uniform(0.1, 0.5))
        rig.pair.service.popen.send_signal(signal.SIGCONT)


# --- what the system refuses ---

def two_services(rig, rounds):
    """Others want the same store while it is in use."""
    rig.start()
    for _ in range(rounds):
        rig.grow(20)
        argv = [a if a != rig.pair.socket else rig.pair.path("other.sock") for a in rig.pair.service.argv]
        other = subprocess.run(argv, capture_output=True, timeout=20, env=rig.pair.env, check=False)
        assert other.returncode > 0 and b"in use" in other.stderr, other
        assert rig.pair.service.alive()


def no_descriptors(rig, rounds):
    """Both daemons have no descriptor left for a while, and 300 clients come."""
    rig.start()
    daemons = [rig.pair.gateway.pid, rig.pair.service.pid]
    for i in range(rounds):
        rig.grow(50)
        limits = [resource.prlimit(p, resource.RLIMIT_NOFILE) for p in daemons]
        for p in daemons:
            resource.prlimit(p, resource.RLIMIT_NOFILE, (64, limits[0][1]))
        crowd = Load(rig.pair.port, clients=300, seed=i, first=1000000 * (i + 1)).start()
        time.sleep(1)
        crowd.stopping = True
        for p, limit in zip(daemons, limits):
            resource.prlimit(p, resource.RLIMIT_NOFILE, limit)
        crowd.stop()
        rig.load.journal.update(crowd.journal)
        rig.grow(50)


def no_forks(rig, rounds):
    """fork fails while tasks want to run programs: typed errors, and they are tried again."""
    env, numbers = shim(rig)
    rig.load_args["mix"] = ["run"] * 3 + ["touch"] * 3 + ["echo"]
    rig.start(env)
    for _ in range(rounds):
        rig.grow(30)
        numbers.set(2, 1)
        rig.grow(30)
        numbers.set(2, 0)
    rig.note("a program that could not be started fails its attempt")


def no_memory(rig, rounds):
    """The Nth allocation of the service fails: it ends, and what was acknowledged is there."""
    if SANITIZED:
        raise Skip("not with sanitizers, which have an allocator of their own")
    env = {"LD_PRELOAD": os.path.join(LIBS, "nomem.so"), "NOMEM": rig.pair.path("nomem")}
    left = Shared(rig.pair.path("nomem"), 1)
    rig.effects = False  # a stdio without its buffer writes the handlers' lines in pieces
    rig.start(env)
    ends = {}
    for _ in range(rounds):
        rig.grow(20)
        left.set(0, rig.random.randint(1, 3000))
        wait_until(lambda: left.get(0) <= 0 or not rig.pair.service.alive(), 20, "the allocation")
        code = rig.died(0.5)
        ends[code] = ends.get(code, 0) + 1
        if code is None:
            rig.grow(20)
        else:
            rig.start_service(env)
    rig.note(", ".join(f"{'went on' if c is None else f'ended with {c}'}: {n}" for c, n in sorted(
        ends.items(), key=str)))


def no_gateway_memory(rig, rounds):
    """The Nth allocation of the gateway fails: it ends, or answers as ever; no answer in part."""
    if SANITIZED:
        raise Skip("not with sanitizers, which have an allocator of their own")
    left = Shared(rig.pair.path("nomem"), 1)
    rig.start()
    rig.pair.env = dict(rig.plain_env, LD_PRELOAD=os.path.join(LIBS, "nomem.so"), NOMEM=rig.pair.path("nomem"))
    ends, preloaded = {}, False
    for _ in range(rounds):
        if not preloaded or not rig.pair.gateway.alive():
            rig.pair.gateway.kill()
            rig.pair.start_gateway()
            preloaded = True
            rig.pair.wait_ready()
        rig.grow(20)
        left.set(0, rig.random.randint(1, 2000))
        wait_until(lambda: left.get(0) <= 0 or not rig.pair.gateway.alive(), 20, "the allocation")
        try:
            code = rig.pair.gateway.popen.wait(0.3)
        except subprocess.TimeoutExpired:
            code = None
        said = rig.pair.gateway.text()[-300:]
        if code == -signal.SIGSEGV and re.search("evhttp_request_new: .*\\n$", said):
            code = "libevent"  # 2.1 frees headers that a new request did not get
        assert code in (None, 71, "libevent"), (code, said)
        ends[code] = ends.get(code, 0) + 1
    if not rig.pair.gateway.alive():
        rig.pair.start_gateway()
    rig.note(", ".join(f"{'went on' if c is None else f'ended with {c}'}: {n}" for c, n in sorted(
        ends.items(), key=str)))


def signals(rig, rounds):
    """10,000 signals a second to both daemons, of every kind that is not to end them."""
    rig.start()
    some = [signal.SIGHUP, signal.SIGPIPE, signal.SIGCHLD, signal.SIGCONT, signal.SIGWINCH, signal.SIGURG]
    daemons, sent, begin = [rig.pair.service.pid, rig.pair.gateway.pid], 0, time.monotonic()
    before = rig.load.acked
    while (now := time.monotonic() - begin) < rounds:
        while sent < now * 10000:
            os.kill(daemons[sent & 1], some[sent % len(some)])
            sent += 1
        time.sleep(0.002)
    assert rig.load.acked > before + 50 * rounds, "hardly anything was done meanwhile"
    rig.note(f"{sent / (time.monotonic() - begin):.0f} signals/s")


def log_blocked(rig, rounds):
    """Nobody reads the service's log, which is a pipe, and it is chatty."""
    out, into = os.pipe()
    try:
        rig.pair.service_args += ["--log-level", "debug"]
        plain, rig.pair.path = rig.pair.path, lambda *n: (
            f"/proc/self/fd/{into}" if n == ("service.log",) else plain(*n))
        rig.start()
        for _ in range(rounds):
            rig.grow(300)
        rig.pair.path = plain
        rig.pair.service.log = plain("gateway.log")
        return rig.verdict()
    finally:
        os.close(out)
        os.close(into)


def memory(rig, rounds):
    """1,000 clients with requests of 128 kB at once, in 128 MB for each daemon."""
    rig.pair.service_args += ["--max-input", "32M"]
    rig.pair.gateway_args += ["--max-connections", "200"]  # the gateway's bound on bodies it holds
    rig.load_args.update(clients=1000, mix=["large"])
    rig.start()
    for _ in range(rounds):
        rig.grow(500, 60)
    peak = [peak_mb(p.pid) for p in (rig.pair.gateway, rig.pair.service)]
    refused = sum(n for s, n in rig.load.statuses.items() if s != 202) + rig.load.lost_connections
    rig.note(f"peak RSS: gateway {peak[0]:.0f} MB, service {peak[1]:.0f} MB; {refused} refused")
    assert SANITIZED or max(peak) < 128, peak


def peak_mb(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmHWM")) / 1024


# name -> (function, rounds of ./dev crash, rounds of ./dev test)
KINDS = {
    "points": (points, 120, 12),
    "nth-write": (nth_write, 100, 4),
    "random": (at_random, 10, 1),
    "sigterm": (sigterm, 30, 3),
    "disk-full": (disk_full, 10, 1),
    "io-error": (io_error, 20, 2),
    "clocks": (clocks, 40, 4),
    "suspend": (suspend, 20, 2),
    "two-services": (two_services, 20, 1),
    "descriptors": (no_descriptors, 5, 1),
    "forks": (no_forks, 10, 1),
    "memory-fails": (no_memory, 60, 4),
    "gateway-memory": (no_gateway_memory, 60, 4),
    "signals": (signals, 10, 2),
    "log-blocked": (log_blocked, 10, 1),
    "memory": (memory, 4, 1),
    "anyone": (anyone, 100, 6),
}


def run(name, rounds, seed=1):
    """The rig, with its notes and times, and the verdict."""
    kind = KINDS[name][0]
    rig = Rig(seed)
    try:
        verdict = kind(rig, rounds) or rig.verdict()
        return rig, verdict
    finally:
        rig.close()
