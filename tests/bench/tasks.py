"""./dev bench tasks: durable tasks beside bare SQLite, beanstalkd and Celery on Redis.

Everybody syncs before he answers: SQLite with synchronous=FULL, beanstalkd with -f0,
Redis with appendfsync always. The tasks do nothing; 64 clients, 8 workers. Rounds
are interleaved, medians count, and the ratios at the end are those of GOALS.md:
a machine's own speed is not in them. What is started here is stopped here, by pid.

  accepted   tasks taken per second from 64 clients, none of them worked on
  working    the same while 8 workers do them, and
  done       how many per second were done from the first one to the last one
  idle       one task at a time, submitted to done
  half       the same at half of `done`, at a rate that does not wait for answers
"""
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
import urllib.request

import run as bench

CLIENTS, WORKERS = 64, 8

CELERY = """
import os
from celery import Celery
app = Celery("rival_celery", broker=os.environ["REDIS"], backend=os.environ["REDIS"])
app.conf.task_acks_late = True
app.conf.worker_prefetch_multiplier = 4
app.conf.result_expires = 600
@app.task
def noop(text, number):
    return {"text": text, "number": number}
"""

CELERY_HTTP = """
from fastapi import FastAPI
from pydantic import BaseModel
from rival_celery import noop
class In(BaseModel):
    text: str
    number: int
app = FastAPI()
@app.post("/task", status_code=202)
def task(b: In):
    return {"id": noop.delay(b.text, b.number).id}
"""

# seconds, processes that submit: one line of JSON
CELERY_LOAD = """
import json, os, sys, time
from rival_celery import app, noop
import redis
seconds, processes = float(sys.argv[1]), int(sys.argv[2])
go, go_w = os.pipe()
pids = []
for i in range(processes):  # before anything is connected
    pid = os.fork()
    if pid == 0:
        os.read(go, 1)
        n, begun = 0, time.monotonic()
        while time.monotonic() - begun < seconds:
            noop.delay("hello, world", 42)
            n += 1
        redis.Redis.from_url(os.environ["REDIS"]).incrby("bench:n", n)
        os._exit(0)
    pids.append(pid)
r = redis.Redis.from_url(os.environ["REDIS"])
noop.delay("warm", 0).get(timeout=20)
begun = time.monotonic()
os.write(go_w, b"x" * processes)
for pid in pids:
    os.waitpid(pid, 0)
submitted = time.monotonic()
n = int(r.get("bench:n"))
while r.llen("celery") + r.hlen("unacked") > 0:
    time.sleep(0.01)
done = time.monotonic()
idle = []
for _ in range(100):
    a = time.monotonic()
    noop.delay("hello, world", 42).get(timeout=20, interval=0.0005)
    idle.append((time.monotonic() - a) * 1e6)
idle.sort()
print(json.dumps({"working": n / (submitted - begun), "done": n / (done - begun),
                  "idle_p50": idle[50], "idle_p99": idle[98]}))
"""


def output(args, **kw):
    p = subprocess.run([str(a) for a in args], capture_output=True, text=True, timeout=180, **kw)
    if p.returncode != 0:
        raise SystemExit(f"bench: {args[0]}: {p.stdout}{p.stderr}")
    return json.loads(p.stdout)


def stop(processes):
    for p in reversed(processes):
        p.send_signal(signal.SIGTERM)
    for p in reversed(processes):
        try:
            p.wait(20)
        except subprocess.TimeoutExpired:
            p.kill()
            p.wait()


class Bench:
    """Where things are, and how long each measurement takes."""

    def __init__(self, work, b, seconds):
        self.work, self.b, self.seconds = work, b, seconds

    def tool(self, name, *args):
        return output([f"{self.b}/tests/bench/{name}", *args])

    def http(self, port, path, clients, rate=0, *header, seconds=None):
        return self.tool("bench_http", port, path, clients, seconds or self.seconds, rate, *header)

    def fresh(self, name):
        d = os.path.join(self.work, name)
        shutil.rmtree(d, ignore_errors=True)
        os.makedirs(d)
        return d


