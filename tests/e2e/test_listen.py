"""--listen: several at once, UNIX sockets, sockets that were given, and who may be let in."""

import grp
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import time

import pytest
from conftest import ARTICLE, BUILD, SANITIZED, Daemon, Pair, in_threads_during, wait_until

GATEWAY = os.path.join(BUILD, "errand-gateway")
ROOT = os.geteuid() == 0


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout=30):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def ask(connection, path="/livez", host=None):
    connection.request("GET", path, headers={"Host": host} if host else {})
    r = connection.getresponse()
    return r.status, r.read()


def curl(*args):
    return subprocess.run(["curl", "-sS", "-m", "20", *args], capture_output=True, text=True, timeout=30)


def access_lines(pair):
    with open(pair.path("access.log"), encoding="utf-8") as f:
        return [json.loads(line) for line in f if line.endswith("\n")]


def listens_at(gateway, pattern):
    return gateway.wait_line(rf"msg=listening address={pattern}")[1]


# --- several ---

def test_several(make_pair):
    pair = make_pair(gateway_args=["--listen", "127.0.0.1:0", "--listen", "[::1]:0", "--threads", "3"],
                     modules=(ARTICLE,))
    sock = pair.path("http.sock")
    pair.gateway.stop()
    pair.start_gateway("--listen", f"unix:{sock}")
    pair.wait_ready()
    text = pair.gateway.text()
    ports = [int(p) for p in re.findall(r"msg=listening address=\S+:(\d+) ", text)[-3:]]
    assert ports[0] == pair.port and len(set(ports)) == 3
    for _ in range(12):  # each of the threads
        for host, port in zip(("127.0.0.1", "127.0.0.1", "::1"), ports):
            assert ask(http.client.HTTPConnection(host, port, timeout=20))[0] == 200
        assert ask(UnixConnection(sock), "/search")[0] == 200
    assert {line["peer"].rpartition(":")[0] for line in access_lines(pair)} >= {"127.0.0.1", "[::1]", "unix"}


def test_connection_cap_counts_all(make_pair):
    """The cap is of a thread, whatever listener a connection came by."""
    pair = make_pair(gateway_args=["--threads", "1", "--max-connections", "3"], modules=(ARTICLE,))
    sock = pair.path("http.sock")
    pair.gateway.stop()
    pair.start_gateway("--listen", f"unix:{sock}")
    held = [socket.create_connection(("127.0.0.1", pair.port)) for _ in range(3)]
    held[2].sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
    assert held[2].recv(100).startswith(b"HTTP/1.1 200")
    waiting = UnixConnection(sock)
    waiting.request("GET", "/livez")
    waiting.sock.settimeout(0.3)
    with pytest.raises(TimeoutError):
        waiting.sock.recv(1)
    waiting.sock.settimeout(20)
    held[0].close()
    assert waiting.getresponse().status == 200
    for s in held:
        s.close()


# --- a UNIX socket ---

@pytest.fixture(scope="module")
def unix():
    p = Pair(modules=(ARTICLE,), any_host=False)
    p.gateway_args = ["--listen", f"unix:{p.path('http.sock')},mode=0666"]
    try:
        yield p.start()
    finally:
        p.close()


def test_unix_with_curl(unix):
    sock = unix.path("http.sock")
    assert os.stat(sock).st_mode & 0o7777 == 0o666
    r = curl("--unix-socket", sock, "http://any.name.example/search?q=1")
    assert r.returncode == 0 and json.loads(r.stdout), r
    assert unix.get("/livez", headers={"Host": "any.name.example"}).status == 421  # over TCP a name counts
    line = next(a for a in access_lines(unix) if a["path"] == "/search")
    assert re.fullmatch(rf"unix:uid={os.geteuid()},pid=\d+", line["peer"]), line


