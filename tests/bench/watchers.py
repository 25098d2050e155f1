"""./dev bench watchers: many clients that follow one task's events through the gateway.

The task runs and says nothing; when every client has what there was, the memory of
gateway and service is what it was before plus theirs. Then the task is cancelled,
and the news and the end go to all of them.
"""
import json
import os
import resource
import statistics
import subprocess
import sys
import time
import urllib.request

import run as bench
import tasks


def post(port, path, body=b""):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body,
                                     {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def wait_running(port, task):
    for _ in range(1000):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/tasks/{task}", timeout=30) as a:
            if json.load(a)["state"] in ("running", "RUNNING"):
                return
        time.sleep(0.005)
    raise SystemExit("bench: the task does not start")


def once(x, n):
    port, (service, gateway) = tasks.errand_up(
        x, "--drain-timeout", "0s", gateway_options=["--max-connections", str(2 * n)])  # each thread has its half
    try:
        task = post(port, "/bench.v1.Bench/Parked", b"{}")["id"]
        wait_running(port, task)
        before = [bench.rss_kb(p.pid) for p in (gateway, service)]
        begun = time.monotonic()
        watch = subprocess.Popen([f"{x.b}/tests/bench/bench_watch", str(port),
                                  f"/v1/tasks/{task}/events", str(n)], stdout=subprocess.PIPE, text=True)
        if watch.stdout.readline() != "ready\n":
            raise SystemExit("bench: the clients did not get their first event")
        ready = time.monotonic()
        after = [bench.rss_kb(p.pid) for p in (gateway, service)]
        time.sleep(1)  # whatever is given back is given back now
        settled = [bench.rss_kb(p.pid) for p in (gateway, service)]
        asked = time.monotonic()
        post(port, f"/v1/tasks/{task}:cancel")
        got = json.loads(watch.communicate(timeout=90)[0])
        ended = time.monotonic()
        watch.wait()
        return {"gateway_kb": (settled[0] - before[0]) / n, "service_kb": (settled[1] - before[1]) / n,
                "peak_kb": (sum(after) - sum(before)) / n, "attach_s": ready - begun,
                "deliver_s": ended - asked, "events": got["events"], "wrong": got["wrong"]}
    finally:
        tasks.stop([service, gateway])


def main(args, work):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    want = args.clients + 200
    if hard != resource.RLIM_INFINITY and hard < want:
        raise SystemExit(f"bench: {args.clients} clients need `ulimit -Hn {want}`, it is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, want), hard))
    x = tasks.Bench(work, args.builddir, args.seconds)
    rounds = []
    for r in range(args.rounds):
        rounds.append(once(x, args.clients))
        print(f"round {r + 1}/{args.rounds}", file=sys.stderr)
    m = {key: statistics.median(row[key] for row in rounds) for key in rounds[0]}
    if args.json:
        print(json.dumps(m, indent=1))
        return
    total = m["gateway_kb"] + m["service_kb"]
    print(f"{args.clients} watchers of one task: {total:.1f} KB each "
          f"(gateway {m['gateway_kb']:.1f}, service {m['service_kb']:.1f}; "
          f"{m['peak_kb']:.1f} while they came); must 16, aim 8: {tasks.verdict(total, 16, 8, False)}")
    print(f"attached in {m['attach_s']:.2f} s; one change and the end delivered to all of them in "
          f"{m['deliver_s'] * 1000:.0f} ms; {m['events']:.0f} events, {m['wrong']:.0f} lost or double")
