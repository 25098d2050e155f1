"""A schema that changes while requests come: by SIGHUP, by a service that is restarted."""

import json
import os
import signal
import socket
import subprocess
import threading
import time

import pytest

from conftest import ARTICLE, SANITIZED, TESTMOD, TOP, Pair, fd_count, rss_kb, wait_until
from test_gateway import plain_ttrpc

PROTO = """
syntax = "proto3";
package shop.v1;
import "google/api/annotations.proto";
message Item {int32 item_id = 1; string %(name)s = 2;}
service Shop {
  rpc Get(Item) returns (Item) {option (google.api.http) = {get: "/items/{item_id}"};}
  rpc Other(Item) returns (Item) {option (google.api.http) = {get: "/%(route)s/{item_id}"};}
}
"""
RESTARTS = 4 if SANITIZED else 20
FORMS = [{"item_id": 7, "name": ""}, {"item_id": 7, "title": ""}]


class Clients:
    """Threads that ask the same again and again, each on a kept connection, until stop();
    answers holds each (status, body) once."""

    def __init__(self, pair, n, path):
        self.pair, self.path, self.stopped = pair, path, False
        self.answers, self.count, self.failed = {}, 0, None
        self.threads = [threading.Thread(target=self.run) for _ in range(n)]
        for t in self.threads:
            t.start()

    def run(self):
        try:
            c = self.pair.connect()
            while not self.stopped:
                c.request("GET", self.path)
                r = c.getresponse()
                key = r.status, r.read()
                if key not in self.answers:
                    self.answers[key] = r.headers
                self.count += 1
            c.close()
        except Exception as e:  # pylint: disable=broad-except
            self.failed = e

    def stop(self):
        self.stopped = True
        for t in self.threads:
            t.join()
        assert self.failed is None, self.failed
        return self.answers


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """Two descriptor sets that differ in a field's name and a route."""
    d = tmp_path_factory.mktemp("sets")
    made = []
    for name, route in (("name", "old"), ("title", "new")):
        (d / f"{route}.proto").write_text(PROTO % {"name": name, "route": route})
        subprocess.run(["protoc", "-I", f"{TOP}/proto", "-I", str(d), "--include_imports",
                        f"--descriptor_set_out={d}/{route}.pb", f"{route}.proto"], check=True)
        made.append((d / f"{route}.pb").read_bytes())
    return made


