"""The checker: is everything that was acknowledged there, ended, and ended once?

It reads the SQLite file by itself, with nothing of errand's but the numbers of its states
(task_state.h) and the field numbers of errand.v1.TaskEvent, and holds it against the journal.
"""

import collections
import contextlib
import sqlite3
import uuid

QUEUED, RUNNING, RETRYING, CANCELLING, SUCCEEDED, FAILED, CANCELLED = range(1, 8)
EXPIRED = 11
ENDED = (SUCCEEDED, FAILED, CANCELLED, EXPIRED)
OK, ERROR, TIMEOUT, OOM, SIGNAL, EXIT, LEASE_LOST, INTERRUPTED, STOPPED = range(1, 10)
CRASHES, FAILURES = (OOM, SIGNAL, LEASE_LOST), (ERROR, TIMEOUT, EXIT)
QUARANTINE = 3  # crashes
EVENT_STATE, EVENT_PROGRESS = 1, 2

# how a shape of load.py may end, apart from quarantine by too many kills
ENDINGS = {
    "touch": (SUCCEEDED,), "keyed": (SUCCEEDED,), "echo": (SUCCEEDED,), "retry": (SUCCEEDED,), "log": (SUCCEEDED,),
    "sleep": (SUCCEEDED,), "large": (SUCCEEDED,), "run": (SUCCEEDED, FAILED), "fail": (FAILED,), "final": (FAILED,),
    "callback": (SUCCEEDED,), "command": (SUCCEEDED,), "python": (SUCCEEDED,), "shell": (SUCCEEDED,),
    **{"cancel" + what: (SUCCEEDED, CANCELLED) for what in ("", "-command", "-python", "-shell")},
}
# those that write a line into effects.log: the letter of their names
EFFECTS = {"touch": "t", "keyed": "t", "command": "c", "python": "p", "shell": "s"}


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7


def event_state(data):
    """TaskEvent.state (field 5), None when it has none."""
    at, found = 0, None
    while data and at < len(data):
        tag, at = varint(data, at)
        if tag & 7 == 0:
            value, at = varint(data, at)
            if tag >> 3 == 5:
                found = value
        elif tag & 7 == 2:
            length, at = varint(data, at)
            at += length
        else:
            at += 8 if tag & 7 == 1 else 4
    return found


class Verdict:
    """What the checker found; each of the lists names tasks and what is wrong with them."""

    def __init__(self):
        self.acked = self.finished = self.again = self.quarantined = 0
        self.lost, self.twice, self.unfinished, self.wrong = [], [], [], []
        self.integrity = None
        self.states = collections.Counter()

    @property
    def good(self):
        return not (self.lost or self.twice or self.unfinished or self.wrong) and self.integrity == "ok"

    def __str__(self):
        lists = {n: getattr(self, n)[:5] for n in ("lost", "twice", "unfinished", "wrong") if getattr(self, n)}
        return (f"acked {self.acked} finished {self.finished} again {self.again} "
                f"quarantined {self.quarantined} integrity {self.integrity} {lists or ''}")


class Task:
    """A task as the file has it."""

    def __init__(self, row):
        self.id = str(uuid.UUID(bytes=row[0]))
        self.state, self.version, self.attempt, self.failures, self.crashes = row[1:6]
        self.events, self.attempts = [], []  # (seq, kind, state); (number, outcome)

    def faults(self):
        """What of it cannot be, whatever was done to the service."""
        seqs = [e[0] for e in self.events]
        states = [e[2] for e in self.events if e[1] == EVENT_STATE]
        if len(set(seqs)) != len(seqs):
            yield "a seq is there twice"
        if self.version > 1 and (not seqs or max(seqs) != self.version):
            yield f"version {self.version}, last event {max(seqs, default=0)}"
        # a progress event takes the place of the one before, whose seq is then missing
        if not any(e[1] == EVENT_PROGRESS for e in self.events) and seqs != list(range(2, self.version + 1)):
            yield f"gaps: {seqs}"
        if states and states[-1] != self.state:
            yield f"state {self.state}, last event says {states[-1]}"
        if [a[0] for a in self.attempts] != list(range(1, self.attempt + 1)):
            yield f"attempts {self.attempts} of {self.attempt}"
        outcomes = [a[1] for a in self.attempts]
        if None in outcomes or (self.state in ENDED and 0 in outcomes):
            yield f"an attempt of an ended task runs: {outcomes}"
        if states.count(RUNNING) != self.attempt:
            yield f"{states.count(RUNNING)} times RUNNING, {self.attempt} attempts: {self.events}"
        # the attempt a cancel put an end to counts for nothing, however it ended; one that was lost
        # before the cancel came does
        counted = outcomes[:-1] if CANCELLING in states[-2:] and self.state == CANCELLED else outcomes
        if sum(o in FAILURES for o in counted) != self.failures or \
                sum(o in CRASHES for o in counted) != self.crashes:
            yield f"counts {self.failures}, {self.crashes} of {outcomes}"
        if self.state == SUCCEEDED and (outcomes.count(OK) != 1 or outcomes[-1] != OK):
            yield f"succeeded with {outcomes}"
        if self.state != SUCCEEDED and OK in outcomes:
            yield f"state {self.state} with an attempt that was OK"

    def endings(self):
        return [e[2] for e in self.events if e[1] == EVENT_STATE and e[2] in ENDED]


