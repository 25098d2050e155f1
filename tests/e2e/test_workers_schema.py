"""Methods that come while both daemons run: what a worker brings is there over HTTP within a second,
without a reload, and nobody who was at work notices. Methods for the socket only stay there."""

import json
import os
import subprocess
import threading
import time

import pytest
from conftest import BUILD, TOP, wait_until
from rawworker import Client, Failed, Worker

PROTO = """
syntax = "proto3";
package late.v1;
import "errand/v1/options.proto";
import "google/api/annotations.proto";
service Late {
  rpc Open(Thing) returns (Thing) {
    option (google.api.http) = {post: "/late/VERSION" body: "*"};
    option (errand.v1.method) = {run: SYNC};
  }
  rpc Hidden(Thing) returns (Thing) {
    option (google.api.http) = {post: "/late-hidden" body: "*"};
    option (errand.v1.method) = {run: SYNC local: true};
  }
}
message Thing {
  string name = 1;
}
"""

def descriptor_set(d, version):
    (d / "late.proto").write_text(PROTO.replace("VERSION", version))
    subprocess.run(["protoc", "-I", f"{TOP}/proto", "-I", d, "--include_imports",
                    f"--descriptor_set_out={d}/set", "late.proto"], check=True)
    return (d / "set").read_bytes()


def serve(w):
    """Answers each call with its input, until the stream ends."""
    def run():
        try:
            while (order := w.order(3600)) is not None:
                if order.WhichOneof("order") == "work":
                    w.complete(order.work, order.work.input)
        except Failed:
            pass
    threading.Thread(target=run, daemon=True).start()
    return w


def post_all(pair, path):
    """The answer of each of the gateway's threads, more or less."""
    return [pair.post(path, {"name": "x"}).status for _ in range(12)]


def test_a_worker_s_methods_come_and_go(make_pair, tmp_path):
    pair = make_pair(gateway_args=["--threads", "4"])
    before = pair.get("/openapi.json")
    stop, seen = threading.Event(), []

    def load():
        while not stop.is_set():
            seen.append(pair.post("/test/echo", {"text_value": "n"}).status)
    loader = threading.Thread(target=load)
    loader.start()
    try:
        assert pair.post("/late/one", {"name": "x"}).status == 404
        w = serve(Worker(pair.socket, name="late", services=["late.v1.Late"],
                         descriptor_set=descriptor_set(tmp_path, "one")))
        begin = time.monotonic()
        wait_until(lambda: post_all(pair, "/late/one") == [200] * 12, what="the method")
        assert time.monotonic() - begin < 3, "a second, and what a loaded machine takes"
        doc = pair.get("/openapi.json")
        assert doc.headers["ETag"] != before.headers["ETag"]
        assert "/late/one" in doc.json()["paths"]
        assert json.loads(pair.post("/late/one", {"name": "x"}).body) == {"name": "x"}
        # another content of the same name
        w2 = serve(Worker(pair.socket, name="late", services=["late.v1.Late"],
                          descriptor_set=descriptor_set(tmp_path, "two")))
        wait_until(lambda: post_all(pair, "/late/two") == [200] * 12, what="the other method")
        assert pair.post("/late/one", {"name": "x"}).status == 404
        w.close()
        w2.close()
        wait_until(lambda: pair.request("DELETE", "/v1/workers/late").status == 204, what="forgotten")
        wait_until(lambda: post_all(pair, "/late/two") == [404] * 12, what="no method")
        assert pair.get("/openapi.json").headers["ETag"] == before.headers["ETag"]
    finally:
        stop.set()
        loader.join()
    assert seen and set(seen) == {200}, [s for s in seen if s != 200]


def test_a_changed_service_after_a_restart(make_pair, tmp_path):
    """What is changed while the gateway has no connection is there with the next."""
    pair = make_pair()
    w = serve(Worker(pair.socket, name="late", services=["late.v1.Late"],
                     descriptor_set=descriptor_set(tmp_path, "one")))
    wait_until(lambda: pair.post("/late/one", {"name": "x"}).status == 200, what="the method")
    w.close()
    pair.service.stop()
    pair.start_service()
    w = serve(Worker(pair.socket, name="late", services=["late.v1.Late"],
                     descriptor_set=descriptor_set(tmp_path, "two")))
    wait_until(lambda: post_all(pair, "/late/two") == [200] * 12, what="the new method")
    w.close()