def test_unix_keepalive_and_pipelining(unix):
    c = UnixConnection(unix.path("http.sock"))
    for _ in range(20):
        assert ask(c) == (200, b'{"status":"ok"}')
    c.close()
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(unix.path("http.sock"))
        s.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n" * 30 + b"BAD\x00 HTTP/1.1\r\n\r\n")
        s.shutdown(socket.SHUT_WR)
        got = b"".join(iter(lambda: s.recv(65536), b""))
    assert got.count(b"HTTP/1.1 200 ") == 30 and got.count(b"HTTP/1.1 4") + got.count(b"HTTP/1.1 5") == 1


@pytest.mark.skipif(not ROOT, reason="needs another user")
def test_unix_peer_is_another_user(unix):
    os.chmod(unix.dir, 0o711)
    code = ("import socket; s = socket.socket(socket.AF_UNIX); s.connect('http.sock'); "
            "s.sendall(b'GET /livez?other HTTP/1.0\\r\\n\\r\\n'); print(s.recv(15))")
    r = subprocess.run([sys.executable, "-c", code], cwd=unix.dir, user=65534, group=65534, extra_groups=[],
                       capture_output=True, text=True, timeout=20)
    assert "200" in r.stdout, r
    wait_until(lambda: any(a.get("peer", "").startswith("unix:uid=65534,") for a in access_lines(unix)),
               what="access line")


def test_unix_alone_says_its_path(make_pair):
    pair = make_pair(modules=(ARTICLE,))
    sock = pair.path("alone.sock")
    gateway = Daemon([GATEWAY, "--config", "none", "--listen", f"unix:{sock},mode=600", "--socket", pair.socket],
                     pair.path("alone.log"), pair.env)
    try:
        assert gateway.ready == sock + "\n"
        assert os.stat(sock).st_mode & 0o7777 == 0o600
        assert ask(UnixConnection(sock))[0] == 200
    finally:
        gateway.stop()
    assert not os.path.exists(sock)


@pytest.mark.skipif(not ROOT, reason="gives the socket to another group")
def test_unix_group(make_pair):
    pair = make_pair(modules=(ARTICLE,))
    sock, group = pair.path("group.sock"), grp.getgrgid(65534).gr_name
    gateway = Daemon([GATEWAY, "--config", "none", "--listen", f"unix:{sock},mode=0660,group={group}", "--socket",
                      pair.socket], pair.path("group.log"), pair.env)
    try:
        st = os.stat(sock)
        assert st.st_gid == 65534 and st.st_mode & 0o7777 == 0o660
    finally:
        gateway.stop()


def refused(listen, *more, status=1):
    r = subprocess.run([GATEWAY, "--config", "none", "--socket", "/nonexistent/s", "--listen", listen, *more],
                       capture_output=True, text=True, timeout=20)
    assert r.returncode == status, r
    return r.stderr


def test_what_is_in_the_way(tmp_path):
    """FAULTS 41, 42 for this socket too: whatever is at its path stays as it is."""
    target = tmp_path / "target"
    target.write_text("precious")
    (tmp_path / "link").symlink_to(target)
    (tmp_path / "dir").mkdir()
    for name, word in (("target", "a file"), ("link", "symbolic link"), ("dir", "a directory")):
        assert word in refused(f"unix:{tmp_path / name}")
    assert target.read_text() == "precious" and (tmp_path / "link").is_symlink()
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    assert "others may write" in refused(f"unix:{tmp_path}/open/s")
    assert "must exist" in refused(f"unix:{tmp_path}/none/s")


def test_the_second_one_is_refused(unix):
    path = unix.path("http.sock")
    before = os.stat(path).st_ino
    assert f"already in use by process {unix.gateway.pid}" in refused(f"unix:{path}")
    assert os.stat(path).st_ino == before and ask(UnixConnection(path))[0] == 200


def test_a_stale_socket_is_replaced(make_pair):
    pair = make_pair(modules=(ARTICLE,))
    sock = pair.path("stale.sock")
    pair.gateway.stop()
    pair.gateway_args += ["--listen", f"unix:{sock}"]
    pair.start_gateway()
    pair.gateway.kill()
    assert os.path.exists(sock)
    pair.start_gateway()
    assert ask(UnixConnection(sock))[0] == 200


# --- given sockets ---

