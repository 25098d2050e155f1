"""TLS of the gateway: handshakes, certificates of clients, rotation, and that the way of bytes is right."""

import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import threading
import time

import pytest
from conftest import (BUILD, SANITIZED, Daemon, Pair, fd_count, in_threads, in_threads_during, need, read_events,
                      rss_kb, wait_until)
from test_auth import Tokens

GATEWAY = os.path.join(BUILD, "errand-gateway")
pytestmark = pytest.mark.skipif(not os.path.exists(os.path.join(BUILD, ".libs", "errand-tls.so")),
                                reason="built without TLS")


class Certificates:
    """A directory of them; names are files without .pem (certificate) and .key."""

    def __init__(self, path):
        self.dir = path

    def path(self, name):
        return os.path.join(self.dir, name)

    def make(self, name, subject, ca=None, san=None, days="2", usage=None):
        argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                self.path(name + ".key"), "-out", self.path(name + ".pem"), "-days", days, "-subj", subject]
        if ca is not None:
            argv += ["-CA", self.path(ca + ".pem"), "-CAkey", self.path(ca + ".key"), "-addext",
                     "basicConstraints=critical,CA:FALSE"]
        if san is not None:
            argv += ["-addext", "subjectAltName=" + san]
        if usage is not None:
            argv += ["-addext", "extendedKeyUsage=" + usage]
        subprocess.run(argv, check=True, capture_output=True)
        os.chmod(self.path(name + ".key"), 0o600)


@pytest.fixture(scope="module")
def certs(tmp_path_factory):
    c = Certificates(str(tmp_path_factory.mktemp("certs")))
    c.make("ca", "/CN=Test CA")
    c.make("other-ca", "/CN=Another CA")
    c.make("server", "/CN=first", "ca", "DNS:localhost,IP:127.0.0.1")
    c.make("second", "/CN=second", "ca", "DNS:second.example,DNS:localhost")
    c.make("alice", "/CN=alice", "ca")
    c.make("mailbox", "/O=Nobody", "ca", "email:bob@example.org")
    c.make("nameless", "/O=Nobody", "ca")
    c.make("mallory", "/CN=alice", "other-ca")
    c.make("for-servers", "/CN=alice", "ca", usage="serverAuth")
    return c


class Tls:
    """A pair whose gateway has a TLS listener beside the plain one."""

    def __init__(self, pair, certs):
        self.pair, self.certs = pair, certs
        self.port = int(re.findall(r"address=tls:127\.0\.0\.1:(\d+) ", pair.gateway.text())[-1])

    def context(self, client=None, ca="ca"):
        c = ssl.create_default_context(cafile=self.certs.path(ca + ".pem"))
        if client is not None:
            c.load_cert_chain(self.certs.path(client + ".pem"), self.certs.path(client + ".key"))
        return c

    def connect(self, context=None, name="localhost", buffer=0):
        s = socket.socket()
        s.settimeout(60)
        if buffer:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        s.connect(("127.0.0.1", self.port))
        return (context or self.context()).wrap_socket(s, server_hostname=name)

    def http(self, context=None):
        return http.client.HTTPSConnection("localhost", self.port, timeout=60, context=context or self.context())

    def get_resumed(self, path, context):
        """GET on a second connection, whose session is that of a first."""
        with self.connect(context) as s:
            s.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            s.recv(1000)
            session = s.session
        raw = socket.create_connection(("127.0.0.1", self.port))
        with context.wrap_socket(raw, server_hostname="localhost", session=session) as s:
            assert s.session_reused
            s.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert s.recv(1000).startswith(b"HTTP/1.1 200")

    def get(self, path, context=None):
        c = self.http(context)
        c.request("GET", path)
        r = c.getresponse()
        body = r.read()
        c.close()
        return r.status, body

    def access(self):
        with open(self.pair.path("access.log"), encoding="utf-8") as f:
            return [json.loads(line) for line in f if line.endswith("\n")]

    def handshakes(self, result):
        m = re.search(rf'tls_handshakes_total{{result="{result}"}} (\d+)', self.pair.get("/metrics").body.decode())
        return int(m[1])


