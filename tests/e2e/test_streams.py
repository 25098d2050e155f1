"""Streams under stress: hundreds of subscribers, dead ones, and those who do not read."""

import http.client
import json
import re
import socket
import struct
import threading
import time

from conftest import SANITIZED, fd_count, in_threads, read_events, rss_kb, wait_until

N = 100 if SANITIZED else 500


def ask(pair, path, accept="text/event-stream", buffer=None, more=""):
    s = socket.socket()
    s.settimeout(30)
    if buffer is not None:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    s.connect(("127.0.0.1", pair.port))
    s.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\n{more}\r\n".encode())
    return s


def reset(s):
    """Gone at once, with a RST."""
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


def events_of(s):
    """The (id, event) pairs of what is still to come on a socket; id None at the end."""
    r = http.client.HTTPResponse(s)
    r.begin()
    assert r.status == 200, (r.status, r.read())
    return [(e.id, e.event) for e in read_events(r)]


def is_all_after(got, everything, after):
    """Every event after that id, once and in order. Progress that had newer progress before
    the client came is gone for it: the store keeps the last one."""
    rest = [e for e in everything if e[0] is None or int(e[0]) > after]
    lasting = [e for e in rest if e[1] != "progress"]
    return got == [e for e in rest if e in got] and [e for e in got if e in lasting] == lasting


def noted(pair, word):
    try:
        with open(pair.path("cancelled.log"), encoding="utf-8") as f:
            return f.read().count(word)
    except FileNotFoundError:
        return 0