def tcp_socket():
    s = socket.socket()
    s.bind(("127.0.0.1", 0))
    s.listen(1024)
    return s


def unix_socket(path):
    s = socket.socket(socket.AF_UNIX)
    s.bind(path)
    s.listen(128)
    return s


def start_given(pair, given, *more, threads=2):
    with open(pair.path("access.log"), "ab") as access:
        pair.gateway = Daemon([GATEWAY, "--config", "none", "--socket", pair.socket, "--host", "*", "--threads",
                               str(threads), *more], pair.path("gateway.log"), pair.env, stdout=access, given=given)
    return pair.gateway


@pytest.fixture
def service():
    p = Pair(modules=(ARTICLE,))
    p.start_service()
    try:
        yield p
    finally:
        p.close()


def test_given_without_listen(service):
    """All that were given are used, of either kind."""
    with tcp_socket() as tcp, unix_socket(service.path("given.sock")) as local:
        gateway = start_given(service, [("web", tcp), ("local", local)])
        assert gateway.ready == f"{tcp.getsockname()[1]}\n"
        assert ask(http.client.HTTPConnection(*tcp.getsockname(), timeout=20))[0] == 200
        assert ask(UnixConnection(service.path("given.sock")))[0] == 200
        gateway.stop()
        assert os.path.exists(service.path("given.sock"))  # not ours to remove


def test_given_by_name(service):
    with tcp_socket() as web, tcp_socket() as other:
        gateway = start_given(service, [("other", other), ("web", web)], "--listen", "systemd:web", "--listen",
                              "127.0.0.1:0")
        assert gateway.ready == f"{web.getsockname()[1]}\n"
        own = int(listens_at(gateway, rf"127\.0\.0\.1:(?!{web.getsockname()[1]} )(\d+)"))
        assert ask(http.client.HTTPConnection("127.0.0.1", own, timeout=20))[0] == 200
        assert ask(http.client.HTTPConnection(*web.getsockname(), timeout=20))[0] == 200
        with socket.create_connection(other.getsockname()) as s:
            s.sendall(b"GET /livez HTTP/1.0\r\n\r\n")
            s.settimeout(0.3)
            with pytest.raises(TimeoutError):
                s.recv(1)  # nobody accepts there


def test_given_what_cannot_be_used(service):
    with tcp_socket() as web, socket.socket() as idle:
        argv = [GATEWAY, "--config", "none", "--socket", service.socket]

        def run(name, s, *more):
            launcher = [sys.executable, os.path.join(os.path.dirname(__file__), "activate.py"), f"{name}:{s.fileno()}",
                        "--"]
            return subprocess.run(launcher + argv + list(more), pass_fds=[s.fileno()], capture_output=True, text=True,
                                  timeout=20)
        r = run("web", web, "--listen", "systemd:wbe")
        assert r.returncode == 64 and "systemd:wbe" in r.stderr and "FileDescriptorName=" in r.stderr, r
        r = run("web", idle)
        assert r.returncode != 0 and "no listening stream socket" in r.stderr, r
        r = subprocess.run(argv + ["--listen", "systemd:web"], capture_output=True, text=True, timeout=20,
                           env=dict(os.environ, LISTEN_FDS="1", LISTEN_PID="1", LISTEN_FDNAMES="web"))
        assert r.returncode == 64, r  # they are somebody else's


def test_restart_under_load(service):
    """The gateway is replaced three times while eight clients ask as fast as they can: no connection is
    refused, no request is lost, every answer is 200."""
    with tcp_socket() as web:
        gateway = start_given(service, [("web", web)])
        wait_until(lambda: ask(http.client.HTTPConnection(*web.getsockname(), timeout=20), "/readyz")[0] == 200)
        counts = [0] * 8
        connections = [http.client.HTTPConnection(*web.getsockname(), timeout=60) for _ in counts]

        def load(i):
            if i % 4 == 0:
                connections[i].close()  # a new connection each time
            status, _ = ask(connections[i], f"/search?q={i}")
            assert status == 200, status
            counts[i] += 1

        def replace():
            for _ in range(3):
                before = sum(counts)
                wait_until(lambda b=before: sum(counts) > b + 50, 60, "load")
                service.gateway.stop()
                start_given(service, [("web", web)])
            before = sum(counts)
            wait_until(lambda: sum(counts) > before + 50, 60, "load")
        in_threads_during(replace, 8, load)
        assert service.gateway is not gateway and min(counts) > 3, counts