def options(certs, name="server"):
    return ["--listen", "tls:127.0.0.1:0", "--tls-cert", certs.path(name + ".pem"), "--tls-key",
            certs.path(name + ".key")]


@pytest.fixture
def make_tls(make_pair, certs):
    def make(*more, name="server", **kw):
        return Tls(make_pair(gateway_args=options(certs, name) + list(more), **kw), certs)
    return make


@pytest.fixture(scope="module")
def tls(certs):
    p = Pair(gateway_args=options(certs))
    try:
        yield Tls(p.start(), certs)
    finally:
        p.close()


def recv_all(s):
    out = b""
    try:
        while chunk := s.recv(65536):
            out += chunk
    except (ConnectionResetError, ssl.SSLEOFError, ssl.SSLError):
        pass
    return out


# --- handshakes ---

@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_versions_and_ciphers(tls):
    with tls.connect() as s:
        assert s.version() == "TLSv1.3"
    c = tls.context()
    c.maximum_version = ssl.TLSVersion.TLSv1_2
    with tls.connect(c) as s:
        assert s.version() == "TLSv1.2" and s.cipher()[0].startswith("ECDHE-") and s.compression() is None
        s.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert recv_all(s).startswith(b"HTTP/1.1 200 OK")
    c.set_ciphers("ECDHE-ECDSA-AES256-SHA384:AES128-SHA:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError):
        tls.connect(c)
    c = tls.context()
    c.set_ciphers("ALL:@SECLEVEL=0")
    c.minimum_version, c.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError):
        tls.connect(c)


def test_alpn(tls):
    c = tls.context()
    c.set_alpn_protocols(["h2", "http/1.1"])
    with tls.connect(c) as s:
        assert s.selected_alpn_protocol() == "http/1.1"
    c.set_alpn_protocols(["h2"])
    with pytest.raises(ssl.SSLError):
        tls.connect(c)


def test_renegotiation_is_off(tls):
    r = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{tls.port}", "-tls1_2", "-CAfile",
                        tls.certs.path("ca.pem")], input="R\n", capture_output=True, text=True, timeout=30)
    assert "no renegotiation" in r.stdout + r.stderr, r


def test_a_client_that_does_not_trust_us(tls):
    before = tls.handshakes("failed")
    with pytest.raises(ssl.SSLCertVerificationError):
        tls.connect(tls.context(ca="other-ca"))
    wait_until(lambda: tls.handshakes("failed") == before + 1, what="counted")


def test_curl(tls):
    need(os.path.exists("/usr/bin/curl"), "curl")
    r = subprocess.run(["curl", "-sS", "-m", "30", "--cacert", tls.certs.path("ca.pem"), "-d", '{"text_value":"x"}',
                        "-H", "Content-Type: application/json", f"https://localhost:{tls.port}/test/echo",
                        "--next", "-sS", "--cacert", tls.certs.path("ca.pem"), f"https://localhost:{tls.port}/livez"],
                       capture_output=True, text=True, timeout=60)
    assert r.returncode == 0 and '"text_value":"x"' in r.stdout and '"status":"ok"' in r.stdout, r


def test_resumption(tls):
    tls.get_resumed("/livez", tls.context())


# --- certificates of clients ---

def status_with(tls, client):
    """200, or None when the handshake failed (of TLS 1.3 that is seen by reading)."""
    try:
        return tls.get("/livez", tls.context(client))[0]
    except (ssl.SSLError, ConnectionError, http.client.RemoteDisconnected):
        return None


def test_client_certificates_required(make_tls, certs):
    tls = make_tls("--tls-client-ca", certs.path("ca.pem"))
    for client, status in ((None, None), ("mallory", None), ("nameless", None), ("for-servers", None),
                           ("alice", 200), ("mailbox", 200)):
        assert status_with(tls, client) == status, client
    assert [a["cert"] for a in tls.access() if a["path"] == "/livez" and "cert" in a] == ["alice", "bob@example.org"]
    tls.pair.gateway.wait_line("TLS handshake failed")
    assert tls.handshakes("done") == 2 and tls.handshakes("failed") == 4


