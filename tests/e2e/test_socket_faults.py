"""FAULTS 41 to 49: the socket between gateway and service, from both of its sides."""

import os
import random
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

import pytest

from conftest import BUILD, SANITIZED, TESTMOD, TOP, Pair, fd_count, in_threads, rss_kb, wait_until
from rawworker import Client, field, fields

REQUEST, RESPONSE, DATA, CANCEL, CREDIT, PING, GOAWAY = 1, 2, 3, 0x40, 0x41, 0x42, 0x43


def frame(kind, stream, payload=b"", flags=0, length=None):
    return struct.pack(">IIBB", len(payload) if length is None else length, stream, kind, flags) + payload


def refused(socket_path, *more, **kw):
    """A service that must not start: its status and what it said."""
    run = subprocess.run(
        [os.path.join(BUILD, "errand-service"), "--socket", socket_path, "--module", TESTMOD, "--store", "memory",
         *more], capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL, check=False,
        env=dict(os.environ, ERRAND_SERVICE_CONFIG="none"), **kw)
    assert run.returncode > 0, run
    assert "Sanitizer" not in run.stderr, run.stderr
    return run.stderr


# --- 41: what is at the path, and where that is ---

def test_what_is_at_the_path_is_left_there(tmp_path):
    path = tmp_path / "s"
    elsewhere = tmp_path / "elsewhere"
    path.symlink_to(elsewhere)
    assert "symbolic link" in refused(str(path))
    assert path.is_symlink() and not elsewhere.exists()
    path.unlink()
    path.write_text("mine")
    assert "is a file, not a socket" in refused(str(path))
    assert path.read_text() == "mine"
    path.unlink()
    path.mkdir()
    assert "is a directory" in refused(str(path))
    path.rmdir()
    lock = tmp_path / "s.lock"
    lock.unlink()
    lock.symlink_to(elsewhere)
    refused(str(path))
    assert lock.is_symlink() and not elsewhere.exists()
    lock.unlink()
    os.mkfifo(lock)
    assert "not a regular file" in refused(str(path))
    assert not path.exists()


def test_directories_of_others_are_refused(tmp_path):
    place = tmp_path / "place"
    place.mkdir()
    for mode in (0o777, 0o775, 0o733):
        os.chmod(place, mode)
        said = refused(str(place / "s"))
        assert "chmod go-w" in said and str(place) in said
    assert not os.listdir(place)
    assert "must exist" in refused(str(tmp_path / "none" / "s"))
    if os.getuid() == 0:
        os.chmod(place, 0o755)
        os.chown(place, 65534, 65534)
        assert "belongs to user 65534" in refused(str(place / "s"))


@pytest.mark.skipif(os.getuid() != 0, reason="gives files to another user, which needs root")
def test_a_socket_of_another_is_refused(tmp_path):
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(path)
    os.chown(path, 65534, 65534)
    inode = os.lstat(path).st_ino
    assert "belongs to user 65534" in refused(path)
    assert os.lstat(path).st_ino == inode
    os.unlink(path)
    os.chown(path + ".lock", 65534, 65534)
    assert "not a regular file of ours" in refused(path)


@pytest.mark.parametrize("mask", [0, 0o027, 0o777])
def test_the_mode_is_free_of_the_umask(mask):
    """And the name is there only once the socket listens: a client never finds less."""
    old = os.umask(mask)
    try:
        pair = Pair(store="memory")
        os.chmod(pair.dir, 0o700)
        found, stop = [], threading.Event()

        def look():
            while not stop.is_set():
                try:
                    mode = os.lstat(pair.socket).st_mode
                except FileNotFoundError:
                    continue
                with socket.socket(socket.AF_UNIX) as s:
                    found.append((mode & 0o777, s.connect_ex(pair.socket)))
        looking = threading.Thread(target=look)
        looking.start()
        try:
            if mask != 0o777:  # it can make no file of its own then
                pair.start_service()
            else:
                os.umask(0o077)
                pair.start_service()
            wait_until(lambda: found, what="the socket")
        finally:
            stop.set()
            looking.join()
    finally:
        os.umask(old)
    try:
        assert set(found) == {(0o660, 0)}, set(found)
        assert not os.path.exists(pair.socket + ".new")
    finally:
        pair.close()


