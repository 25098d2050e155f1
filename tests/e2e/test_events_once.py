"""Events over SSE: each exactly once and in order, whatever becomes of connections.

Clients that cut their stream at random come back with Last-Event-ID; together with
what they had, they have what a client has that asks once when all is over. Progress
is left out: a newer one takes the place of the one before (TASKS.md 11).
"""
import http.client
import random
import threading

import conftest

SCRIPT = "for i in $(seq 1 200); do echo $i; sleep 0.01; done; exit 3"


def kept(event):
    return event.event != "progress"


class Follower(threading.Thread):
    """Reads a task's events until their end, a few at a time."""

    def __init__(self, pair, task_id, seed):
        super().__init__()
        self.pair, self.task_id, self.random = pair, task_id, random.Random(seed)
        self.got, self.last, self.streams, self.error = [], None, 0, None

    def run(self):
        try:
            while self.read_some():
                pass
        except Exception as e:  # told by the test, not by a thread
            self.error = e

    def read_some(self):
        """False at the end of the task."""
        c = self.pair.connect()
        headers = {"Accept": "text/event-stream"}
        if self.last is not None:
            headers["Last-Event-ID"] = self.last
        try:
            c.request("GET", f"/v1/tasks/{self.task_id}/events", headers=headers)
            r = c.getresponse()
            self.streams += 1
            if r.status == 204:
                return False
            if r.status == 503:
                return True  # a gateway that has not found the service yet
            assert r.status == 200, (r.status, r.read())
            for n, event in enumerate(conftest.read_events(r)):
                if event.event == "end":
                    return False
                assert event.event != "error", event
                self.got.append(event)
                self.last = event.id
                if n >= self.random.choice((0, 1, 5, 30)):
                    return True
            return True
        except (http.client.HTTPException, ConnectionError):
            return True  # the gateway was restarted
        finally:
            c.close()


def truth(pair, task_id):
    return [(e.id, e.event, e.data) for e in pair.events(task_id) if kept(e)]


def follow(pair, task_id, n, meanwhile=lambda: None):
    followers = [Follower(pair, task_id, seed) for seed in range(n)]
    for f in followers:
        f.start()
    meanwhile()
    for f in followers:
        f.join(60)
        assert not f.is_alive() and f.error is None, f.error
    return followers


def check(pair, task_id, followers):
    want = truth(pair, task_id)
    assert sum(1 for _, event, _ in want if event == "log") >= 400  # of two attempts
    for f in followers:
        ids = [int(e.id) for e in f.got]
        assert ids == sorted(set(ids)), "twice or out of order"
        assert [(e.id, e.event, e.data) for e in f.got if kept(e)] == want
        assert f.streams > 3


def test_clients_that_reconnect_at_random(pair):
    task_id = pair.submit("/test/task-run", {"argv": ["sh", "-c", SCRIPT], "fail": True})
    check(pair, task_id, follow(pair, task_id, 8))


def test_the_gateway_is_killed_meanwhile(make_pair):
    pair = make_pair()
    task_id = pair.submit("/test/task-run", {"argv": ["sh", "-c", SCRIPT], "fail": True})

    def restart():
        conftest.wait_until(lambda: len(pair.logs(task_id)) > 20, 20, "20 lines")
        pair.gateway.kill()
        pair.start_gateway()

    check(pair, task_id, follow(pair, task_id, 4, restart))