def test_idle_connections_do_not_hold_a_stop(service):
    with tcp_socket() as web:
        gateway = start_given(service, [("web", web)])
        idle = [socket.create_connection(web.getsockname()) for _ in range(3)]
        assert ask(http.client.HTTPConnection(*web.getsockname(), timeout=20))[0] == 200
        begin = time.monotonic()
        gateway.stop()
        assert time.monotonic() - begin < (3 if not SANITIZED else 8)
        for s in idle[:2]:  # one of them may still be in the queue
            s.close()
        idle[2].close()


# --- who may be let in ---

CERTS = ["--tls-cert", "c.pem", "--tls-key", "k.pem"]


@pytest.mark.parametrize("listen,more,words", [
    ("0.0.0.0:0", [], ["authentication", "--tokens", "TLS", "tls:0.0.0.0:0", "--insecure-listen"]),
    ("*:0", [], ["authentication", "TLS"]),
    ("[::]:0", [], ["authentication", "TLS"]),
    (":0", [], ["authentication", "TLS"]),
    ("tls:0.0.0.0:0", CERTS, ["lacks authentication"]),
    ("tls:0.0.0.0:0", CERTS + ["--tls-client-ca", "ca.pem", "--tls-client-auth", "optional"], ["lacks authentication"]),
    ("0.0.0.0:0", CERTS + ["--tls-client-ca", "ca.pem"], ["authentication", "TLS"]),
    ("0.0.0.0:0", ["--insecure-listen"], None),
    ("tls:0.0.0.0:0", CERTS + ["--tls-client-ca", "ca.pem"], None),
    ("tls:0.0.0.0:0", CERTS + ["--insecure-listen"], None),
    ("127.0.0.1:0", [], None),
    ("127.8.8.8:0", [], None),
    ("localhost:0", [], None),
    ("[::1]:0", [], None),
    ("unix:/run/x.sock", [], None),
])
def test_others_need_a_reason(listen, more, words):
    r = subprocess.run([GATEWAY, "--config", "none", "--check", "--listen", listen, *more], capture_output=True,
                       text=True, timeout=20)
    if words is None:
        assert r.returncode == 0, r
    else:
        assert r.returncode == 64 and listen in r.stderr, r
        assert all(w in r.stderr for w in words), r.stderr


def test_given_sockets_are_looked_at_too(service):
    with socket.socket() as s:
        s.bind(("0.0.0.0", 0))
        s.listen()
        r = subprocess.run([sys.executable, os.path.join(os.path.dirname(__file__), "activate.py"),
                            f"web:{s.fileno()}", "--", GATEWAY, "--config", "none", "--socket", service.socket],
                           pass_fds=[s.fileno()], capture_output=True, text=True, timeout=20)
    assert r.returncode != 0 and "lacks authentication" in r.stderr, r


@pytest.mark.parametrize("listen,words", [
    ("unix:relative.sock", ["whole path"]),
    ("unix:/run/x,mode=999", ["mode is octal"]),
    ("unix:/run/x,mode=0444", ["mode is octal"]),
    ("unix:/run/x,group=nobody-is-called-so", ["no group"]),
    ("unix:/run/x,modus=0600", ["neither mode="]),
    ("tls:unix:/run/x", ["TLS is for TCP"]),
    ("tls:127.0.0.1:0", ["--tls-cert", "--tls-key"]),
    ("systemd:web", ["FileDescriptorName="]),
])
def test_wrong_addresses(listen, words):
    r = subprocess.run([GATEWAY, "--config", "none", "--check", "--listen", listen], capture_output=True, text=True,
                       timeout=20)
    assert r.returncode == 64 and all(w in r.stderr for w in words), r