# --- 42: who has the socket ---

def test_of_services_started_at_once_one_has_the_socket(tmp_path):
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as s:  # a stale one
        s.bind(path)
    argv = [os.path.join(BUILD, "errand-service"), "--socket", path, "--module", TESTMOD, "--store", "memory"]
    env = dict(os.environ, ERRAND_SERVICE_CONFIG="none")
    started = [subprocess.Popen(argv, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, env=env) for _ in range(4)]
    try:
        wait_until(lambda: sum(p.poll() is None for p in started) == 1, 40, "one is left")
        winner = next(p for p in started if p.poll() is None)
        for p in started:
            if p is not winner:
                said = p.stderr.read().decode()
                assert p.returncode > 0 and f"in use by process {winner.pid}" in said, said

        def answers():
            try:
                Client(path).close()
                return True
            except OSError:
                return False
        wait_until(answers, what="the winner answers")
    finally:
        for p in started:
            if p.poll() is None:
                p.terminate()
                assert p.wait(30) == 0
            p.stderr.close()
    assert not os.path.exists(path)


def test_a_live_socket_with_a_full_backlog_is_kept(make_pair):
    """It looks dead to who connects; the lock, and then the answer EAGAIN, say otherwise."""
    pair = make_pair(store="memory")
    pair.gateway.stop()
    inode = os.lstat(pair.socket).st_ino
    os.kill(pair.service.pid, signal.SIGSTOP)
    waiting = []
    try:
        with open("/proc/sys/net/core/somaxconn", encoding="ascii") as f:
            most = min(int(f.read()), 4096)
        while len(waiting) < most + 2:
            s = socket.socket(socket.AF_UNIX)
            s.setblocking(False)
            waiting.append(s)
            if s.connect_ex(pair.socket) != 0:
                break
        assert f"in use by process {pair.service.pid}" in refused(pair.socket)
        os.rename(pair.socket + ".lock", pair.socket + ".kept")
        assert "somebody answers" in refused(pair.socket)
        os.rename(pair.socket + ".kept", pair.socket + ".lock")
        assert os.lstat(pair.socket).st_ino == inode
    finally:
        os.kill(pair.service.pid, signal.SIGCONT)
        for s in waiting:
            s.close()
    pair.start_gateway()
    pair.wait_ready()
    assert pair.post("/test/echo", {"text_value": "alive"}).status == 200


# --- 43: another user ---

SAY_MUCH = """
import os, socket, sys
os.setgid(65534); os.setuid(65534)
for i in range(20):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(sys.argv[1])
        try:
            s.sendall(b"\\x00\\x40\\x00\\x00\\x00\\x00\\x00\\x01\\x01\\x00" + b"x" * 100000)
            if s.recv(100):
                sys.exit("it was answered")
        except (BrokenPipeError, ConnectionResetError):
            pass
"""


@pytest.mark.skipif(os.getuid() != 0, reason="becomes another user, which needs root")
def test_nothing_of_another_user_is_parsed(make_pair):
    """Each is told of by pid and user; what would close the connection by itself is never seen."""
    pair = make_pair(store="memory", service_args=["--mode", "0666"])
    os.chmod(pair.dir, 0o755)
    fds = fd_count(pair.service.pid)
    with subprocess.Popen([sys.executable, "-c", SAY_MUCH, pair.socket], stderr=subprocess.PIPE) as p:
        assert p.wait(30) == 0, p.stderr.read()
    lines = re.findall(r"connection refused.* pid=(\d+) uid=65534 gid=65534", pair.service.text())
    assert lines == [str(p.pid)] * 20, pair.service.text()[-2000:]
    assert "frame of" not in pair.service.text()
    assert fd_count(pair.service.pid) == fds


# --- 44: garbage ---

GARBAGE = {
    "length 2^31": frame(REQUEST, 1, length=2 ** 31),
    "length 2^32-1": frame(REQUEST, 1, length=2 ** 32 - 1),
    "one byte too many": frame(REQUEST, 1, length=(4 << 20) + 1),
    "an even stream": frame(REQUEST, 2, b""),
    "an answer": frame(RESPONSE, 1, b""),
    "data of no stream": frame(DATA, 5, b"x"),
    "text": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
}