def test_five_hundred_subscribers(make_pair):
    """FAULTS 65: half of them die; the others, and those who resume, get every event once."""
    pair = make_pair(gateway_args=["--heartbeat", "1s"], service_args=["--slots", "8"])
    fds = fd_count(pair.gateway.pid), fd_count(pair.service.pid)
    task = pair.submit("/test/task-sleep", {"ms": 4000 if SANITIZED else 2500})
    path = f"/v1/tasks/{task}/events"
    first = pair.events(task)
    next(first)
    memory = rss_kb(pair.gateway.pid), rss_kb(pair.service.pid)
    socks = [ask(pair, path) for _ in range(N)]
    grown = rss_kb(pair.gateway.pid) - memory[0], rss_kb(pair.service.pid) - memory[1]
    wait_until(lambda: fd_count(pair.gateway.pid) >= fds[0] + N, what="all connected")
    half = socks[N // 2:]
    for i, s in enumerate(half):
        reset(s) if i % 2 else s.close()
    wait_until(lambda: fd_count(pair.gateway.pid) <= fds[0] + N // 2 + 2, what="the dead are found")
    # Ten of the dead come back where they were.
    resumed = [ask(pair, path, more="Last-Event-ID: 2\r\n") for _ in range(10)]
    everything = [e for s in socks[:1] for e in events_of(s)]
    ids = [int(i) for i, _ in everything[:-1]]
    assert ids == sorted(set(ids)) and everything[-1] == (None, "end"), everything
    for s in socks[1:N // 2]:
        assert is_all_after(events_of(s), everything, 0)
        s.close()
    for s in resumed:
        assert is_all_after(events_of(s), everything, 2)
        s.close()
    socks[0].close()
    list(first)
    wait_until(lambda: fd_count(pair.gateway.pid) <= fds[0], what="descriptors back")
    assert fd_count(pair.service.pid) <= fds[1] + 2  # the store's
    if not SANITIZED:
        assert grown[0] < 30000 and grown[1] < 30000, grown
        assert rss_kb(pair.gateway.pid) - memory[0] < 30000


def test_heartbeats_find_the_dead(make_pair):
    """A subscriber that has closed without our reading it: nothing comes but heartbeats."""
    pair = make_pair(gateway_args=["--heartbeat", "100ms"])
    fds = fd_count(pair.gateway.pid)
    s = ask(pair, "/test/stream?count=2&interval_ms=2500")
    got = b""
    while b"data:" not in got:
        got += s.recv(4096)
    beats = b""
    while beats.count(b":\n\n") < 5:
        beats += s.recv(4096)
    reset(s)
    wait_until(lambda: fd_count(pair.gateway.pid) <= fds, what="closed")
    wait_until(lambda: noted(pair, "stream") == 1, what="the handler is told")


def test_ndjson_has_no_empty_lines(make_pair):
    """A line is a record; the silent ones are watched by TCP's keepalive."""
    pair = make_pair(gateway_args=["--heartbeat", "50ms"])
    r = pair.get("/test/stream?count=2&interval_ms=700", headers={"Accept": "application/x-ndjson"})
    assert r.body.count(b"\n") == 3 and b"\n\n" not in r.body, r
    s = ask(pair, "/test/stream?count=2&interval_ms=700", "application/x-ndjson")
    assert s.recv(20).startswith(b"HTTP/1.1 200")

    def timers():
        """Of the gateway's side of it; 02 is a keepalive that is due some time."""
        with open("/proc/net/tcp", encoding="utf-8") as f:
            rows = [line.split() for line in f][1:]
        ours, theirs = f":{pair.port:04X}", f":{s.getsockname()[1]:04X}"
        return [r[5][:2] for r in rows if r[1].endswith(ours) and r[2].endswith(theirs)]
    wait_until(lambda: timers() == ["02"], what="keepalive")
    s.close()


def test_readers_that_stop_are_cut(make_pair):
    """FAULTS 53: 100 MB asked for, nothing read. Others are served, memory is bounded, and
    when they are cut their handlers are told and nothing is left."""
    pair = make_pair(gateway_args=["--write-timeout", "2s"], service_args=["--sync-threads", "8"])
    fds = fd_count(pair.gateway.pid)
    before = rss_kb(pair.gateway.pid), rss_kb(pair.service.pid)
    accepts = ["text/event-stream", "application/x-ndjson", "application/json"]
    socks = [ask(pair, "/test/stream?count=1600&size=65536", accepts[i % 3], 4096) for i in range(6)]
    begin, slowest = time.monotonic(), 0
    while time.monotonic() - begin < 1:
        at = time.monotonic()
        assert pair.post("/test/sync-echo", {"text_value": "served"}).status == 200
        slowest = max(slowest, time.monotonic() - at)
    grown = rss_kb(pair.gateway.pid) - before[0], rss_kb(pair.service.pid) - before[1]
    assert slowest < (1 if SANITIZED else 0.3)
    assert grown[0] < 20000 + 40000 * bool(SANITIZED) and grown[1] < 20000 + 40000 * bool(SANITIZED), grown
    wait_until(lambda: fd_count(pair.gateway.pid) <= fds, what="they are cut")
    wait_until(lambda: noted(pair, "stream") == 6, what="their handlers are told")
    for s in socks:
        s.close()


def test_large_answers_that_nobody_reads(make_pair):
    """The same for answers in one piece."""
    pair = make_pair(gateway_args=["--write-timeout", "1s"])
    fds = fd_count(pair.gateway.pid)
    body = json.dumps({"text_value": "x" * 3_900_000}).encode()
    before = rss_kb(pair.gateway.pid)
    socks = []
    for _ in range(10):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.connect(("127.0.0.1", pair.port))
        s.sendall(b"POST /test/echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                  b"Content-Length: %d\r\n\r\n" % len(body) + body)
        socks.append(s)
    for _ in range(20):
        assert pair.post("/test/echo", {"text_value": "served"}).status == 200
    assert rss_kb(pair.gateway.pid) - before < 200000 * (3 if SANITIZED == "thread" else 1)
    wait_until(lambda: fd_count(pair.gateway.pid) <= fds, what="they are cut")
    for s in socks:
        s.close()


def test_a_trickling_reader_frees_its_thread(make_pair):
    """One that takes a little now and then is no stall for the gateway, but its handler's
    thread is not his for ever."""
    pair = make_pair(service_args=["--stall-timeout", "700ms", "--sync-threads", "2"])
    stop = threading.Event()
    s = ask(pair, "/test/stream?count=1600&size=65536", "application/x-ndjson", 4096)

    def trickle():
        while not stop.wait(0.05):
            try:
                s.recv(100)
            except OSError:
                return
    t = threading.Thread(target=trickle)
    t.start()
    try:
        wait_until(lambda: noted(pair, "stream") == 1, what="the handler is told")
        pair.service.wait_line("takes nothing of its stream")
    finally:
        stop.set()
        t.join()
    s.settimeout(30)
    rest = b""
    while b"@error" not in rest[-2000:]:
        chunk = s.recv(1 << 20)
        assert chunk, rest[-300:]
        rest = rest[-2000:] + chunk
    error = json.loads(re.search(rb'{"@error":.*', rest)[0])["@error"]
    assert error["code"] == "RESOURCE_EXHAUSTED", error
    s.close()


def test_full_pools_and_queues_say_when_to_come_again(make_pair):
    """FAULTS 67: what is over a limit is refused with Retry-After; others are served."""
    pair = make_pair(service_args=["--sync-threads", "1", "--sync-queue", "1", "--slots", "1",
                                   "--max-depth", "3"])
    calls = in_threads(5, lambda i: pair.post("/test/sleep" if i else "/test/echo", {"ms": 500} if i else {}))
    assert sorted(r.status for r in calls) == [200, 200, 200, 503, 503], calls
    for r in calls:
        assert r.status == 200 or (r.headers["Retry-After"] == "1" and r.json()["code"] == "UNAVAILABLE"), r
    answers = [pair.post("/test/task-sleep", {"ms": 60000}) for _ in range(6)]
    full = [r for r in answers if r.status != 202]
    assert len(full) >= 2 and all(r.status == 429 and int(r.headers["Retry-After"]) >= 1 for r in full), answers
    assert pair.post("/test/task-run", {"argv": ["true"]}, headers={"Prefer": "wait=20"}).status == 200
    for r in reversed(answers):
        if r.status == 202:
            assert pair.post(f"/v1/tasks/{r.json()['id']}:cancel").status in (200, 202)
