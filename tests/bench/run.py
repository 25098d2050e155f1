"""./dev bench: errand and its rivals on this machine, interleaved in one run.

Every subject answers the same small JSON call over HTTP on loopback; wrk makes the
load. What counts are ratios to Y, bare evhttp in one process (GOALS.md): machines
differ, ratios less. Only the standard library; everything started here is
stopped here, by pid.
"""
import argparse
import importlib
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

BODY = '{"text":"hello, world","number":42}'

LUA = """
wrk.method = "POST"
wrk.body = '%s'
wrk.headers["Content-Type"] = "application/json"
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format("RESULT %%f %%f %%f %%d\\n",
    summary.requests / (summary.duration / 1e6), latency:percentile(50), latency:percentile(99),
    e.connect + e.read + e.write + e.status + e.timeout))
end
"""

FASTAPI = """
from fastapi import FastAPI
from pydantic import BaseModel
class In(BaseModel):
    text: str
    number: int
app = FastAPI()
@app.post("/echo")
async def echo(b: In):
    return {"text": b.text, "number": b.number}
"""

NGINX = """
{user} daemon off; worker_processes auto; pid {d}/nginx.pid; error_log {d}/nginx.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; client_body_temp_path {d}/t1; proxy_temp_path {d}/t2;
  fastcgi_temp_path {d}/t3; uwsgi_temp_path {d}/t4; scgi_temp_path {d}/t5;
  keepalive_requests 100000000;
  upstream b {{ server unix:{d}/backend.sock; keepalive 64; }}
  server {{ listen 127.0.0.1:{port}; location / {{
    proxy_pass http://b; proxy_http_version 1.1; proxy_set_header Connection ""; }} }}
}}
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_port(port, process, limit=20.0):
    end = time.monotonic() + limit
    while time.monotonic() < end:
        if process.poll() is not None:
            raise SystemExit(f"bench: {process.args[0]} ended with {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise SystemExit(f"bench: {process.args[0]} does not listen on {port}")


class Subject:
    """One server under load: how it is started and which URL is asked."""

    def __init__(self, name, start, path="/echo"):
        self.name, self.start, self.path = name, start, path
        self.port, self.processes = None, []
        self.rows = {}

    def up(self, work, builddir):
        self.port = free_port()
        self.processes = self.start(work, builddir, self.port)
        wait_port(self.port, self.processes[-1])
        self.url = f"http://127.0.0.1:{self.port}{self.path}"
        for _ in range(200):
            request = urllib.request.Request(
                self.url, BODY.encode(), {"Content-Type": "application/json"})
            try:
                with urllib.request.urlopen(request, timeout=5) as answer:
                    answer.read()
                    return
            except OSError:
                time.sleep(0.05)
        raise SystemExit(f"bench: {self.name} does not answer {self.url}")

    def down(self):
        for p in reversed(self.processes):
            p.send_signal(signal.SIGTERM)
        for p in self.processes:
            try:
                p.wait(15)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()
        self.processes = []


def run(args, work, name, **kw):
    log = open(os.path.join(work, name + ".log"), "ab")
    return subprocess.Popen(args, stdout=log, stderr=log, stdin=subprocess.DEVNULL, **kw)


def start_evhttp(work, b, port):
    return [run([f"{b}/tests/bench/bench_evhttp", str(port)], work, "evhttp")]


def start_nginx(work, b, port):
    conf = os.path.join(work, "nginx.conf")
    with open(conf, "w") as f:
        f.write(NGINX.format(d=work, port=port, user="user root;" if os.geteuid() == 0 else ""))
    backend = run([f"{b}/tests/bench/bench_evhttp", f"unix:{work}/backend.sock"], work, "backend")
    nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    return [backend, run([nginx, "-e", f"{work}/nginx.log", "-c", conf], work, "nginx")]


def start_fastapi(work, b, port):
    with open(os.path.join(work, "rival_fastapi.py"), "w") as f:
        f.write(FASTAPI)
    return [run(["/usr/bin/python3", "-m", "uvicorn", "--app-dir", work, "--port", str(port),
                 "--no-access-log", "--log-level", "warning", "rival_fastapi:app"],
                work, "fastapi")]


def start_errand(work, b, port, *options, gateway_options=()):
    state = tempfile.mkdtemp(prefix="state", dir=work)
    sock = os.path.join(state, "s.sock")
    ready, ready_w = os.pipe()
    service = run([f"{b}/errand-service", "--socket", sock, "--state", state,
                   "--module", f"{b}/.libs/bench.so", "--store", f"sqlite:{state}/tasks.db",
                   "--max-depth", "10000000", "--ready-fd", str(ready_w), "--log-level", "warn", *options],
                  work, "service", pass_fds=[ready_w])
    os.close(ready_w)
    os.read(ready, 16)
    os.close(ready)
    gateway = run([f"{b}/errand-gateway", "--listen", f"127.0.0.1:{port}", "--socket", sock,
                   "--access-log", "off", "--log-level", "warn", *gateway_options], work, "gateway")
    return [service, gateway]


def rss_kb(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read())[1])


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="utf-8") as f:
        return [int(p) for p in f.read().split()]


def idle(work, b):
    """(ready ms, RSS kB) of an idle pair; the service's warden counts too."""
    begun = time.monotonic()
    port = free_port()
    service, gateway = start_errand(work, b, port)
    url = f"http://127.0.0.1:{port}/readyz"
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                break
        except OSError:
            if time.monotonic() - begun > 10:
                raise SystemExit("bench: the pair is not ready after 10 s")
            time.sleep(0.001)
    ms = (time.monotonic() - begun) * 1000
    kb = sum(map(rss_kb, [service.pid, gateway.pid, *children(service.pid)]))
    for p in (gateway, service):
        p.send_signal(signal.SIGTERM)
        p.wait(15)
    return ms, kb