def read_to_end(s):
    out = b""
    try:
        while chunk := s.recv(65536):
            out += chunk
    except ConnectionResetError:
        pass
    return out


def test_garbage_closes_that_connection_alone(make_pair):
    pair = make_pair(store="memory", service_args=["--frame-timeout", "1s"])
    before, fds = rss_kb(pair.service.pid), fd_count(pair.service.pid)
    other = Client(pair.socket)
    kept = other.start("errandtest.v1.Test/Wait", b"\x08\xe8\x07")  # ms 1000
    for what, data in GARBAGE.items():
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(5)
            s.connect(pair.socket)
            s.sendall(data)
            assert read_to_end(s) == b"", what  # closed by it: this side says no more
    # an empty Request is a frame: refused in words, and the connection goes on
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(5)
        s.connect(pair.socket)
        s.sendall(frame(REQUEST, 1))
        answer = s.recv(4096)
        length, stream, kind = struct.unpack(">IIB", answer[:9])
        assert (stream, kind) == (1, RESPONSE) and length > 0, answer
        hello = field(1, "errand.wire.v1.Connection") + field(2, "Hello") + field(3, b"\x08\xff\x01")
        s.sendall(frame(REQUEST, 3, hello))
        answer = s.recv(4096)
        assert answer[8] == RESPONSE and b"Hello must be the first" in answer
    assert kept.get(10) is not None
    other.close()
    wait_until(lambda: fd_count(pair.service.pid) <= fds, what="descriptors are given back")
    assert SANITIZED or rss_kb(pair.service.pid) - before < 4096
    assert pair.post("/test/echo", {"text_value": "fine"}).json()["text_value"] == "fine"


def test_wrong_version_is_told_which_is_spoken(pair_of_one):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(5)
        s.connect(pair_of_one.socket)
        hello = field(1, "errand.wire.v1.Connection") + field(2, "Hello") + field(3, b"\x08\x63")
        s.sendall(frame(REQUEST, 1, hello))
        head = s.recv(10, socket.MSG_WAITALL)
        answer = dict(fields(s.recv(struct.unpack(">I", head[:4])[0], socket.MSG_WAITALL)))
        assert dict(fields(answer[2]))[1] == 1, answer  # HelloReply.version
    assert pair_of_one.post("/test/echo", {}).status == 200


@pytest.fixture(scope="module")
def pair_of_one():
    p = Pair(store="memory", service_args=["--frame-timeout", "700ms"], gateway_args=["--threads", "1"])
    try:
        yield p.start()
    finally:
        p.close()


def test_half_a_frame_is_waited_for_no_longer_than_the_limit(pair_of_one):
    """Silence after half a head, after a head, in a payload; and a byte now and then for ever."""
    pair = pair_of_one
    halves = [b"\0\0\0\x10\0", frame(REQUEST, 1, length=100), frame(REQUEST, 1, b"x" * 50, length=4 << 20)]
    begin, held = time.monotonic(), []
    for data in halves + [frame(REQUEST, 1, length=1000)]:
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(10)
        s.connect(pair.socket)
        s.sendall(data)
        held.append(s)
    drip, end = held.pop(), None
    for _ in range(100):
        try:
            drip.sendall(b"\0")
        except (BrokenPipeError, ConnectionResetError):
            end = time.monotonic()
            break
        assert pair.post("/test/echo", {}).status == 200
        time.sleep(0.05)
    assert end is not None and 0.6 < end - begin < 5
    for s in held:
        assert read_to_end(s) == b""
        s.close()
    drip.close()
    assert time.monotonic() - begin < 5
    assert len(re.findall("frame was not whole in time", pair.service.text())) >= 4


# --- 45: the gateway killed ---

def calls_under_way(pair):
    with_client = Client(pair.socket)
    try:
        server = with_client.message("errand.v1.Server").FromString(with_client.call("errand.v1.Servers/GetServer"))
        return server.calls - 1  # without this one
    finally:
        with_client.close()


