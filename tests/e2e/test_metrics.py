"""/metrics: what a Prometheus parser reads in it, and that it counts."""

import socket
from concurrent.futures import ThreadPoolExecutor

from conftest import wait_until
from scrape import read_page

G = "errand_gateway_"


def scrape(pair):
    """{(name, labels): value} of one scrape, and the types of the families."""
    r = pair.get("/metrics")
    assert r.status == 200, r
    assert r.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert r.headers["Cache-Control"] == "no-store"
    return read_page(r.body.decode())


def value(samples, name, **labels):
    return samples.get((name, tuple(sorted(labels.items()))), 0)


def test_types_and_process(pair):
    samples, types = scrape(pair)
    assert types[G + "connections_open"] == "gauge"
    assert types[G + "requests"] == "counter"
    assert types[G + "request_duration_seconds"] == "histogram"
    assert value(samples, G + "upstream_up") == value(samples, G + "threads") >= 1
    assert value(samples, G + "schema_generation") >= 1
    assert value(samples, "process_resident_memory_bytes") > 1 << 20
    assert value(samples, "process_open_fds") > 5
    assert [k for k in samples if k[0] == G + "build_info"]
    buckets = sorted(((k, v) for k, v in samples.items() if k[0].endswith("_bucket")),
                     key=lambda kv: (kv[0][0], float(dict(kv[0][1])["le"].replace("+Inf", "inf"))))
    for (before, less), (after, more) in zip(buckets, buckets[1:]):
        assert before[0] != after[0] or more >= less, after
    assert value(samples, G + "request_duration_seconds_bucket", le="+Inf") == \
        value(samples, G + "request_duration_seconds_count")


def test_requests_and_calls_are_counted(pair):
    def look():
        s, _ = scrape(pair)
        return (value(s, G + "requests_total", method="POST", **{"class": "2xx"}),
                value(s, G + "requests_total", method="GET", **{"class": "4xx"}),
                value(s, G + "calls_total", method="errandtest.v1.Test/Echo", code="OK"),
                value(s, G + "calls_total", method="errandtest.v1.Test/Fail", code="NOT_FOUND"),
                value(s, G + "sent_bytes_total"), value(s, G + "received_bytes_total"))
    before = look()
    for _ in range(5):
        assert pair.post("/test/echo", {"text_value": "a" * 1000}).status == 200
    assert pair.get("/no/such/path").status == 404
    assert pair.post("/test/fail", {"code": 5}).status == 404
    after = look()
    delta = [b - a for a, b in zip(before, after)]
    assert delta[:4] == [5, 1, 5, 1], delta
    assert delta[4] > 5000 and delta[5] > 5000, delta


def test_refusals_and_timeouts(make_pair):
    pair = make_pair(gateway_args=["--head-timeout", "200ms", "--idle-timeout", "300ms",
                                   "--body-timeout", "200ms", "--max-body", "1K"])
    for raw in (b"B" * 21 + b" / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"GARBAGE\r\n", b"GET / HT",
                b"POST /test/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n{",
                b"POST /test/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000\r\n\r\n", b""):
        pair.raw(raw)

    def counted():
        s, _ = scrape(pair)
        refused = {c: value(s, G + "requests_refused_total", status=c) for c in ("501", "400", "413", "408")}
        ended = {k: value(s, G + "timeouts_total", kind=k) for k in ("head", "body", "idle")}
        return refused == {"501": 1, "400": 1, "413": 1, "408": 2} and \
            ended["head"] == 1 and ended["body"] == 1 and ended["idle"] >= 1
    wait_until(counted, what="refusals and timeouts in /metrics")


def test_streams_and_connections(pair):
    idle = [socket.create_connection(("127.0.0.1", pair.port)) for _ in range(20)]
    wait_until(lambda: value(scrape(pair)[0], G + "connections_open") >= 20)
    for s in idle:
        s.close()
    wait_until(lambda: value(scrape(pair)[0], G + "connections_open") < 20)
    before = value(scrape(pair)[0], G + "streams_total", end="service")
    assert pair.get("/test/stream?count=3").status == 200
    after = scrape(pair)[0]
    assert value(after, G + "streams_total", end="service") == before + 1
    assert value(after, G + "streams_open") == 0
    assert value(after, G + "calls_in_flight") == 0


def test_only_get(pair):
    assert pair.request("HEAD", "/metrics").body == b""
    r = pair.post("/metrics", {})
    assert r.status == 405 and r.headers["Allow"] == "GET, HEAD", r


def test_routes_denials_and_the_way_to_the_service(make_pair, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("# none\n")
    tokens.chmod(0o600)
    pair = make_pair(gateway_args=["--tokens", str(tokens), "--anonymous", "read,call"])
    for _ in range(3):
        assert pair.get("/search?q=x").status == 200
    assert pair.post("/v1/queues/default:pause").status == 401
    assert pair.request("GET", "/search?q=x", None, {"Authorization": "Bearer nonsense"}).status == 401
    assert pair.get("/v1/tasks/01a20673-270b-7c06-97ba-1e8a160d8a12").status == 404
    assert pair.get("/no/such/path").status == 404

    def counted():
        samples, types = scrape(pair)
        return value(samples, G + "route_requests_total", route="/v1/tasks/{id}", **{"class": "4xx"}) == 1 and (samples, types)
    samples, types = wait_until(counted, what="the answers are counted")
    assert types[G + "route_requests"] == "counter" and types[G + "upstream_duration_seconds"] == "histogram"
    assert value(samples, G + "route_requests_total", route="/search", **{"class": "2xx"}) == 3
    assert value(samples, G + "route_requests_total", route="/v1/queues/{name}:pause", **{"class": "4xx"}) == 1
    assert value(samples, G + "requests_denied_total", status="401") == 2
    assert value(samples, G + "upstream_duration_seconds_count") == 4
    assert value(samples, G + "upstream_duration_seconds_bucket", le="+Inf") == 4
    assert not [k for k in samples if "no/such" in str(k)], "paths that clients make up are no series"


def test_requests_that_wait_for_the_service(make_pair):
    pair = make_pair(gateway_args=["--reconnect-wait", "20s"])
    assert value(scrape(pair)[0], G + "requests_parked") == 0
    pair.service.stop()
    with ThreadPoolExecutor() as pool:
        answers = [pool.submit(pair.get, "/search?q=x") for _ in range(3)]
        wait_until(lambda: value(scrape(pair)[0], G + "requests_parked") == 3, what="three wait")
        pair.start_service()
        assert [a.result().status for a in answers] == [200] * 3
    assert value(scrape(pair)[0], G + "requests_parked") == 0