def test_client_certificates_optional(make_tls, certs):
    tls = make_tls("--tls-client-ca", certs.path("ca.pem"), "--tls-client-auth", "optional")
    assert status_with(tls, None) == 200
    assert status_with(tls, "alice") == 200
    assert status_with(tls, "mallory") is None
    assert [a.get("cert") for a in tls.access() if a["path"] == "/livez"] == [None, "alice"]
    # a resumed session has the certificate of its first handshake
    tls.get_resumed("/livez?resumed", tls.context("alice"))
    assert tls.access()[-1]["cert"] == "alice"


def scoped(tls, client, token=None):
    """What a client with this certificate is answered: to read, to call, to operate."""
    out = []
    for verb, path in (("GET", "/v1/tasks"), ("GET", "/items/1"), ("POST", "/v1/queues/default:pause")):
        c = tls.http(tls.context(client))
        c.request(verb, path, b"{}" if verb == "POST" else None, {
            "Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})})
        r = c.getresponse()
        r.read()
        out.append(r.status)
        c.close()
    return out


def test_scopes_of_certificates(make_tls, certs, tmp_path):
    """--cert: allowed, refused, unknown; the name is all of it, and a token counts before it."""
    for name, subject in (("ops", "/CN=ops"), ("upper", "/CN=Alice"), ("longer", "/CN=alice.example"), ("two", "/CN=other/CN=alice"),
                          ("quotes", '/CN=x" identity="root=y')):
        if not os.path.exists(certs.path(name + ".pem")):
            certs.make(name, subject, "ca")
    tokens = Tokens(str(tmp_path / "tokens"), reader="read")
    tls = make_tls("--tls-client-ca", certs.path("ca.pem"), "--tls-client-auth", "optional", "--tokens", tokens.path,
                   "--cert", "alice=call:article.v1.Article", "--cert", "bob@example.org=read", "--cert", "ops=operate",
                   "--cert", 'x" identity="root=y=operate')
    for client, statuses in (("alice", [403, 200, 403]), ("mailbox", [200, 403, 403]), ("ops", [200, 200, 200]),
                             ("upper", [401] * 3), ("longer", [401] * 3), ("two", [401] * 3), ("quotes", [200] * 3), ("nameless", None),
                             (None, [401] * 3)):
        if statuses is not None:
            assert scoped(tls, client) == statuses, client
    assert scoped(tls, "alice", tokens.text["reader"]) == [200, 403, 403]
    assert scoped(tls, "ops", "erd_" + "A" * 43) == [401] * 3
    assert status_with(tls, "mallory") is None
    assert {a["client"] for a in tls.access() if a.get("client")} >= {"cert:alice", "cert:ops", "token:reader"}
    tls.pair.service.wait_line('operator action.*identity="?cert:ops"? method=errand.v1.Queues/PauseQueue')
    tls.pair.service.wait_line(r'operator action.*identity="cert:x\\" identity=\\"root=y" method=')  # as a value, whatever it is
    assert 'cert:x" identity="root=y' in {a.get("client") for a in tls.access()}


def test_a_reload_opens_nothing(certs, tmp_path):
    """The tokens are gone from the configuration, and so is the address that wanted them; but that one still listens."""
    tokens, conf = Tokens(str(tmp_path / "tokens"), one="read"), tmp_path / "errand.conf"
    rest = f"tls-cert = {certs.path('server.pem')}\ntls-key = {certs.path('server.key')}\n"
    pair = Pair()
    gateway = None

    def configure(*lines):
        conf.write_text("\n".join(["[gateway]", rest, *lines, ""]), encoding="utf-8")
        if gateway is not None:
            gateway.popen.send_signal(signal.SIGHUP)
    try:
        pair.start_service()
        configure("listen = tls:0.0.0.0:0", f"tokens = {tokens.path}")
        gateway = Daemon([GATEWAY, "--config", str(conf), "--socket", pair.socket], str(tmp_path / "log"), pair.env)

        def status():
            c = http.client.HTTPSConnection("localhost", int(gateway.ready), timeout=60,
                                            context=ssl.create_default_context(cafile=certs.path("ca.pem")))
            c.request("GET", "/v1/server")
            try:
                return c.getresponse().status
            finally:
                c.close()
        assert status() == 401
        configure("listen = tls:127.0.0.1:0")
        gateway.wait_line("cannot be used before a restart.*tls:0.0.0.0:0.*lacks authentication")
        assert status() == 401
        configure("listen = tls:0.0.0.0:0", f"tls-client-ca = {certs.path('ca.pem')}")  # who has none is connected already
        wait_until(lambda: gateway.text().count("cannot be used before a restart") == 2, what="the second refusal")
        assert status() == 401
        configure("listen = tls:0.0.0.0:0", f"tokens = {tmp_path}/away")
        gateway.wait_line("the configuration cannot be used, the former one stays.*away: No such file")
        assert status() == 401
        configure("listen = tls:127.0.0.1:0", f"tokens = {tokens.path}", "anonymous = read")
        wait_until(lambda: status() == 200, what="one that can be used")
    finally:
        if gateway is not None:
            gateway.stop()
        pair.close()


# --- rotation ---

def subject_of(tls, name="localhost"):
    with tls.connect(name=name) as s:
        return dict(x[0] for x in s.getpeercert()["subject"])["commonName"]


def copy(certs, name, to):
    for end in (".pem", ".key"):
        with open(certs.path(name + end), "rb") as f:
            data = f.read()
        with open(certs.path(to + end), "wb") as f:
            f.write(data)
    os.chmod(certs.path(to + ".key"), 0o600)


def reload(tls, pattern, n):
    tls.pair.gateway.popen.send_signal(signal.SIGHUP)
    return wait_until(lambda: len(re.findall(pattern, tls.pair.gateway.text())) >= n, what=pattern)


def test_rotation(make_tls, certs):
    """A stream goes on while the certificate is replaced; a broken pair leaves the one there is."""
    copy(certs, "server", "live")
    tls = make_tls(name="live")
    old = tls.http()
    old.request("GET", "/test/stream?count=100000&interval_ms=20", headers={"Accept": "text/event-stream"})
    stream = read_events(old.getresponse())
    assert next(stream).json()["index"] == 0
    assert subject_of(tls) == "first"
    copy(certs, "second", "live")
    reload(tls, "TLS certificates loaded", 2)
    assert subject_of(tls) == "second"
    at = next(stream).json()["index"]
    copy(certs, "server", "live")
    with open(certs.path("live.key"), "w", encoding="utf-8") as f:
        f.write("-----BEGIN PRIVATE KEY-----\nrubbish\n-----END PRIVATE KEY-----\n")
    reload(tls, "TLS certificates not changed", 1)
    assert subject_of(tls) == "second"
    with open(certs.path("live.key"), "wb") as f, open(certs.path("alice.key"), "rb") as wrong:
        f.write(wrong.read())
    reload(tls, "TLS certificates not changed", 2)
    assert "does not belong to" in tls.pair.gateway.text()
    assert subject_of(tls) == "second"
    copy(certs, "server", "live")
    reload(tls, "TLS certificates loaded", 3)
    assert subject_of(tls) == "first"
    assert next(e for e in stream if e.json()["index"] > at + 10)
    old.close()


def test_rotation_under_load(make_tls, certs):
    """Handshakes all the while: each gets one certificate or the other, none fails."""
    copy(certs, "server", "busy")
    tls = make_tls(name="busy")
    seen = set()

    def handshakes(i):
        assert tls.get(f"/livez?{i}")[0] == 200
        seen.add(subject_of(tls))

    def rotate():
        for n in range(6):
            copy(certs, ("second", "server")[n % 2], "busy")
            reload(tls, "TLS certificates loaded", n + 2)
    in_threads_during(rotate, 4, handshakes)
    assert seen <= {"first", "second"} and seen


def test_names(make_tls, certs):
    tls = make_tls("--tls-cert", certs.path("second.pem"), "--tls-key", certs.path("second.key"))
    assert subject_of(tls, "localhost") == "first"
    assert subject_of(tls, "second.example") == "second"
    c = tls.context()
    c.check_hostname = False
    with tls.connect(c, name="unknown.example") as s:
        assert dict(x[0] for x in s.getpeercert()["subject"])["commonName"] == "first"


# --- the way of bytes ---

def test_large_bodies_both_ways(tls):
    def one(i):
        c = tls.http()
        for n in range(3):
            text = chr(97 + (i + n) % 26) * (3_900_000 - i)
            c.request("POST", "/test/echo", json.dumps({"text_value": text}), {"Content-Type": "application/json"})
            r = c.getresponse()
            assert r.status == 200 and json.loads(r.read())["text_value"] == text
        c.close()
    in_threads(4, one)


def test_small_writes_and_chunks(tls):
    """A request byte by byte, and a chunked one."""
    with tls.connect() as s:
        for b in b"POST /test/echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}":
            s.send(bytes([b]))
        assert s.recv(1000).startswith(b"HTTP/1.1 200")
        s.sendall(b"POST /test/echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                  b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n")
        for _ in range(2000):
            s.send(b"1\r\n \r\n")
        s.sendall(b"2\r\n{}\r\n0\r\n\r\n")
        assert recv_all(s).startswith(b"HTTP/1.1 200")


def test_expect_continue(tls):
    with tls.connect() as s:
        s.sendall(b"POST /test/echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
                  b"Expect: 100-continue\r\nConnection: close\r\n\r\n")
        assert s.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        s.sendall(b"{}")
        assert recv_all(s).startswith(b"HTTP/1.1 200")


def test_pipelining(tls):
    with tls.connect() as s:
        threading.Thread(target=s.sendall, args=(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n" * 2000 +
                                                 b"GET /livez HTTP/1.0\r\n\r\n",)).start()
        assert recv_all(s).count(b'{"status":"ok"}') == 2001


def test_the_guard_sees_what_is_inside(tls):
    for bad in (b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length : 3\r\n\r\n",
                b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"):
        with tls.connect() as s:
            s.sendall(bad)
            got = recv_all(s)
            assert got.startswith(b"HTTP/1.1 400 ") and b"Connection: close" in got, got


def test_half_close(tls):
    """The client's end of TCP, or of TLS, comes before the answer: it is sent all the same."""
    slow = (b"POST /test/wait HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n"
            b'{"ms":1200}')
    with tls.connect() as s:
        s.sendall(slow)
        socket.socket.shutdown(s, socket.SHUT_WR)
        assert recv_all(s).startswith(b"HTTP/1.1 200")
    inside, outside = ssl.MemoryBIO(), ssl.MemoryBIO()
    o = tls.context().wrap_bio(inside, outside, server_hostname="localhost")
    with socket.create_connection(("127.0.0.1", tls.port)) as s:
        def step(fn, *args):
            while True:
                try:
                    return fn(*args)
                except ssl.SSLWantReadError:
                    s.sendall(outside.read())
                    data = s.recv(65536)
                    inside.write(data) if data else inside.write_eof()
        step(o.do_handshake)
        o.write(slow)
        try:
            o.unwrap()
        except ssl.SSLWantReadError:
            pass
        s.sendall(outside.read())
        while chunk := s.recv(65536):
            inside.write(chunk)
        got = b""
        with pytest.raises(ssl.SSLZeroReturnError):
            while True:
                got += o.read(65536)
        assert got.startswith(b"HTTP/1.1 200"), got


def test_a_client_that_has_left_is_noticed(make_tls):
    """Its end comes with nobody behind it: the call is cancelled, the connection is gone."""
    tls = make_tls()
    fds = fd_count(tls.pair.gateway.pid)
    s = tls.connect()
    s.sendall(b"GET /test/stream?count=100000&interval_ms=50 HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n")
    assert s.recv(1000).startswith(b"HTTP/1.1 200")
    s.close()
    wait_until(lambda: fd_count(tls.pair.gateway.pid) <= fds, what="closed")
    wait_until(lambda: os.path.exists(tls.pair.path("cancelled.log")) and
               "stream" in open(tls.pair.path("cancelled.log"), encoding="utf-8").read(), what="cancel")
    s = tls.connect()
    s.sendall(b"POST /test/wait HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n"
              b'{"ms":30000}')
    wait_until(lambda: "calls_in_flight 1" in tls.pair.get("/metrics").body.decode(), what="call")
    s.close()
    wait_until(lambda: "calls_in_flight 0" in tls.pair.get("/metrics").body.decode(), 10, what="cancelled")


def test_events(tls):
    c = tls.http()
    c.request("GET", "/test/stream?count=200&size=3000", headers={"Accept": "text/event-stream"})
    events = list(read_events(c.getresponse()))
    assert [e.json()["index"] for e in events[:-1]] == list(range(200)) and events[-1].event == "end"
    c.close()


def test_readers_that_stop_are_cut(make_tls):
    """FAULTS 49 and 53 over TLS: memory is bounded, the handlers are told, nothing is left."""
    tls = make_tls("--write-timeout", "2s", service_args=["--sync-threads", "8"])
    pair = tls.pair
    fds, before = fd_count(pair.gateway.pid), rss_kb(pair.gateway.pid)
    socks = []
    for accept in ("text/event-stream", "application/x-ndjson", "application/json", "text/event-stream"):
        s = tls.connect(buffer=4096)
        s.sendall(b"GET /test/stream?count=1600&size=65536 HTTP/1.1\r\nHost: x\r\nAccept: %s\r\n\r\n" % accept.encode())
        socks.append(s)
    body = json.dumps({"text_value": "x" * 3_900_000}).encode()
    for _ in range(4):
        s = tls.connect(buffer=4096)
        s.sendall(b"POST /test/echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                  b"Content-Length: %d\r\n\r\n" % len(body) + body)
        socks.append(s)
    for _ in range(20):
        assert tls.get("/livez")[0] == 200
    assert rss_kb(pair.gateway.pid) - before < 100000 * (3 if SANITIZED else 1)
    wait_until(lambda: fd_count(pair.gateway.pid) <= fds, 20, what="they are cut")
    wait_until(lambda: open(pair.path("cancelled.log"), encoding="utf-8").read().count("stream") == 4, what="told")
    for s in socks:
        s.close()


def test_a_slow_reader_gets_all(make_tls):
    """One that takes a little now and then is not cut, and nothing of its answer is lost."""
    tls = make_tls("--write-timeout", "1s")
    text = "".join(str(i) for i in range(300_000))
    body = json.dumps({"text_value": text}).encode()
    with tls.connect(buffer=4096) as s:
        s.sendall(b"POST /test/echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\n"
                  b"Content-Length: %d\r\n\r\n" % len(body) + body)
        got, end = b"", time.monotonic() + 2.5
        while time.monotonic() < end:
            got += s.recv(20_000)
            time.sleep(0.05)
        got += recv_all(s)
    assert json.loads(got.partition(b"\r\n\r\n")[2])["text_value"] == text


# --- rubbish ---

def test_what_is_no_tls_is_closed(make_tls):
    tls = make_tls("--head-timeout", "700ms")
    fds = fd_count(tls.pair.gateway.pid)
    for data in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", os.urandom(5000), b"\x16\x03\x01\xff\xff" + b"x" * 70000,
                 b"\x80\x2e\x01\x03\x01", b"\x00" * 100):
        with socket.create_connection(("127.0.0.1", tls.port), timeout=10) as s:
            try:
                s.sendall(data)
                while s.recv(65536):
                    pass
            except ConnectionError:
                pass
    with socket.create_connection(("127.0.0.1", tls.port), timeout=10) as s:
        assert s.recv(1) == b""  # says nothing: the handshake has its time
    tls.pair.gateway.wait_line("TLS handshake failed.*(use https|took too long)")
    wait_until(lambda: fd_count(tls.pair.gateway.pid) <= fds, what="nothing is left")
    assert tls.get("/livez")[0] == 200


def test_handshakes_that_are_cut(make_tls):
    """Two hundred that end somewhere in the middle, by FIN or RST; others are served meanwhile."""
    tls = make_tls()
    fds = fd_count(tls.pair.gateway.pid)
    inside, outside = ssl.MemoryBIO(), ssl.MemoryBIO()
    o = tls.context().wrap_bio(inside, outside, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        o.do_handshake()
    hello = outside.read()
    for i in range(200):
        with socket.create_connection(("127.0.0.1", tls.port)) as s:
            s.sendall(hello[:len(hello) * i // 180])
            if i % 3 == 1:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            if i > 180:
                s.recv(i - 180)
        if i % 20 == 0:
            assert tls.get("/livez")[0] == 200
    wait_until(lambda: fd_count(tls.pair.gateway.pid) <= fds, what="nothing is left")
    assert tls.handshakes("failed") == 200
    assert tls.pair.gateway.text().count("TLS handshake failed") < 20  # a line a second


# --- stopping ---

def test_a_stop_finishes_what_is_under_way(make_tls):
    tls = make_tls()
    c, big = tls.http(), tls.connect(buffer=4096)
    c.request("POST", "/test/wait", b'{"ms": 700}', {"Content-Type": "application/json"})
    body = json.dumps({"text_value": "x" * 2_000_000}).encode()
    big.sendall(b"POST /test/echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" %
                len(body) + body)
    assert big.recv(1000).startswith(b"HTTP/1.1 200")
    wait_until(lambda: "calls_in_flight 1" in tls.pair.get("/metrics").body.decode(), what="call")
    os.kill(tls.pair.gateway.pid, signal.SIGTERM)
    assert c.getresponse().status == 200
    assert len(recv_all(big)) > 1_900_000
    assert tls.pair.gateway.popen.wait(20) == 0
    tls.pair.gateway.check_reports()


def test_idle_clients_do_not_hold_a_stop(make_tls):
    """One in its handshake, one between requests, neither of which closes."""
    tls = make_tls()
    with socket.create_connection(("127.0.0.1", tls.port)) as half, tls.connect() as idle:
        idle.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert idle.recv(1000).startswith(b"HTTP/1.1 200")
        begin = time.monotonic()
        tls.pair.gateway.stop()
        assert time.monotonic() - begin < (2.5 if not SANITIZED else 8)
        assert half.recv(1) == b"" and recv_all(idle) == b""


# --- what cannot be used ---

def test_files_that_cannot_be_used(certs, tmp_path):
    def run(cert, key, *more):
        r = subprocess.run([GATEWAY, "--config", "none", "--socket", "/nonexistent/s", "--listen", "tls:127.0.0.1:0",
                            "--tls-cert", str(cert), "--tls-key", str(key), *more], capture_output=True, text=True,
                           timeout=20)
        assert r.returncode in (64, 78), r
        return r.stderr
    cert, key = certs.path("server.pem"), certs.path("server.key")
    open_key, locked, garbage = tmp_path / "open.key", tmp_path / "locked.key", tmp_path / "garbage"
    open_key.write_text(open(key, encoding="utf-8").read())
    open_key.chmod(0o644)
    garbage.write_text("no PEM")
    garbage.chmod(0o600)
    subprocess.run(["openssl", "pkey", "-in", key, "-aes256", "-passout", "pass:secret", "-out", str(locked)],
                   check=True, capture_output=True)
    locked.chmod(0o600)
    assert "chmod 600" in run(cert, open_key) and str(open_key) in run(cert, open_key)
    assert "passphrase" in run(cert, locked)
    assert "No such file" in run(tmp_path / "none", key)
    assert "not a regular file" in run(tmp_path, key)
    assert "no certificate in PEM form" in run(garbage, key)
    assert "no key in PEM form" in run(cert, garbage)
    assert "does not belong to" in run(cert, certs.path("alice.key"))
    assert "no certificates in PEM form" in run(cert, key, "--tls-client-ca", str(garbage))
    assert "same order" in run(cert, key, "--tls-cert", cert)
    assert "off, optional or require" in run(cert, key, "--tls-client-auth", "maybe")
    assert "--tls-client-ca" in run(cert, key, "--tls-client-auth", "require")


def test_without_tls_there_is_no_libssl(make_pair):
    pair = make_pair()
    with open(f"/proc/{pair.gateway.pid}/maps", encoding="utf-8") as f:
        maps = f.read()
    assert "libevent" in maps
    assert not any(word in maps for word in ("libssl", "libcrypto", "errand-tls"))


def test_the_module_is_loaded_when_asked_for(tls):
    with open(f"/proc/{tls.pair.gateway.pid}/maps", encoding="utf-8") as f:
        assert "errand-tls.so" in f.read()
