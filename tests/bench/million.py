"""./dev bench million: what many stored tasks cost.

The same work twice: a service with 40,000 tasks to do and nothing else, and one that
has a million, half of them done, half waiting in a queue that is at a standstill. How
fast both do the 40,000, how long the start, a GET and a page of a list take, and what
their processes weigh.
"""
import http.client
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import time

import run as bench
import tasks

WORK, EDGE = 40000, 4000  # tasks to do; those at either end are not measured


class Client:
    """One connection that is kept; every answer's time is noted."""

    def __init__(self, port):
        self.conn = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self.conn.connect()

    def get(self, path, times=None):
        begun = time.perf_counter()
        self.conn.request("GET", path)
        answer = self.conn.getresponse()
        body = answer.read()
        if times is not None:
            times.append((time.perf_counter() - begun) * 1e3)
        if answer.status != 200:
            raise SystemExit(f"bench: GET {path}: {answer.status} {body[:200]}")
        return json.loads(body)


def percentile(values, p):
    return sorted(values)[int((len(values) - 1) * p / 100)]


def fill(x, name, n_done, n_parked):
    """A store with WORK tasks to do, made once and copied for each round."""
    d = x.fresh(name)
    subprocess.run([f"{x.b}/tests/bench/bench_fill", f"{d}/tasks.db", str(WORK), str(n_parked),
                    str(n_done)], check=True, timeout=600)
    return d


def work_rate(port, begun):
    """Seconds from EDGE tasks done to WORK - EDGE, as a rate."""
    first = last = None
    while last is None:
        n, now = tasks.count(port), time.monotonic()
        if first is None and n >= EDGE:
            first = (n, now)
        if n >= WORK - EDGE:
            last = (n, now)
        elif now - begun > 120:
            raise SystemExit(f"bench: only {n} of {WORK} tasks were done in two minutes")
        else:
            time.sleep(0.01)
    while tasks.count(port) < WORK:
        time.sleep(0.01)
    return (last[0] - first[0]) / (last[1] - first[1])


def walk(port, path, n, times):
    """n pages, one after the other; the ids on them."""
    client, ids, token = Client(port), [], ""
    for _ in range(n):
        page = client.get(f"/v1/tasks?page_size=50{path}" + (f"&page_token={token}" if token else ""), times)
        ids += [t["id"] for t in page["tasks"]]
        token = page.get("next_page_token", "")
        if not token:
            break
    return ids


def reads(port):
    pages, gets = [], []
    ids = walk(port, "", 300, pages) + walk(port, "&queue=default", 100, pages)
    client = Client(port)
    for one in random.sample(ids, min(len(ids), 3000)):
        client.get(f"/v1/tasks/{one}", gets)
    return {"page_p50": percentile(pages, 50), "page_p99": percentile(pages, 99),
            "get_p50": percentile(gets, 50), "get_p99": percentile(gets, 99)}


def once(x, store):
    d = x.fresh("million")
    os.rmdir(d)
    shutil.copytree(store, d)
    begun = time.monotonic()
    port, (service, gateway) = tasks.errand_up(
        x, "--slots", str(tasks.WORKERS), "--queue", "parked=1", "--drain-timeout", "0s",
        "--store", f"sqlite:{d}/tasks.db")
    out = {"start_ms": (time.monotonic() - begun) * 1000}
    try:
        out["rate"] = work_rate(port, begun)
        out.update(reads(port))
        out["rss_mb"] = sum(bench.rss_kb(p) for p in
                            [service.pid, *bench.children(service.pid)]) / 1024
        return out
    finally:
        tasks.stop([service, gateway])
        shutil.rmtree(d)


def main(args, work):
    x = tasks.Bench(work, args.builddir, args.seconds)
    stores = {"few": fill(x, "few", 0, 1),
              "many": fill(x, "many", args.tasks // 2, args.tasks // 2 - WORK)}
    rows = {name: [] for name in stores}
    for r in range(args.rounds):
        for name, store in stores.items():
            rows[name].append(once(x, store))
            print(f"round {r + 1}/{args.rounds}: {name}", file=sys.stderr)
    m = {name: {key: statistics.median(row[key] for row in rounds) for key in rounds[0]}
         for name, rounds in rows.items()}
    if args.json:
        print(json.dumps(m, indent=1))
        return
    few, many = m["few"], m["many"]
    print(f"{'':24}{'few':>12}{f'{args.tasks:,} stored':>20}")
    for key in few:
        print(f"{key:24}{few[key]:12,.2f}{many[key]:20,.2f}")
    print()
    for what, value, must, aim, more in (
            ("claim rate over a few's", many["rate"] / few["rate"], 0.85, 1.0, True),
            ("GET, p99 ms", many["get_p99"], 5, 1, False),
            ("a page of 50, p99 ms", many["page_p99"], 5, 2, False),
            ("memory of the service, over a few's", many["rss_mb"] / few["rss_mb"], 1.2, 1.05, False),
            ("start to first answer, s", many["start_ms"] / 1000, 5, 0.2, False)):
        print(f"  {what:36} {value:8.2f}   must {must:<5} aim {aim:<5} "
              f"{tasks.verdict(value, must, aim, more)}")
