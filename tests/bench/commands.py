"""./dev bench commands: short programs, one after the other: as durable tasks of a command method, beside GNU
parallel, task-spooler and xargs, two at a time each.

What the rivals run is the same /bin/true; only errand stores each before and after. Descriptors, zombies and
memory of the service are looked at before and after: they must not grow.
"""
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
import urllib.request

import run as bench
import tasks

METHOD = "bench.v1.Commands/True"
CONF = f"""[command {METHOD}]
command = /bin/true
result = none
queue = commands
slots = 2
"""
BATCH = 1000


def ask(port, path, body=None):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body and json.dumps(body).encode(),
                                     {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def left(port):
    stats = ask(port, "/v1/queues/commands").get("stats", {})
    return int(stats.get("queued", 0)) + int(stats.get("running", 0))


def zombies(pid):
    n = 0
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat", encoding="ascii", errors="replace") as f:
                state, parent = f.read().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        n += state == "Z" and int(parent) == pid
    return n


def look(pid):
    return {"fds": len(os.listdir(f"/proc/{pid}/fd")), "zombies": zombies(pid), "rss_kb": bench.rss_kb(pid)}


def errand(x, n):
    path = os.path.join(x.work, "commands.conf")
    with open(path, "w", encoding="ascii") as f:
        f.write(CONF)
    port, started = tasks.errand_up(x, "--config", path)
    try:
        one = {"method": METHOD, "input": {}}
        ask(port, "/v1/tasks:batchCreate", {"requests": [one] * 100})  # warm
        while left(port) > 0:
            time.sleep(0.01)
        before, begun = look(started[0].pid), time.monotonic()
        for at in range(0, n, BATCH):
            made = ask(port, "/v1/tasks:batchCreate", {"requests": [one] * min(BATCH, n - at)})
            if any("task" not in r for r in made["results"]):
                raise SystemExit("bench: a task was refused")
        while left(port) > 0:
            time.sleep(0.01)
        took = time.monotonic() - begun
        failed = ask(port, "/v1/tasks?filter=" + "state%20%3D%20FAILED")["tasks"]
        if failed:
            raise SystemExit(f"bench: a command failed: {failed[0]}")
        return n / took, before, look(started[0].pid)
    finally:
        tasks.stop(started)


def parallel(x, n):
    numbers = "".join(f"{i}\n" for i in range(n))
    begun = time.monotonic()
    subprocess.run(["parallel", "-j2", "/bin/true #"], input=numbers, text=True, check=True,
                   env={**os.environ, "HOME": x.work}, stderr=subprocess.DEVNULL)
    return n / (time.monotonic() - begun)


def xargs(x, n):
    numbers = "".join(f"{i}\n" for i in range(n))
    begun = time.monotonic()
    subprocess.run(["xargs", "-P2", "-n1", "/bin/true"], input=numbers, text=True, check=True)
    return n / (time.monotonic() - begun)


def spooler(x, n):
    env = {**os.environ, "TS_SOCKET": os.path.join(x.work, "tsp.sock"), "TS_SLOTS": "2", "TMPDIR": x.work,
           "TS_MAXFINISHED": "10"}
    quiet = {"env": env, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    begun = time.monotonic()
    try:
        for _ in range(n):
            subprocess.run(["tsp", "-n", "/bin/true"], check=True, **quiet)
        subprocess.run(["tsp", "-w"], check=False, **quiet)
        return n / (time.monotonic() - begun)
    finally:
        subprocess.run(["tsp", "-K"], check=False, **quiet)


RIVALS = (("GNU parallel -j2", parallel, "parallel", 1.0), ("task-spooler, 2 slots", spooler, "tsp", 0.1),
          ("xargs -P2 (nothing kept)", xargs, "xargs", 1.0))


def main(args, work):
    x = tasks.Bench(work, args.builddir, args.seconds)
    n, rates, looks = args.commands, {"errand, durable": []}, []
    for r in range(args.rounds):
        print(f"round {r + 1}/{args.rounds}", file=sys.stderr)
        rate, before, after = errand(x, n)
        rates["errand, durable"].append(rate)
        looks.append((before, after))
        for name, fn, program, share in RIVALS:
            if shutil.which(program):
                rates.setdefault(name, []).append(fn(x, max(100, int(n * share))))
    m = {name: statistics.median(row) for name, row in rates.items()}
    if args.json:
        print(json.dumps({"rates": m, "before_after": looks}, indent=1))
        return
    for name, rate in m.items():
        print(f"{name:28}{rate:10,.0f} commands/s   errand is {m['errand, durable'] / rate:.2f} x")
    print()
    for before, after in looks:
        print(f"{n} commands: descriptors {before['fds']} -> {after['fds']}, zombies {before['zombies']} -> "
              f"{after['zombies']}, RSS {before['rss_kb']} -> {after['rss_kb']} KB")