SUBJECTS = [
    Subject("bare evhttp (Y)", start_evhttp),
    Subject("nginx -> UNIX socket -> evhttp", start_nginx),
    Subject("FastAPI on uvicorn, async, 1 worker", start_fastapi),
    Subject("errand ASYNC", start_errand, "/bench.v1.Bench/Call"),
    Subject("errand SYNC", start_errand, "/bench.v1.Bench/SyncCall"),
    Subject("errand durable task (202)", start_errand, "/bench.v1.Bench/Task"),
]


def wrk(url, lua, connections, seconds):
    threads = "1" if connections == 1 else "2"
    out = subprocess.run(["wrk", "-t", threads, "-c", str(connections), "-d", f"{seconds}s",
                          "-s", lua, url], capture_output=True, text=True, timeout=seconds + 30)
    m = re.search(r"^RESULT (\S+) (\S+) (\S+) (\d+)", out.stdout, re.M)
    if m is None:
        raise SystemExit(f"bench: wrk failed on {url}: {out.stdout}{out.stderr}")
    return float(m[1]), float(m[2]), float(m[3]), int(m[4])


def measure(subjects, args, work):
    lua = os.path.join(work, "post.lua")
    with open(lua, "w") as f:
        f.write(LUA % BODY)
    for r in range(args.rounds):
        for s in subjects:
            s.up(work, args.builddir)
            try:
                wrk(s.url, lua, 16, 1)  # warm
                for c in (1, 64):
                    s.rows.setdefault(c, []).append(wrk(s.url, lua, c, args.seconds))
            finally:
                s.down()
            print(f"round {r + 1}/{args.rounds}: {s.name}", file=sys.stderr)


def median(s, c, i):
    return statistics.median(row[i] for row in s.rows[c])


def table(subjects):
    y = subjects[0]
    print(f"{'subject':38} {'c=64 req/s':>11} {'/Y':>6} {'p50 us':>8} {'p99 us':>8}"
          f" {'c=1 req/s':>10} {'p50 us':>7} {'p99 us':>7} {'errors':>7}")
    for s in subjects:
        errors = sum(row[3] for c in s.rows for row in s.rows[c])
        print(f"{s.name:38} {median(s, 64, 0):11,.0f} {median(s, 64, 0) / median(y, 64, 0):6.2f}"
              f" {median(s, 64, 1):8,.0f} {median(s, 64, 2):8,.0f} {median(s, 1, 0):10,.0f}"
              f" {median(s, 1, 1):7,.0f} {median(s, 1, 2):7,.0f} {errors:7d}")
    print("\nratios of rates at 64 connections (medians of the rounds)")
    for a in subjects:
        if not a.name.startswith("errand"):
            continue
        others = ", ".join(f"{median(a, 64, 0) / median(b, 64, 0):.2f} x {b.name}"
                           for b in subjects if not b.name.startswith("errand"))
        print(f"  {a.name}: {others}; p50 at 1 connection +{median(a, 1, 1) - median(y, 1, 1):.0f}"
              f" us over Y; p99 at 64 {median(a, 64, 2) / median(y, 64, 2):.2f} x Y")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("what", nargs="?", default="calls", choices=["calls", "commands", "million", "tasks", "watchers"])
    p.add_argument("--commands", type=int, default=10000, help="of commands")
    p.add_argument("--tasks", type=int, default=1000000, help="of million")
    p.add_argument("--clients", type=int, default=10000, help="of watchers")
    p.add_argument("--builddir", required=True)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--seconds", type=int, default=3)
    p.add_argument("--only", help="substring of the subjects to run; Y always runs")
    p.add_argument("--json", action="store_true", help="the medians, for machines")
    args = p.parse_args()
    subjects = [s for s in SUBJECTS
                if s is SUBJECTS[0] or args.only is None or args.only in s.name]
    work = tempfile.mkdtemp(prefix="errand-bench.")
    try:
        if args.what != "calls":
            importlib.import_module(args.what).main(args, work)  # it uses what is here
            return
        measure(subjects, args, work)
        idles = [idle(work, args.builddir) for _ in range(3)]
    finally:
        shutil.rmtree(work, ignore_errors=True)
    if args.json:
        print(json.dumps({s.name: {c: [median(s, c, i) for i in range(3)] for c in s.rows}
                          for s in subjects}, indent=1))
    else:
        table(subjects)
        ms, kb = (statistics.median(i[k] for i in idles) for k in (0, 1))
        print(f"\nidle pair: {kb / 1024:.1f} MB RSS in all its processes; "
              f"ready to answer {ms:.0f} ms after the first was started")


if __name__ == "__main__":
    sys.modules["run"] = sys.modules["__main__"]
    main()