@pytest.fixture
def plain(tmp_path, sets):
    """A gateway with --schema in front of a plain ttrpc server; and how to replace that file."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{tmp_path}/s")
    listener.listen()
    servers = [threading.Thread(target=plain_ttrpc, args=(listener,), daemon=True) for _ in range(2)]
    for s in servers:
        s.start()
    p = Pair(gateway_args=["--threads", "2", "--schema", f"{tmp_path}/schema.pb"])
    p.socket = f"{tmp_path}/s"

    def put(data):
        (tmp_path / "next").write_bytes(data)
        os.rename(tmp_path / "next", tmp_path / "schema.pb")
    put(sets[0])
    try:
        p.start_gateway()
        p.wait_ready()
        yield p, put
    finally:
        p.close()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for s in servers:
            s.join(5)


class Lines:
    """Counts a pattern in a log that grows, reading each byte once."""

    def __init__(self, path, pattern):
        self.file, self.pattern, self.n = open(path, "rb"), pattern, 0

    def wait(self, n):
        end = time.monotonic() + 20
        while self.n < n:
            self.n += self.file.read().count(self.pattern)
            assert time.monotonic() < end, f"{self.pattern}: {self.n} of {n}"
            time.sleep(0.0005)


def test_a_thousand_reloads(plain, sets):
    p, put = plain
    used = Lines(p.gateway.log, b'msg="schema in use"')
    used.wait(1)
    clients = Clients(p, 2, "/items/7")
    rss = {}
    try:
        for i in range(1, 1001):
            put(sets[i % 2])
            os.kill(p.gateway.pid, signal.SIGHUP)
            used.wait(1 + i)
            if i in (200, 1000):
                rss[i] = rss_kb(p.gateway.pid)
    finally:
        answers = clients.stop()
    assert {status for status, _ in answers} == {200}, answers
    assert sorted(body for _, body in answers) == sorted(json.dumps(f, separators=(",", ":")).encode()
                                                         for f in FORMS)
    assert clients.count > 500
    assert rss[1000] - rss[200] < (16000 if SANITIZED else 1000), rss
    assert "generation=1001" in p.gateway.text()


def test_a_bad_file_changes_nothing(plain, sets):
    p, put = plain
    assert p.get("/items/7").json() == FORMS[0]
    refused = Lines(p.gateway.log, b"cannot use the schema")
    for n, bad in enumerate((b"no descriptor set", b"", sets[1][:-1]), 1):
        put(bad)
        os.kill(p.gateway.pid, signal.SIGHUP)
        refused.wait(n)
        assert p.get("/items/7").json() == FORMS[0]
    assert "the one before stays in use" in p.gateway.text()
    os.unlink(os.path.join(os.path.dirname(p.socket), "schema.pb"))
    os.kill(p.gateway.pid, signal.SIGHUP)
    p.gateway.wait_line("cannot read the schema")
    assert p.get("/old/7").status == 200 and p.get("/new/7").status == 404
    put(sets[1])
    os.kill(p.gateway.pid, signal.SIGHUP)
    wait_until(lambda: p.get("/new/7").status == 200, what="the new schema")
    assert p.get("/items/7").json() == FORMS[1] and p.get("/old/7").status == 404


# --- a service that is restarted ---

def test_a_restart_fails_no_request(make_pair):
    """FAULTS 46, and another schema each time."""
    p = make_pair(modules=[ARTICLE], gateway_args=["--reconnect-wait", "30s"])
    clients = Clients(p, 4, "/search?q=x")
    try:
        for i in range(RESTARTS):
            p.modules = [ARTICLE, TESTMOD] if i % 2 == 0 else [ARTICLE]
            before = clients.count
            p.service.stop()
            p.start_service()
            p.wait_ready()
            assert p.post("/test/echo", {"int32_value": i}).status == (200 if i % 2 == 0 else 404)
            wait_until(lambda: clients.count > before + 4, what="answers")
    finally:
        answers = clients.stop()
    assert [status for status, _ in answers] == [200], answers


def test_without_waiting_the_gap_is_503(make_pair):
    p = make_pair(gateway_args=["--reconnect-wait", "0"])
    clients = Clients(p, 2, "/search?q=x")
    try:
        wait_until(lambda: clients.answers, what="200")
        p.service.stop()
        wait_until(lambda: len(clients.answers) > 1, what="503")
        p.start_service()
        p.wait_ready()
    finally:
        answers = clients.stop()
    assert sorted(status for status, _ in answers)[0] == 200
    for (status, _), headers in answers.items():
        assert status == 200 or (status == 503 and headers["Retry-After"] == "1"), answers


def test_who_waits_is_not_kept_too_long(make_pair):
    p = make_pair(gateway_args=["--reconnect-wait", "1s", "--threads", "1"])
    fds = fd_count(p.gateway.pid)
    p.service.stop()
    begin = time.monotonic()
    r = p.get("/search?q=x", headers={"Connect-Timeout-Ms": "100"})
    assert r.status == 504 and time.monotonic() - begin < 0.9
    gone = [p.connect() for _ in range(20)]
    for c in gone:
        c.request("GET", "/search?q=x")
    for c in gone:
        c.close()
    assert p.get("/livez").status == 200
    assert p.get("/nowhere").status == 404  # nothing to wait for
    r = p.get("/search?q=x")
    assert r.status == 503 and r.headers["Retry-After"] == "1"
    assert time.monotonic() - begin < 4
    begin = time.monotonic()
    assert p.get("/search?q=x").status == 503  # gone for long: at once
    assert time.monotonic() - begin < 0.5
    wait_until(lambda: fd_count(p.gateway.pid) <= fds, what="connections closed")
    # one that waits when the gateway stops is answered
    p.start_service()
    p.wait_ready()
    p.service.stop()
    c = p.connect()
    c.request("GET", "/search?q=x")
    assert p.get("/livez").status == 200
    os.kill(p.gateway.pid, signal.SIGTERM)
    assert c.getresponse().status == 503
    assert p.gateway.popen.wait(10) == 0