def test_methods_for_the_socket_only(make_pair, tmp_path):
    pair = make_pair()
    w = serve(Worker(pair.socket, name="late", services=["late.v1.Late"],
                     descriptor_set=descriptor_set(tmp_path, "one")))
    wait_until(lambda: pair.post("/late/one", {"name": "x"}).status == 200, what="the method")
    assert pair.post("/late-hidden", {"name": "x"}).status == 404
    assert pair.post("/late.v1.Late/Hidden", {"name": "x"}).status == 404
    assert pair.post("/late.v1.Late/Hidden", {"name": "x"}, headers={"Connect-Protocol-Version": "1"}).status == 404
    assert pair.post("/errand.v1.Workers/RegisterWorker", {"name": "x"}).status == 404
    assert "idden" not in pair.get("/openapi.json").body.decode()
    client = Client(pair.socket)
    assert client.call("late.v1.Late/Hidden", b"\n\x01y") == b"\n\x01y"
    client.close()
    argv = [os.path.join(BUILD, "errand"), "routes", "--schema", pair.socket]
    out = subprocess.run(argv, capture_output=True, text=True, check=True)
    line = next(l for l in out.stdout.splitlines() if "late.v1.Late/Hidden" in l)
    assert "socket only" in line and "late-hidden" not in out.stdout
    out = subprocess.run(argv + ["--json"], capture_output=True, text=True, check=True)
    rows = [json.loads(l) for l in out.stdout.splitlines()]
    assert [r for r in rows if r["method"] == "late.v1.Late/Hidden"] == [
        {"method": "late.v1.Late/Hidden", "verb": "", "path": "", "body": "", "response_body": "", "streaming": "",
         "run": "SYNC", "local": True}]
    w.close()


@pytest.mark.parametrize("changes", [3])
def test_who_watches_is_told(make_pair, tmp_path, changes):
    pair = make_pair()
    c = Client(pair.socket)
    watch = c.start("errand.v1.Schema/Watch", streams=True)
    digests = [watch.get()]
    assert len(digests[0]) == 34 and int(pair.get("/v1/server").json().get("calls", 0)) <= 1
    w = Worker(pair.socket, name="late", services=["late.v1.Late"], descriptor_set=descriptor_set(tmp_path, "v0"))
    digests.append(watch.get())
    for i in range(1, changes):
        Worker(pair.socket, name="late", services=["late.v1.Late"],
               descriptor_set=descriptor_set(tmp_path, f"v{i}")).close()
        digests.append(watch.get())
    assert len(set(digests)) == changes + 1
    begin = time.monotonic()
    pair.service.stop()
    assert time.monotonic() - begin < 10, "who watches does not hold the service up"
    with pytest.raises(Failed):
        watch.get()
    w.close()
    c.close()
    pair.start_service()


def test_a_handler_names_only_queues_that_workers_take_from(make_pair, tmp_path):
    """errand_enqueue on the loop and on a thread, while the queues come and go: what none takes from
    is refused at once, as over HTTP, and does not wait for ever."""
    (tmp_path / "far.proto").write_text("""
        syntax = "proto3";
        package far.v1;
        import "testmod.proto";
        service Far { rpc Touch(errandtest.v1.TouchRequest) returns (errandtest.v1.Reply); }
    """)
    subprocess.run(["protoc", f"-I{TOP}/proto", f"-I{TOP}/tests/e2e", "-I/usr/include", f"-I{tmp_path}",
                    "--include_imports", f"--descriptor_set_out={tmp_path}/far", "far.proto"], check=True)
    pair = make_pair()
    brought = (tmp_path / "far").read_bytes()
    serve(Worker(pair.socket, "far", services=["far.v1.Far"], descriptor_set=brought, queues=["far.own"]))
    body = {"names": ["x"], "method": "far.v1.Far/Touch"}
    stop = threading.Event()

    def come_and_go():
        n = 0
        while not stop.is_set():
            n += 1
            Worker(pair.socket, f"other{n % 5}", queues=[f"q{n % 7}.{i}" for i in range(20)]).close()
    others = threading.Thread(target=come_and_go)
    others.start()
    try:
        for path in ("/test/enqueue", "/test/sync-enqueue") * 20:
            r = pair.post(path, {**body, "queue": "nobody"})
            assert r.status == 200 and r.json()["code"] == -3, r
            for queue in ("far.own", "far.v1.Far", ""):
                made = pair.post(path, {**body, "queue": queue}).json()
                assert made["code"] == 0 and len(made["ids"]) == 1, made
        assert pair.wait_task(made["ids"][0])["state"] == "SUCCEEDED"
    finally:
        stop.set()
        others.join()
    assert not pair.get("/v1/tasks?queue=nobody").json()["tasks"]
    assert "none takes from this queue" in pair.service.text()
