"""./dev soak: all that errand does at once, for hours, with kills.

  soak.py [DURATION]      24h, 10m, 45s; 24h

The load of the crash matrix (load.py) with the commands and workers of fleet.py, and beside it
calls, streams, watchers of events, a schedule and callbacks. Each minute (in short runs more often)
somebody is killed by SIGKILL: the service, the gateway, a worker. For the last part nobody is, so
that what grows slowly can be seen growing. At the end the checker (check.py) reads the store, and
trend.py what both daemons held, second by second.
"""

import argparse
import asyncio
import collections
import json
import os
import re
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "e2e"))

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="./dev soak", description=__doc__.split("\n")[0])
    parser.add_argument("duration", nargs="?", default="24h", help="24h, 10m, 45s")
    parser.add_argument("--seed", type=int, default=int(time.time()) % 100000)
    parser.add_argument("--builddir", help="default build/crash")
    options = parser.parse_args()
    if options.builddir:
        os.environ["ERRAND_BUILDDIR"] = options.builddir

from conftest import SANITIZED, fd_count, rss_kb, wait_until  # noqa: E402
from test_callbacks import SECRETS, Receiver, write_keys  # noqa: E402

import trend  # noqa: E402
from fleet import MIX, VICTIMS, Fleet  # noqa: E402
from kinds import Rig  # noqa: E402
from load import answer_of, request  # noqa: E402

MAX_TASKS = 200000   # of a run: the checker holds them all in memory
CALM = 0.25          # of the time, at its end, nobody is killed
CLIENTS = 8
ECHO = "errandtest.v1.Test/TaskEcho"