def read(path):
    """Tasks by id, and what integrity_check says. The service does not run."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        tasks = {}
        for row in db.execute("SELECT id, state, version, attempt, failures, crash_count FROM task"):
            tasks[row[0]] = Task(row)
        strays = 0
        for task, *event in db.execute("SELECT task, seq, kind, data FROM event ORDER BY task, seq"):
            if task in tasks:
                tasks[task].events.append((event[0], event[1], event_state(event[2])))
            else:
                strays += 1
        for task, *attempt in db.execute("SELECT task, number, outcome FROM attempt ORDER BY task, number"):
            if task in tasks:
                tasks[task].attempts.append(tuple(attempt))
            else:
                strays += 1
        integrity = ",".join(r[0] for r in db.execute("PRAGMA integrity_check"))
    return {t.id: t for t in tasks.values()}, integrity, strays


def ended_right(task, entry):
    if task.crashes >= QUARANTINE:
        return task.state == FAILED
    if task.state == CANCELLED:
        return entry.shape.startswith("cancel")  # the answer to the cancel may be what was lost
    return task.state in ENDINGS[entry.shape]


def check(path, journal, effects=None, given_twice=()):
    """path: the database; journal: id -> Entry; effects: what the handlers of `touch` wrote."""
    tasks, integrity, strays = read(path)
    v = Verdict()
    v.acked, v.integrity = len(journal), integrity
    v.twice += [(i, "an id was given twice") for i in given_twice]
    if strays:
        v.wrong.append(("-", f"{strays} events or attempts of no task"))
    for task in tasks.values():  # also those whose acknowledgement was never seen
        v.wrong += [(task.id, text) for text in task.faults()]
        endings = task.endings()
        if len(endings) > 1:
            v.twice.append((task.id, endings))
        if task.state not in ENDED:
            v.unfinished.append((task.id, task.state))
        v.states[task.state] += 1
    for task_id, entry in journal.items():
        task = tasks.get(task_id)
        if task is None:
            v.lost.append((task_id, entry.shape))
            continue
        v.finished += task.state in ENDED
        v.again += task.crashes > 0 or INTERRUPTED in [a[1] for a in task.attempts]
        v.quarantined += task.crashes >= QUARANTINE
        if task.state in ENDED and not ended_right(task, entry):
            v.wrong.append((task_id, f"{entry.shape} ended as {task.state}: {task.attempts}"))
    if effects:
        check_effects(v, tasks, journal, effects)
    return v


def check_effects(v, tasks, journal, effects):
    """A handler ran once for each attempt at most, and at least once for a success."""
    runs = collections.Counter()
    with contextlib.suppress(FileNotFoundError), open(effects, encoding="utf-8") as f:
        for line in f:
            name, attempt = line.split()
            runs[name] += 1
            runs[name, attempt] += 1
            if runs[name, attempt] > 1:
                v.twice.append((name, f"attempt {attempt} ran twice"))
    for task_id, entry in journal.items():
        task = tasks.get(task_id)
        if task is None or entry.shape not in EFFECTS or task.state != SUCCEEDED:
            continue
        n_runs = runs[f"{EFFECTS[entry.shape]}{entry.n}"]
        if not 1 <= n_runs <= task.attempt:
            v.wrong.append((task_id, f"{n_runs} runs in {task.attempt} attempts"))