def test_gateway_killed_in_mid_stream(make_pair):
    """Streams and calls are told to stop and freed; tasks, those somebody watched too, go on."""
    pair = make_pair()
    fds = fd_count(pair.service.pid)
    task_id = pair.submit("/test/task-sleep", {"ms": 1500})
    conns = []
    for path in ("/test/stream?count=100000&size=65536", "/test/stream?count=100000&size=10&interval_ms=5",
                 f"/v1/tasks/{task_id}/events"):
        c = pair.connect()
        c.request("GET", path, headers={"Accept": "text/event-stream"})
        r = c.getresponse()
        assert r.status == 200 and r.read(20)
        conns.append((c, r))
    waiting = pair.connect()
    waiting.request("POST", "/test/wait", b'{"ms": 60000}', {"Content-Type": "application/json"})
    wait_until(lambda: calls_under_way(pair) >= 4, what="calls under way")
    pair.gateway.kill()
    for c, r in conns:
        r.close()
        c.close()
    waiting.close()

    def cancelled():
        with open(pair.path("cancelled.log"), encoding="utf-8") as f:
            return sorted(f.read().split())
    wait_until(lambda: os.path.exists(pair.path("cancelled.log")) and cancelled() == ["stream", "stream", "wait"],
               what="handlers are told")
    wait_until(lambda: calls_under_way(pair) <= 1, what="calls are freed")  # the task's attempt
    pair.start_gateway()
    pair.wait_ready()
    task = pair.wait_task(task_id)
    assert task["state"] == "SUCCEEDED" and task["attempt"] == 1, task
    wait_until(lambda: calls_under_way(pair) == 0, what="nothing is under way")
    wait_until(lambda: fd_count(pair.service.pid) <= fds, what="descriptors are given back")


# --- 46: the service restarted under load ---

def test_restarts_answer_nobody_twice_or_with_anothers(make_pair):
    """SIGTERM and kill -9 in turn, without any waiting: each request has one answer, its own or an
    error; in the gap that is a 503 with Retry-After, and the way back is there in a second."""
    pair = make_pair(store="memory", gateway_args=["--reconnect-wait", "0s", "--threads", "2"])
    stopping, wrong, seen = threading.Event(), [], {}

    def ask(i):
        c, n = pair.connect(10), 0
        while not stopping.is_set():
            n += 1
            text = f"c{i}-{n}"
            c.request("GET", f"/test/echo/{text}")
            r = c.getresponse()
            body = r.read()
            seen[r.status] = seen.get(r.status, 0) + 1
            if r.status == 200:
                if f'"{text}"'.encode() not in body:
                    wrong.append((text, body))
            elif r.status not in (502, 503) or (r.status == 503 and r.headers["Retry-After"] is None):
                wrong.append((text, r.status, body))
            if r.status != 200:
                time.sleep(0.005)
        c.close()
    threads = [threading.Thread(target=ask, args=(i,)) for i in range(6)]
    for t in threads:
        t.start()
    slowest = 0
    try:
        for i in range(6):
            wait_until(lambda i=i: seen.get(200, 0) > (i + 1) * 50 or wrong, what="answers")
            pair.service.kill() if i % 2 else pair.service.stop()
            gap = seen.get(503, 0)
            wait_until(lambda gap=gap: seen.get(503, 0) > gap or wrong, what="503 in the gap")
            pair.start_service()
            begin = time.monotonic()
            pair.wait_ready()
            slowest = max(slowest, time.monotonic() - begin)
    finally:
        stopping.set()
        for t in threads:
            t.join(20)
    assert not wrong, wrong[:5]
    assert not any(t.is_alive() for t in threads)
    assert slowest < (3 if SANITIZED else 1), slowest


# --- 47: the service stopped ---

