"""Many at once."""

import http.client
import socket
import threading
import time

from conftest import SANITIZED, fd_count, in_threads, wait_until

N = 1000
LIMIT_S = 10 if SANITIZED else 3
REQUEST = b"GET /items/1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def get_items(port, n):
    """n requests at once, from this one thread; seconds until all were answered."""
    socks = []
    begin = time.monotonic()
    for _ in range(n):
        s = socket.create_connection(("127.0.0.1", port), timeout=60)
        s.sendall(REQUEST)
        socks.append(s)
    for s in socks:
        with s.makefile("rb") as f:
            head = f.readline()
            assert head.startswith(b"HTTP/1.1 200 "), head
            assert "示例商品".encode() in f.read()
        s.close()
    return time.monotonic() - begin


def test_a_thousand_items_beside_blocking_calls(make_pair):
    pair = make_pair()
    get_items(pair.port, 5)
    blocked = []
    threads = [threading.Thread(target=lambda: blocked.append(pair.get("/sync-operation")))
               for _ in range(3)]
    for t in threads:
        t.start()
    seconds = get_items(pair.port, N)
    assert seconds < LIMIT_S, seconds
    for t in threads:
        t.join()
    assert [r.status for r in blocked] == [200] * 3
    before = fd_count(pair.gateway.pid), fd_count(pair.service.pid)
    wait_until(lambda: fd_count(pair.gateway.pid) < 100, what="connections closed")
    assert before[1] < 100


def test_connections_are_kept_and_pipelined(pair):
    body = b'{"text_value":"p"}'
    request = (b"POST /test/echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n%s"
               b"Content-Length: %d\r\n\r\n%s")
    with socket.create_connection(("127.0.0.1", pair.port), timeout=60) as s:
        s.sendall(request % (b"", len(body), body) * 49)
        s.sendall(request % (b"Connection: close\r\n", len(body), body))
        out = b""
        while chunk := s.recv(65536):
            out += chunk
    assert out.count(b"HTTP/1.1 200 ") == 50, out[:500]


def test_a_full_sync_pool_does_not_stop_the_loop(pair):
    """FAULTS 34."""
    threads = [threading.Thread(target=lambda: pair.post("/test/sleep", {"ms": 1500})) for _ in range(16)]
    for t in threads:
        t.start()
    times = []
    for _ in range(20):
        begin = time.monotonic()
        assert pair.get("/livez").status == 200
        assert pair.post("/test/echo", {}).status == 200
        times.append(time.monotonic() - begin)
    for t in threads:
        t.join()
    assert sorted(times)[10] < (0.5 if SANITIZED else 0.1), times


def test_every_task_of_many_clients(pair):
    def client(n):
        c = http.client.HTTPConnection("127.0.0.1", pair.port, timeout=60)
        ids = []
        for i in range(25):
            c.request("POST", "/test/task-touch", b'{"name":"many-%d-%d"}' % (n, i),
                      {"Content-Type": "application/json"})
            r = c.getresponse()
            body = r.read()
            assert r.status == 202, body
            ids.append(r.headers["Location"].rpartition("/")[2])
        c.close()
        return ids
    ids = [i for part in in_threads(8, client) for i in part]
    assert len(set(ids)) == 200
    for i in ids:
        assert pair.wait_task(i)["state"] == "SUCCEEDED"
    with open(pair.path("effects.log"), encoding="utf-8") as f:
        names = [line.split()[0] for line in f]
    assert len([n for n in names if n.startswith("many-")]) == 200


def test_programs_in_a_row_leave_nothing(pair):
    """FAULTS 25, through the service: no zombie, no descriptor."""
    def run(_):
        for _ in range(5):
            r = pair.post("/test/task-run", {"argv": ["true"]}, headers={"Prefer": "wait=30"})
            assert r.status == 200, r
    in_threads(2, run)
    before = fd_count(pair.service.pid)
    in_threads(4, run)
    wait_until(lambda: fd_count(pair.service.pid) <= before, what="descriptors back")
    with open(f"/proc/{pair.service.pid}/status", encoding="utf-8") as f:
        assert "State:\tZ" not in f.read()
