"""The load: many clients at once, and a journal of all that was acknowledged.

A client is a connection that is kept; its requests take turns among the shapes of WORK. What
is written into the journal has been answered with an id: from then on it must not be lost.
A request that got no answer may or may not have become a task: it is nobody's promise.
"""

import asyncio
import collections
import itertools
import json
import random
import threading

# shape -> (path, body of the nth); the checker knows what each of them must come to
WORK = {
    "touch": ("/test/task-touch", lambda n: {"name": f"t{n}", "ms": n % 3 * 5}),
    # with an Idempotency-Key, and sent again until it is answered
    "keyed": ("/test/task-touch", lambda n: {"name": f"t{n}", "ms": n % 3 * 5}),
    "echo": ("/test/task-echo", lambda n: {"text_value": f"e{n}", "int32_value": n % 1000}),
    "retry": ("/test/task-fail", lambda n: {"code": 14, "times": n % 3}),   # then it succeeds
    "fail": ("/test/task-fail", lambda n: {"code": 14, "times": 99}),       # three attempts, FAILED
    "final": ("/test/task-fail", lambda n: {"code": 9, "times": 99, "final": True}),
    "log": ("/test/task-log", lambda n: {"lines": 3, "size": 40}),
    "sleep": ("/test/task-sleep", lambda n: {"ms": 30}),                    # with progress
    "cancel": ("/test/task-sleep", lambda n: {"ms": 60}),                   # cancelled at once
    # programs and workers of fleet.py, and the same cancelled at once
    **{who + shape: (f"/crash/{shape}", lambda n, shape=shape: {"name": f"{shape[0]}{n}", "seconds": n % 4 * 0.04 + 0.02})
       for shape in ("command", "python", "shell") for who in ("", "cancel-")},
    "run": ("/test/task-run", lambda n: {"argv": ["/bin/true"], "fail": True}),
    "large": ("/test/task-echo", lambda n: {"text_value": "x" * 131072}),
}
MIX = ["touch"] * 7 + ["keyed"] * 3 + ["echo"] * 4 + ["retry"] * 2 + ["fail", "final", "log", "sleep", "cancel"]


class Entry:
    """One acknowledged task."""

    __slots__ = ("shape", "n", "cancelled")

    def __init__(self, shape, n):
        self.shape, self.n, self.cancelled = shape, n, False


class Load:
    """Clients in a thread of their own, from start() to stop()."""

    def __init__(self, port, clients=32, mix=None, rate=20, seed=1, first=0, more=None):
        self.port, self.clients, self.mix = port, clients, mix or MIX
        self.work = {**WORK, **(more or {})}
        self.rate = rate  # tasks a second of each client, 0: as fast as it goes
        self.random = random.Random(seed)
        self.journal = {}  # id -> Entry
        self.statuses = collections.Counter()
        self.twice = []    # ids that were given more than once
        self.numbers = itertools.count(first)  # of this load's tasks alone
        self.lost_connections = 0
        self.unanswered = []  # numbers of `keyed` that have no answer yet
        self.replayed = 0     # of them, those that had become tasks before
        self.stopping = False
        self.thread = None
        self.failure = None

    def start(self):
        self.stopping = False
        self.thread = threading.Thread(target=self._main, daemon=True)
        self.thread.start()
        return self

    def stop(self):
        self.stopping = True
        self.thread.join(60)
        assert not self.thread.is_alive(), "a client hangs"
        if self.failure:
            raise self.failure
        return self

    @property
    def acked(self):
        return len(self.journal)

    def _main(self):
        try:
            asyncio.run(self._all())
        except BaseException as e:  # pylint: disable=broad-except
            self.failure = e

    async def _all(self):
        await asyncio.gather(*(self._client() for _ in range(self.clients)))

    async def _client(self):
        while not self.stopping:
            writer = None
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                while not self.stopping:
                    await self._one(reader, writer)
            except (OSError, EOFError):
                self.lost_connections += 1
                await asyncio.sleep(0.02)
            finally:
                if writer is not None:
                    writer.close()

    async def _one(self, reader, writer):
        if self.unanswered:
            n, shape = self.unanswered.pop(), "keyed"
        else:
            n, shape = next(self.numbers), self.random.choice(self.mix)
        path, body = self.work[shape]
        key = f"Idempotency-Key: \"k{n}\"\r\n" if shape == "keyed" else ""
        try:
            status, head, answer = await request(reader, writer, "POST", path, body(n), key)
        except (OSError, EOFError):
            if key:
                self.unanswered.append(n)
            raise
        self.statuses[status] += 1
        if status not in (200, 201, 202):
            if key:
                self.unanswered.append(n)  # 502: it may have become a task
            await asyncio.sleep(0.02)
            return
        self.replayed += b"idempotency-replayed" in head.lower()
        task_id = json.loads(answer)["id"]
        if task_id in self.journal:
            self.twice.append(task_id)
        entry = self.journal[task_id] = Entry(shape, n)
        if shape.startswith("cancel"):
            status, _, _ = await request(reader, writer, "POST", f"/v1/tasks/{task_id}:cancel")
            entry.cancelled = status in (200, 202)
        if self.rate:
            await asyncio.sleep(1 / self.rate)


async def request(reader, writer, method, path, body=None, headers=""):
    """Status, head and body; an OSError or EOFError when the connection ended first."""
    data = b"" if body is None else json.dumps(body).encode()
    if body is not None:
        headers += "Content-Type: application/json\r\n"
    writer.write(f"{method} {path} HTTP/1.1\r\nHost: x\r\n{headers}"
                 f"Content-Length: {len(data)}\r\n\r\n".encode() + data)
    return await asyncio.wait_for(answer_of(reader), 60)


async def answer_of(reader):
    head = await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return int(head.split(b" ", 2)[1]), head, await reader.readexactly(length)