def test_stopped_service_costs_bounded_memory(make_pair):
    """Large requests for a service that does not read: 504 or 503 each in its time, some of them
    kept for it, the others not; when it goes on nobody gets what another one asked for."""
    pair = make_pair(store="memory", gateway_args=["--threads", "1", "--ping-interval", "1h"])
    text = "x" * 262144
    assert pair.post("/test/echo", {"text_value": text}).status == 200
    before = rss_kb(pair.gateway.pid)
    os.kill(pair.service.pid, signal.SIGSTOP)
    try:
        def one(i):
            out = []
            for _ in range(8):
                begin = time.monotonic()
                r = pair.post("/test/echo", {"text_value": f"late{i}" + text},
                              headers={"Connect-Timeout-Ms": "300"})
                out.append((r.status, time.monotonic() - begin))
            return out
        answers = [a for rows in in_threads(24, one) for a in rows]
        grown = rss_kb(pair.gateway.pid) - before
    finally:
        os.kill(pair.service.pid, signal.SIGCONT)
    assert {status for status, _ in answers} <= {504, 503}, answers
    assert 504 in {status for status, _ in answers}
    assert max(seconds for _, seconds in answers) < 10
    assert SANITIZED or grown < 40000, grown  # 192 requests of 256 KiB are 48 MB and their JSON as much
    for i in range(50):
        r = wait_until(lambda i=i: (x := pair.get(f"/test/echo/now{i}")).status == 200 and x, what="200")
        assert r.json()["text_value"] == f"now{i}"


# --- 48: a service that is not in its right mind ---

class Hostile:
    """A raw ttrpc server: answers Hello and Echo as it should, and says `noise` around it."""

    def __init__(self, path, seed=1):
        self.random, self.noise, self.n_conns, self.stopped = random.Random(seed), None, 0, False
        self.last = 0
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.stopped:
            try:
                s = self.listener.accept()[0]
            except OSError:
                return
            self.n_conns += 1
            threading.Thread(target=self.serve, args=(s,), daemon=True).start()

    def serve(self, s):
        try:
            with s, s.makefile("rb") as f:
                while len(head := f.read(10)) == 10:
                    length, stream, kind = struct.unpack(">IIB", head[:9])
                    request = f.read(length)
                    if kind == REQUEST:
                        self.last = max(self.last, stream)
                        s.sendall(self.answer(stream, dict(fields(request))))
        except OSError:
            pass

    def answer(self, stream, request):
        if request[2] == b"Hello":
            return frame(RESPONSE, stream, field(2, field(1, 1) + field(2, 262144)))
        good = frame(RESPONSE, stream, field(2, request.get(3, b"")))
        return good if self.noise is None else self.noise(self, stream, good)

    def close(self):
        self.stopped = True
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


@pytest.fixture
def hostile(tmp_path):
    subprocess.run(["protoc", f"-I{TOP}/proto", f"-I{TOP}/tests/e2e", "-I/usr/include", "--include_imports",
                    f"--descriptor_set_out={tmp_path}/t.pb", "testmod.proto"], check=True)
    server = Hostile(str(tmp_path / "s"))
    pair = Pair(gateway_args=["--threads", "1", "--schema", f"{tmp_path}/t.pb", "--reconnect-wait", "5s"])
    pair.socket = str(tmp_path / "s")
    try:
        pair.start_gateway()
        pair.wait_ready()
        yield pair, server
    finally:
        pair.close()
        server.close()


def test_answers_of_unknown_and_finished_calls_are_dropped(hostile):
    """They are told of once in a while, and never given to another request."""
    pair, server = hostile
    lie = field(2, field(1, "not for you"))

    def noise(_, stream, good):
        strays = [frame(RESPONSE, s, lie) for s in (stream - 2, stream + 2, stream + 100, 2 ** 31 - 1, 2)]
        return b"".join(strays) + frame(DATA, stream + 2, b"x") + good + good + frame(DATA, stream, b"late")
    server.noise = noise
    for i in range(200):
        r = pair.get(f"/test/echo/mine{i}")
        assert r.status == 200 and r.json()["text_value"] == f"mine{i}", r
    assert server.n_conns == 1  # strays are no reason to close
    told = re.findall(r"belong to no call were dropped.* frames=(\d+)", pair.gateway.text())
    assert 1 <= len(told) <= 5, told  # not a line for each