def seconds(text):
    m = re.fullmatch(r"(\d+)([smhd])", text)
    if not m:
        sys.exit(f"soak: {text}: a duration is 45s, 10m, 24h or 2d")
    return int(m[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[m[2]]


def dechunk(data):
    """A chunked body, as far as it came."""
    out, at = b"", 0
    while (end := data.find(b"\r\n", at)) >= 0:
        size = int(data[at:end], 16)
        out += data[end + 2:end + 2 + size]
        at = end + 2 + size + 2
    return out


class Callers:
    """Clients of calls, streams and events, in a thread of their own. What they got must be theirs,
    whole and in order; that it is no answer at all, or an error, is the kills' doing."""

    def __init__(self, rig, load):
        self.rig, self.port, self.load = rig, rig.pair.port, load
        self.counts, self.wrong = collections.Counter(), []
        self.stopping = False
        self.thread = threading.Thread(target=lambda: asyncio.run(self.main()), daemon=True)
        self.thread.start()

    def stop(self):
        self.stopping = True
        self.thread.join(90)
        assert not self.thread.is_alive(), "a caller hangs"

    async def main(self):
        await asyncio.gather(*(self.again(work) for work in (
            self.call, self.call, self.call, self.stream, self.cut_stream, self.events, self.listing)))

    async def again(self, work):
        n = 0
        while not self.stopping:
            writer = None
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                for _ in range(20):
                    if self.stopping:
                        break
                    n += 1
                    status = await asyncio.wait_for(work(reader, writer, n), 60)
                    self.counts[f"{work.__name__} {status}"] += 1
                    await asyncio.sleep(0.02 if status == 200 else 0.1)
            except (OSError, EOFError):
                self.counts[f"{work.__name__} cut"] += 1
                await asyncio.sleep(0.05)
            except Exception as e:  # pylint: disable=broad-except
                self.wrong.append(f"{work.__name__}: {type(e).__name__} {e}")
                await asyncio.sleep(0.5)
            finally:
                if writer is not None:
                    writer.close()

    def fine(self, what, status, ok=(200,)):
        if status not in (*ok, 502, 503, 504):
            self.wrong.append(f"{what}: HTTP {status}")

    async def call(self, reader, writer, n):
        text = f"{id(reader)}-{n}-" + "x" * (n * 37 % 5000)
        status, _, body = await request(reader, writer, "POST", "/test/sync-echo" if n % 2 else "/test/echo",
                                        {"text_value": text})
        self.fine("call", status)
        if status == 200 and json.loads(body)["text_value"] != text:
            self.wrong.append(f"call: asked for {text[:40]}, got {body[:80]}")
        return status

    async def stream(self, reader, writer, n):
        """Each message once, in order, to the end."""
        writer.write(b"GET /test/stream?count=50&size=2000 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                     b"Accept: application/x-ndjson\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        status = int(head.split(b" ")[1])
        self.fine("stream", status)
        data = dechunk(await reader.read(-1))
        if status == 200:
            lines = [x for x in data.split(b"\n") if x.startswith(b"{") and x.endswith(b"}")]
            indexes = [json.loads(x).get("index", 0) for x in lines if b'"@' not in x]
            if indexes != list(range(len(indexes))):
                self.wrong.append(f"stream: {indexes}")
            if b'"@end"' in data and len(indexes) != 50:
                self.wrong.append(f"stream: ended after {len(indexes)}")
        raise EOFError if status != 200 or b'"@end"' not in data else ConnectionAbortedError

    async def cut_stream(self, reader, writer, n):
        """A large one, left in the middle by a client that reads little."""
        writer.write(b"GET /test/stream?count=4096&size=65536 HTTP/1.1\r\nHost: x\r\n"
                     b"Accept: application/x-ndjson\r\n\r\n")
        await reader.readexactly(100000)
        await asyncio.sleep(0.2)
        raise ConnectionAbortedError

    async def events(self, reader, writer, n):
        """Of a task of the load: the seqs rise, and the last is an end."""
        if not self.load.journal:
            return 0
        task = self.rig.random.choice(list(self.load.journal)[-50:])
        writer.write(f"GET /v1/tasks/{task}/events HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                     "Accept: text/event-stream\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        status = int(head.split(b" ")[1])
        self.fine("events", status)
        data = dechunk(await reader.read(-1))
        if status == 200:
            ids = [int(x) for x in re.findall(rb"^id: (\d+)\r?$", data, re.M)]
            if ids != sorted(set(ids)):
                self.wrong.append(f"events of {task}: {ids}")
        raise EOFError if status != 200 else ConnectionAbortedError

    async def listing(self, reader, writer, n):
        path = ("/v1/tasks?page_size=50", "/v1/workers", "/v1/server", "/openapi.json", "/metrics")[n % 5]
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        status, _, _ = await answer_of(reader)
        self.fine("listing", status)
        return status


class Watch:
    """Samples of both daemons, once in a while."""

    def __init__(self, pair, every):
        self.pair, self.every, self.samples, self.stopping = pair, every, [], False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        born = {}
        while not self.stopping:
            for who in ("service", "gateway"):
                pid, now = getattr(self.pair, who).pid, time.monotonic()
                try:
                    self.samples.append(trend.Sample(who, born.setdefault(pid, now), now, rss_kb(pid), fd_count(pid)))
                except (OSError, TypeError):
                    pass  # it was killed
            time.sleep(self.every)

    def stop(self):
        self.stopping = True
        self.thread.join(10)

    def worst(self, who):
        return max((s.rss for s in self.samples if s.who == who), default=0) // 1024


class Soak:
    """One run. `wrong` is what was found, in words; empty is good."""

    def __init__(self, duration, seed=1, say=lambda text: None):
        self.duration, self.seed, self.say = duration, seed, say
        self.every = min(60, max(1.5, duration / 30))   # seconds between kills
        self.wrong, self.verdict = [], None
        self.receiver = Receiver()
        self.rig = Rig(seed, service_args=("--slots", "16"), gateway_args=("--reconnect-wait", "2s"))
        self.rig.pair.service_args += ["--callback-keys", write_keys(self.rig.pair.path("keys"), SECRETS[:1]),
                                       "--callback-retry", "200ms,500ms,1s,2s,5s", "--callback-pause", "200ms",
                                       "--callback-allow", "127.0.0.1"]
        self.fleet = Fleet(self.rig)
        more = {"callback": ("/v1/tasks", lambda n: {"method": ECHO, "input": {"text_value": f"e{n}"},
                                                     "callback": {"url": f"{self.receiver.url}/n{n}"}})}
        mix = MIX + ["echo", "retry", "fail", "final", "log", "sleep", "cancel", "callback", "callback"]
        self.rig.load_args = {"clients": CLIENTS, "mix": mix, "seed": seed, "more": more,
                              "rate": min(4, MAX_TASKS / duration / CLIENTS)}
        self.callers = self.watch = None

    def run(self):
        try:
            self.start()
            end = time.monotonic() + self.duration
            self.kills(end - self.duration * CALM)
            self.calm(end)
            self.finish()
        finally:
            self.close()
        return self

    def start(self):
        rig = self.rig
        rig.start(self.fleet.mark("service"), load=False)
        for who in self.fleet.argv:
            self.fleet.start_worker(who)
        self.fleet.ready()
        self.fleet.look_for_cgroups()
        r = rig.pair.post("/v1/schedules", {"id": "soak", "cron": "* * * * *", "method": ECHO,
                                            "input": {"text_value": "tick"}})
        assert r.status == 201, r
        rig.load.start()
        self.callers = Callers(rig, rig.load)
        self.watch = Watch(rig.pair, min(10, max(0.1, self.duration / 2000)))

    def kills(self, end):
        victims, n = [], 0
        while time.monotonic() < end:
            victims = victims or self.rig.random.sample(VICTIMS, len(VICTIMS))
            time.sleep(self.rig.random.uniform(0.5, 1.5) * self.every)
            who = victims.pop()
            before = time.monotonic()
            self.fleet.kill(who)
            self.fleet.ready()
            self.rig.pair.post("/v1/schedules/soak:trigger")
            n += 1
            if n % 10 == 1:
                self.say(f"{n} kills, {self.rig.load.acked} tasks, {sum(self.callers.counts.values())} calls; last: "
                         f"{who}, served again after {time.monotonic() - before:.1f} s; "
                         f"{self.watch.worst('gateway')} and {self.watch.worst('service')} MB at most")
            self.stop_if_wrong()

    def calm(self, end):
        self.say("nobody is killed from now on")
        while time.monotonic() < end:
            time.sleep(min(5, max(0.1, end - time.monotonic())))
            self.stop_if_wrong()

    def stop_if_wrong(self):
        load = self.rig.load
        assert load.failure is None, load.failure
        assert load.thread.is_alive() and self.callers.thread.is_alive()

    def finish(self):
        rig = self.rig
        self.watch.stop()
        self.callers.stop()
        rig.load.stop()
        schedule = rig.pair.get("/v1/schedules/soak").json()
        assert rig.pair.request("DELETE", "/v1/schedules/soak", headers={"If-Match": "*"}).status in (200, 204)
        rig.all_ended()
        self.callbacks()
        self.fleet.stop()
        self.verdict = rig.verdict()
        self.wrong += self.callers.wrong
        if not self.verdict.good:
            self.wrong.append(f"history: {self.verdict}")
        if int(schedule["n_made"]) < 1:
            self.wrong.append(f"the schedule made nothing: {schedule}")
        self.trends()

    def callbacks(self):
        """At least one for each, and each time under one and the same id."""
        mine = [e.n for e in self.rig.load.journal.values() if e.shape == "callback"]
        paths = collections.defaultdict(list)

        def all_there():
            paths.clear()
            with self.receiver.lock:
                for r in self.receiver.requests:
                    paths[r["path"]].append(r["headers"]["webhook-id"])
            return all(paths.get(f"/n{n}") for n in mine)
        try:
            wait_until(all_there, 60, "callbacks")
        except AssertionError:
            absent = [n for n in mine if not paths.get(f"/n{n}")]
            self.wrong.append(f"callbacks: {len(absent)} of {len(mine)} never came: {absent[:5]}")
        self.wrong += [f"callbacks: {p} under {set(ids)}" for p, ids in paths.items() if len(set(ids)) > 1]
        self.rig.note(f"callbacks: {len(mine)} due, {sum(map(len, paths.values()))} sent")

    def trends(self):
        """After a warm-up, which is longer for who was just started."""
        samples, calm = self.watch.samples, self.duration * CALM
        if SANITIZED:  # their allocators keep what is freed
            samples = [s._replace(rss=0) for s in samples]
        self.wrong += trend.within(samples, trend.Bounds(), min(120, calm / 3))
        self.wrong += trend.across(samples, trend.Bounds(part=0.15), self.every * 0.8)

    def report(self):
        load, counts = self.rig.load, self.callers.counts
        answered = sum(n for what, n in counts.items() if what.endswith(" 200"))
        yield f"soak of {self.duration} s, seed {self.seed}, {os.cpu_count()} processors"
        yield "killed: " + ", ".join(f"{who} {n}" for who, n in sorted(self.fleet.kills.items()))
        yield f"tasks: {self.verdict}"
        yield f"  answers: {dict(sorted(load.statuses.items()))}, connections lost: {load.lost_connections}"
        yield f"calls: {answered} answered; {dict(sorted(counts.items()))}"
        yield "; ".join(self.rig.notes)
        for who in ("gateway", "service"):
            mine = [s for s in self.watch.samples if s.who == who]
            last = [s for s in mine if s.born == mine[-1].born]
            ends = trend.thirds([s.rss for s in last]) or (last[0].rss, last[-1].rss)
            yield (f"{who}: {len({s.born for s in mine})} lives, at most {self.watch.worst(who)} MB; in the last, of "
                   f"{last[-1].at - last[0].at:.0f} s, {ends[0] / 1024:.1f} MB became {ends[1] / 1024:.1f} MB; "
                   f"descriptors {min(s.fds for s in last)} to {max(s.fds for s in last)}")
        recoveries = sorted(self.rig.recoveries)
        if recoveries:
            yield f"ready after {recoveries[len(recoveries) // 2] * 1000:.0f} ms, {recoveries[-1] * 1000:.0f} ms at most"
        yield from (f"WRONG: {text}" for text in self.wrong[:50])
        yield "all is as it must be" if not self.wrong else f"{len(self.wrong)} faults"

    def close(self):
        if self.callers:
            self.callers.stopping = True
        if self.watch:
            self.watch.stopping = True
        self.fleet.close()
        self.rig.close()
        self.receiver.close()


def main():
    begin = time.monotonic()
    run = Soak(seconds(options.duration), options.seed,
               lambda text: print(f"{time.monotonic() - begin:7.0f} s  {text}", flush=True))
    run.run()
    print("\n".join(run.report()), flush=True)
    sys.exit(bool(run.wrong))


if __name__ == "__main__":
    main()
