"""Workers (test_workers.py) and the service's restarts: stopped, killed, or only asleep."""

import signal
import time

from conftest import TERMINAL, TESTMOD
from rawworker import Client, Worker
from test_workers import (  # noqa: F401 (fixtures)
    UNAVAILABLE, compile_proto, create, outcomes, picture, process, refused, take, thumbs, workers)


def test_restart_with_tasks_that_wait(make_pair, thumbs):
    p = make_pair(modules=(TESTMOD,))
    w = Worker(p.socket, name="thumbs", services=["thumbs.v1.Thumbs"], descriptor_set=thumbs, queues=["more"])
    client = Client(p.socket)
    done = client.start("thumbs.v1.Thumbs/Make", picture("a"))
    work = w.work()
    w.close()
    p.service.kill()
    refused(UNAVAILABLE, done.get)
    client.close()
    p.start_service()
    client = Client(p.socket)
    known, = [x for x in workers_of(client)]
    assert (known.name, known.worker, list(known.queues)) == ("thumbs", "", ["thumbs.v1.Thumbs", "more"])
    client.start("thumbs.v1.Thumbs/Make", picture("b"))
    assert "connected" in refused(UNAVAILABLE, client.call, "thumbs.v1.Thumbs/Look", picture("x"))
    w = Worker(p.socket, name="thumbs", services=["thumbs.v1.Thumbs"], descriptor_set=thumbs, queues=["more"], tasks=2)
    got = {}
    for _ in range(2):
        again = w.work()
        got[again.input] = again.attempt
        assert again.lease != work.lease
        w.complete(again, again.input)
    assert got == {picture("a"): 2, picture("b"): 1}
    client.close()
    w.close()


def workers_of(client):
    return client.ask("ListWorkers").workers


def test_restart_with_a_module_that_has_its_queue(make_pair, thumbs):
    p = make_pair(modules=())
    w = Worker(p.socket, name="thumbs", services=["thumbs.v1.Thumbs"], descriptor_set=thumbs, queues=["test", "more"])
    w.close()
    p.service.stop()
    p.modules = (TESTMOD,)
    p.start_service()
    p.wait_ready()
    assert "queue test is the service's own" in p.service.text()
    known, = workers(p)
    assert (known["services"], known["queues"]) == ([], ["thumbs.v1.Thumbs", "more"])
    assert p.wait_task(p.submit("/test/task-echo", {"text_value": "ours"}))["state"] == "SUCCEEDED"
    task = create(p, "more")
    assert p.task(task)["state"] == "QUEUED"
    w = Worker(p.socket, name="thumbs", services=["thumbs.v1.Thumbs"], descriptor_set=thumbs, queues=["more"])
    work = w.work()
    w.complete(work, work.input)
    assert p.task(task)["state"] == "SUCCEEDED"
    w.close()


def test_sigterm_waits_for_workers(make_pair):
    p = make_pair(modules=(TESTMOD,), service_args=["--drain-timeout", "20s"])
    w = Worker(p.socket, queues=["slow"], tasks=2)
    idle = Worker(p.socket, name="idle", queues=["other"])
    task = create(p, "slow", "finished")
    work = w.work()
    p.service.popen.send_signal(signal.SIGTERM)
    assert "stopping" in w.order().leave.reason
    assert "stopping" in idle.order().leave.reason and idle.order() is None
    assert w.beat() == [work.lease]
    w.ask("Log", worker=w.id, lease=work.lease, lines=["still here"])
    refused(UNAVAILABLE, w.ask, "RegisterWorker", name="x", queues=["y"])
    refused(UNAVAILABLE, w.call, "errand.v1.Tasks/ListTasks")
    w.complete(work, work.input)
    assert w.order() is None
    assert p.service.popen.wait(20) == 0
    w.close()
    idle.close()
    p.start_service()
    p.wait_ready()
    assert p.task(task)["state"] == "SUCCEEDED"
    assert p.logs(task)[0]["text"] == "still here"


def test_sigterm_interrupts_what_takes_too_long(make_pair):
    p = make_pair(modules=(TESTMOD,), service_args=["--drain-timeout", "200ms"])
    w = Worker(p.socket, queues=["slow"])
    task = create(p, "slow")
    work = w.work()
    p.service.popen.send_signal(signal.SIGTERM)
    assert w.order().WhichOneof("order") == "leave"
    assert w.order().stop.lease == work.lease
    refused(UNAVAILABLE, w.order)
    assert p.service.popen.wait(20) == 0
    w.close()
    p.start_service()
    p.wait_ready()
    assert outcomes(p.task(task))[0] == "INTERRUPTED"
    w = Worker(p.socket, queues=["slow"])
    work = w.work()
    assert work.attempt == 2
    w.complete(work, work.input)
    w.close()


def field_worker(worker_id):
    return b"\x0a" + bytes([len(worker_id)]) + worker_id.encode()


def test_service_stopped_longer_than_the_lease(make_pair):
    """It is the service that has slept: nobody is lost for that."""
    p = make_pair(modules=(TESTMOD,))
    w = Worker(p.socket, queues=["slow"], lease_s=1)
    task = create(p, "slow")
    work = w.work()
    p.service.popen.send_signal(signal.SIGSTOP)
    time.sleep(2)
    beat = w.start("errand.v1.Workers/Heartbeat", field_worker(w.id))
    p.service.popen.send_signal(signal.SIGCONT)
    beat.get()
    w.complete(work, work.input)
    assert outcomes(p.wait_task(task)) == ["OK"]
    w.close()


def test_kill_9_of_both_loses_nothing(make_pair):
    p = make_pair(modules=(TESTMOD,))
    ids = []
    for round_ in range(4):
        with process(p, "crash", "0") as w:
            assert w.stdout.readline() == "ready\n"
            ids += [create(p, "crash", str(i), retry={"base": "0.001s"}) for i in range(20)]
            if round_ % 2:
                w.kill()
            p.service.kill()
            w.kill()
        p.start_service()
        p.wait_ready()
    w = Worker(p.socket, name="fenced", queues=["crash"], tasks=50)
    end = time.monotonic() + 30
    while any(p.task(t)["state"] not in TERMINAL for t in ids) and time.monotonic() < end:
        got = take(w)
        if got:
            w.complete(got[1], got[1].input)
    assert [p.task(t)["state"] for t in ids] == ["SUCCEEDED"] * len(ids)
    w.close()