def test_a_service_out_of_step_is_left(hostile):
    """A head that promises 4 MiB, and answers go on behind it: they would be swallowed as its payload."""
    pair, server = hostile

    def noise(s, stream, good):
        s.noise = None
        return frame(DATA, stream, length=4 << 20)
    server.noise = noise
    begin = time.monotonic()
    assert pair.get("/test/echo/x", headers={"Connect-Timeout-Ms": "200"}).status == 504

    def well():
        r = pair.get("/test/echo/well", headers={"Connect-Timeout-Ms": "200"})
        return r.status == 200 and r.json()["text_value"] == "well"
    wait_until(well, what="200 again")
    assert 4 < time.monotonic() - begin < 12
    assert "was not whole in time" in pair.gateway.text()


def test_frames_in_any_order_crash_nothing(hostile):
    """Noise of valid heads, with lengths, kinds, streams and flags of chance, and garbage for
    payloads: each request has an answer, the connection may be made anew."""
    pair, server = hostile
    kinds = [REQUEST, RESPONSE, DATA, CANCEL, CREDIT, PING, GOAWAY, 0, 7, 0xFF]

    def noise(s, stream, good):
        rnd, out = s.random, []
        for _ in range(rnd.randint(0, 6)):
            kind = rnd.choice(kinds)
            size = {CREDIT: 4, PING: 8, GOAWAY: 4, CANCEL: 0}.get(kind, rnd.choice([0, 1, 7, 300]))
            if rnd.random() < 0.1:
                size += 1
            where = rnd.choice([0, 1, stream, stream, stream - 2, stream + 2, 2 ** 32 - 1])
            if kind in (PING, GOAWAY) and rnd.random() < 0.8:
                where = 0
            out.append(frame(kind, where, rnd.randbytes(size), rnd.choice([0, 1, 2, 4, 5, 255])))
        at = rnd.randint(0, len(out))
        data = b"".join(out[:at] + [good] + out[at:])
        return data if rnd.random() < 0.9 else data[:rnd.randint(0, len(data))] + frame(9, 1, length=2 ** 32 - 1)
    server.noise = noise
    seen = {}
    for i in range(150):
        r = pair.get(f"/test/echo/mine{i}", headers={"Connect-Timeout-Ms": "150"}, timeout=20)
        seen[r.status] = seen.get(r.status, 0) + 1
        if r.status == 200 and server.noise is None:
            assert r.json()["text_value"] == f"mine{i}", r
    server.noise = None
    assert pair.gateway.alive() and server.n_conns > 5, (seen, server.n_conns)
    assert seen.get(200, 0) > 20, seen
    wait_until(lambda: pair.get("/test/echo/well", headers={"Connect-Timeout-Ms": "200"}).status == 200,
               what="200 again")
    assert pair.get("/test/echo/well").json()["text_value"] == "well"


# --- 49: a slow client ---

@pytest.mark.release  # sanitizers' own memory grows
def test_many_slow_clients_cost_their_windows(make_pair):
    """Forty clients ask for 256 MiB each and read nothing: what both daemons hold is bounded by
    their windows, the handlers wait, others are served; who reads gets every byte in order."""
    pair = make_pair(store="memory", service_args=["--sync-threads", "64"], gateway_args=["--threads", "2"])
    before = rss_kb(pair.gateway.pid), rss_kb(pair.service.pid)
    slow = []
    try:
        for _ in range(40):
            s = socket.create_connection(("127.0.0.1", pair.port))
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            s.sendall(b"GET /test/stream?count=4096&size=65536 HTTP/1.1\r\nHost: x\r\n"
                      b"Accept: application/x-ndjson\r\n\r\n")
            assert s.recv(100).startswith(b"HTTP/1.1 200")
            slow.append(s)
        last = None

        def settled():
            nonlocal last
            now = rss_kb(pair.gateway.pid), rss_kb(pair.service.pid)
            same, last = now == last, now
            time.sleep(0.2)
            return same
        wait_until(settled, what="both wait")
        grown = last[0] - before[0], last[1] - before[1]
        assert grown[0] < 40 * 2048 and grown[1] < 40 * 1024, grown
        for i in range(50):
            assert pair.get(f"/test/echo/other{i}").status == 200
    finally:
        for s in slow:
            s.close()
    wait_until(lambda: calls_under_way(pair) == 0, what="the handlers have ended")