def measure_y(x):
    port = bench.free_port()
    started = bench.start_evhttp(x.work, x.b, port)
    try:
        bench.wait_port(port, started[-1])
        return {"accepted": x.http(port, "/", CLIENTS)["rate"]}
    finally:
        stop(started)


def measure_sqlite(x, producers):
    d = x.fresh("sqlite")
    r = x.tool("bench_sqlite", f"{d}/bare.db", producers, x.seconds)
    return {"accepted": r["rate"]}


# --- errand ---

def count(port):
    """How many tasks' handlers have run."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/bench.v1.Bench/Count", b"{}",
                                     {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer).get("number", 0)


def errand_up(x, *options, **kw):
    port = bench.free_port()
    started = bench.start_errand(x.work, x.b, port, *options, **kw)
    bench.wait_port(port, started[-1])
    for _ in range(500):
        try:
            count(port)
            break
        except OSError:
            time.sleep(0.01)
    return port, started


def errand_working(x, port):
    """(accepted/s, done/s) of tasks that are worked on as they come."""
    before, begun = count(port), time.monotonic()
    r = x.http(port, "/bench.v1.Bench/Task", CLIENTS)
    while count(port) < before + r["n"]:
        time.sleep(0.01)
    return r["rate"], r["n"] / (time.monotonic() - begun)


def measure_errand(x):
    out = {}
    wait = "Prefer: wait=30"
    port, started = errand_up(x, "--slots", str(WORKERS), "--queue", "parked=1",
                              "--drain-timeout", "0s")
    try:
        x.http(port, "/bench.v1.Bench/Task", 8, 0, wait, seconds=0.5)  # warm
        r = x.http(port, "/bench.v1.Bench/Task", 1, 0, wait)
        out["idle_p50"], out["idle_p99"] = r["p50_us"], r["p99_us"]
        out["working"], out["done"] = errand_working(x, port)
        r = x.http(port, "/bench.v1.Bench/Task", CLIENTS, out["done"] / 2, wait)
        out["half_p50"], out["half_p99"] = r["p50_us"], r["p99_us"]
        # the one slot of this queue is taken by a task that never ends
        out["accepted"] = x.http(port, "/bench.v1.Bench/Parked", CLIENTS)["rate"]
    finally:
        stop(started)
    return out


# --- beanstalkd ---

def measure_beanstalkd(x):
    program = shutil.which("beanstalkd", path=os.environ["PATH"] + ":/usr/sbin:/usr/bin")
    out = {}

    def once(producers, workers, rate):
        d, port = x.fresh("beanstalk"), bench.free_port()
        started = [bench.run([program, "-l", "127.0.0.1", "-p", str(port), "-b", d, "-f0"],
                             x.work, "beanstalkd")]
        try:
            bench.wait_port(port, started[-1])
            return x.tool("bench_beanstalk", port, producers, workers, x.seconds, rate)
        finally:
            stop(started)

    out["accepted"] = once(CLIENTS, 0, 0)["rate"]
    r = once(CLIENTS, WORKERS, 0)
    out["working"], out["done"] = r["rate"], r["done_rate"]
    r = once(1, WORKERS, 50)
    out["idle_p50"], out["idle_p99"] = r["p50_us"], r["p99_us"]
    r = once(CLIENTS, WORKERS, out["done"] / 2)
    out["half_p50"], out["half_p99"] = r["p50_us"], r["p99_us"]
    return out


# --- Celery on Redis ---

def start_redis(x):
    d, port = x.fresh("redis"), bench.free_port()
    program = shutil.which("redis-server", path=os.environ["PATH"] + ":/usr/bin")
    p = bench.run([program, "--port", str(port), "--bind", "127.0.0.1", "--dir", d, "--appendonly",
                   "yes", "--appendfsync", "always", "--save", ""], x.work, "redis")
    bench.wait_port(port, p)
    return p, f"redis://127.0.0.1:{port}/0"


def measure_celery(x):
    for name, text in (("rival_celery.py", CELERY), ("rival_http.py", CELERY_HTTP),
                       ("rival_load.py", CELERY_LOAD)):
        with open(os.path.join(x.work, name), "w", encoding="utf-8") as f:
            f.write(text)
    redis, url = start_redis(x)
    env = {**os.environ, "REDIS": url, "PYTHONPATH": x.work, "C_FORCE_ROOT": "1"}
    started, port = [redis], bench.free_port()
    try:
        started.append(bench.run(
            ["/usr/bin/python3", "-m", "uvicorn", "--app-dir", x.work, "--port", str(port),
             "--no-access-log", "--log-level", "warning", "rival_http:app"], x.work, "http", env=env))
        bench.wait_port(port, started[-1])
        out = {"accepted": x.http(port, "/task", CLIENTS)["rate"]}
        stop([started.pop()])
        subprocess.run(["/usr/bin/python3", "-c", "import os, redis\n"
                        "redis.Redis.from_url(os.environ['REDIS']).flushall()"], env=env, check=True)
        started.append(bench.run(
            ["/usr/bin/python3", "-m", "celery", "-A", "rival_celery", "worker", "-c", "2",
             "--loglevel", "ERROR", "--without-gossip", "--without-mingle", "--without-heartbeat"],
            x.work, "celery", env=env, cwd=x.work))
        out.update(output(["/usr/bin/python3", f"{x.work}/rival_load.py", x.seconds, 2], env=env))
        return out
    finally:
        stop(started)


SUBJECTS = [
    ("bare evhttp (Y), HTTP", measure_y),
    ("bare SQLite, 8 a commit", lambda x: measure_sqlite(x, 8)),
    ("bare SQLite, 64 a commit", lambda x: measure_sqlite(x, 64)),
    ("errand, HTTP", measure_errand),
    ("beanstalkd -f0", measure_beanstalkd),
    ("Celery, Redis always, HTTP by FastAPI", measure_celery),
]
Y, _, _, ERRAND, BEANSTALKD, CELERY_ROW = (name for name, _ in SUBJECTS)
COLUMNS = [("accepted", "accepted/s"), ("working", "working/s"), ("done", "done/s"),
           ("idle_p50", "idle p50 us"), ("idle_p99", "idle p99"),
           ("half_p50", "half p50 us"), ("half_p99", "half p99")]

# what, value, must, aim, more is better
def goals(m):
    e, b, c = m[ERRAND], m.get(BEANSTALKD), m.get(CELERY_ROW)
    yield "accepted/s over Y", e["accepted"] / m[Y]["accepted"], 0.5, 0.8, True
    if c:
        yield "accepted/s over FastAPI + Celery", e["accepted"] / c["accepted"], 20, 35, True
    if b:
        yield "done/s over beanstalkd -f0", e["done"] / b["done"], 1.5, 4, True
    if c:
        yield "done/s over Celery", e["done"] / c["done"], 15, 40, True
    yield "submit to done, idle, p50 ms", e["idle_p50"] / 1000, 1, 0.4, False


def verdict(value, must, aim, more):
    if (value >= aim) if more else (value <= aim):
        return "PASS, and the aim"
    return "PASS" if ((value >= must) if more else (value <= must)) else "MISS"


def table(m):
    print(f"{'subject':38}" + "".join(f"{title:>13}" for _, title in COLUMNS))
    for name, row in m.items():
        print(f"{name:38}" + "".join(f"{row[key]:13,.0f}" if key in row else f"{'-':>13}"
                                     for key, _ in COLUMNS))
    print()
    for what, value, must, aim, more in goals(m):
        print(f"  {what:36} {value:8.2f}   must {must:<5} aim {aim:<5} {verdict(value, must, aim, more)}")


def main(args, work):
    x = Bench(work, args.builddir, args.seconds)
    rows = {name: [] for name, _ in SUBJECTS
            if args.only is None or args.only in name or name in (Y, ERRAND)}
    for r in range(args.rounds):
        for name, measure in SUBJECTS:
            if name in rows:
                rows[name].append(measure(x))
                print(f"round {r + 1}/{args.rounds}: {name}", file=sys.stderr)
    medians = {name: {key: statistics.median(row[key] for row in rounds) for key in rounds[0]}
               for name, rounds in rows.items()}
    if args.json:
        print(json.dumps(medians, indent=1))
    else:
        table(medians)
