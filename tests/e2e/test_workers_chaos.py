"""Many workers that do what they like: nothing is lost, nothing runs twice at a time, nothing stays
behind in the service. ERRAND_CHAOS_SECONDS makes it longer, ERRAND_SEED another one."""

import collections
import os
import queue
import random
import threading
import time

from conftest import TERMINAL, TESTMOD, in_threads, wait_until
from rawworker import Client, Failed, Worker
from test_workers import THUMBS, compile_proto, create, outcomes, picture, thumbs  # noqa: F401

SECONDS = float(os.environ.get("ERRAND_CHAOS_SECONDS", "3"))
SEED = int(os.environ.get("ERRAND_SEED", "0")) or random.randrange(1 << 30)
QUEUES = ("c1", "c2", "c3")


class Now:
    """Which attempts run now, as the workers see it."""

    def __init__(self):
        self.lock = threading.Lock()
        self.answered = {}

    def success(self, task):
        with self.lock:
            self.answered[task] = self.answered.get(task, 0) + 1


def answer(w, work, rng, now):
    """What becomes of a piece of work; False: this worker's life is over."""
    what = rng.random()
    if what < 0.55:
        w.complete(work, work.input)
        if work.task:
            now.success(work.task)
    elif what < 0.7:
        w.fail(work, rng.choice((2, 13, 14)), "bad luck")
    elif what < 0.75:
        w.complete(work, b"\xff")
    elif what < 0.85:
        w.ask("Progress", worker=w.id, lease=work.lease, fraction=rng.random(), message="...")
        w.complete(work, work.input)
        if work.task:
            now.success(work.task)
    elif what < 0.92:
        return False
    return True  # or never answered


def live(p, rng, until, now, descriptor_set):
    """One worker after the other."""
    while time.monotonic() < until:
        kw = {"queues": rng.sample(QUEUES, rng.randint(1, 2)), "tasks": rng.randint(1, 4), "calls": rng.randint(1, 3)}
        name = f"chaos{rng.randint(1, 3)}"
        if name == "chaos3":
            kw.update(services=["thumbs.v1.Thumbs"], descriptor_set=descriptor_set)
        w = Worker(p.socket, name=name, lease_s=rng.choice((0, 1)), **kw)
        try:
            end = time.monotonic() + rng.random() * 1.5
            while time.monotonic() < min(end, until):
                try:
                    order = w.order(timeout=0.1)
                except queue.Empty:
                    w.beat()
                    continue
                if order is None:
                    break
                if order.WhichOneof("order") == "stop" and rng.random() < 0.7:
                    w.fail(order.stop.lease, order.stop.code, "stopped")
                elif order.WhichOneof("order") == "work" and not answer(w, order.work, rng, now):
                    break
                if rng.random() < 0.02:
                    w.ask("Drain", worker=w.id)
        except Failed as e:
            assert e.code in (3, 4, 5, 9, 14), e
        finally:
            w.close()


def ask(p, rng, until, ids):
    while time.monotonic() < until:
        task = create(p, rng.choice(QUEUES), "x" * rng.choice((1, 1, 20000)), cancel_grace="0.05s",
                      timeout=rng.choice(("0.3s", "5s")), retry={"base": "0.001s", "max_attempts": 20})
        ids.append(task)
        if rng.random() < 0.2:
            p.post(f"/v1/tasks/{rng.choice(ids)}:cancel")


def call(p, rng, until):
    c = Client(p.socket)
    while time.monotonic() < until:
        try:
            assert c.call("thumbs.v1.Thumbs/Look", picture("x"), timeout_ns=rng.choice((10, 1000)) * 1_000_000) == picture("x")
        except Failed as e:
            # UNIMPLEMENTED: before the first one has registered
            assert e.code in (1, 2, 4, 12, 13, 14), e
            time.sleep(0.005)
    c.close()


def garble(p, rng, until, descriptor_set):
    """Registrations of noise, and leases that are nobody's."""
    c = Client(p.socket)
    took = 0
    while time.monotonic() < until:
        data = bytearray(descriptor_set.replace(b"thumbs", b"noises"))
        for _ in range(rng.randint(1, 8)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            c.ask("RegisterWorker", name="noise", services=["noises.v1.Thumbs"],
                  descriptor_set=bytes(data[:rng.randint(1, len(data))] if rng.random() < 0.3 else data))
            took += 1
        except Failed as e:
            assert e.code in (3, 6, 8, 9), e
        try:
            c.ask("Complete", worker="x" * rng.randint(0, 60), lease=rng.getrandbits(64))
        except Failed as e:
            assert e.code == 5, e
        time.sleep(0.02)
    c.close()
    print("noise that was taken:", took)


def test_chaos(make_pair, thumbs):  # noqa: F811
    print("seed", SEED)
    p = make_pair(modules=(TESTMOD,))
    until, ids, now = time.monotonic() + SECONDS, [], Now()
    jobs = [lambda i=i: live(p, random.Random(SEED + i), until, now, thumbs) for i in range(5)]
    jobs += [lambda i=i: ask(p, random.Random(SEED + 100 + i), until, ids) for i in range(2)]
    jobs += [lambda: call(p, random.Random(SEED + 200), until), lambda: garble(p, random.Random(SEED + 300), until, thumbs)]
    in_threads(len(jobs), lambda i: jobs[i]())
    wait_until(lambda: p.get("/v1/server").json()["workers"] == 0, what="all gone")
    last = Worker(p.socket, name="last", queues=list(QUEUES), tasks=50)

    def finish():
        while not last.orders.messages.empty():
            order = last.order()
            if order.WhichOneof("order") == "work":
                last.complete(order.work, order.work.input)
        return all(p.get(f"/v1/queues/{q}").json()["stats"]["running"] == 0 for q in QUEUES) and \
            all(p.task(t)["state"] in TERMINAL for t in ids)
    wait_until(finish, 60, "all ended")
    for t in ids:
        task = p.task(t)
        assert outcomes(task).count("OK") == (task["state"] == "SUCCEEDED"), task
        assert now.answered.get(t, 0) <= 1, task  # told once that it counts
        if now.answered.get(t):
            assert task["state"] == "SUCCEEDED", task
    assert last.beat() == []
    last.close()
    print("tasks:", len(ids), collections.Counter(o for t in ids for o in outcomes(p.task(t))))
