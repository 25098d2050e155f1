"""The blocking client: safe to share among threads; one connection, made when it is needed and
again after the service's restart."""

from __future__ import annotations

import os
import queue
import threading
import time
from typing import Any, Callable, Iterator, Mapping, Optional

from . import wire
from .link import Link, Pending
from .schema import Schema, hint
from .wire import Error

_STEP = 60.0   # of a long wait: so long the service holds one GetTask
TERMINAL = ("SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED")


def default_socket() -> str:
    """ERRAND_SOCKET, then that of the user's session, then the system's."""
    named = os.environ.get("ERRAND_SOCKET")
    if named:
        return named
    session = os.path.join(os.environ.get("XDG_RUNTIME_DIR", ""), "errand/service.sock")
    if os.geteuid() != 0 and os.path.exists(session):
        return session
    return "/run/errand/service.sock"


def task_request(schema: Schema, method: str, value: Any, fields: Mapping[str, Any],
                 options: Mapping[str, Any]) -> dict[str, Any]:
    """What CreateTask is given; after: ids or Tasks, or one of these."""
    out = {**options, "method": method, "input": schema.input(schema.method(method), value, fields)}
    after = out.get("after") or []
    out["after"] = [getattr(t, "id", t) for t in ([after] if isinstance(after, str) or hasattr(after, "id") else after)]
    return out


def state_name(task: Any) -> str:
    return task.DESCRIPTOR.fields_by_name["state"].enum_type.values_by_number[task.state].name


def read_error(schema: Optional[Schema], error: Error) -> Error:
    """With its problem as a message."""
    if isinstance(error.problem, bytes):
        error.problem = schema.problem(error.problem) if schema is not None else None
    return error


def read_answer(schema: Schema, method: Any, data: bytes, metadata: Mapping[str, str]) -> Any:
    """The answer's message, whose type the service names when it is not the method's."""
    name = metadata.get("errand-message") or method.output_type.full_name
    return schema.message(name).FromString(data)


def task_failed(task: Any) -> Error:
    """Why it has not succeeded: the code of its last error."""
    name = state_name(task)
    code = wire.CODES.index(task.error.code) if task.error.code in wire.CODES else wire.ABORTED
    if name == "CANCELLED":
        code = wire.CANCELLED
    return Error(code, f"task {task.id} has ended {name}: {task.error.detail or task.reason or name}",
                 task.error if task.HasField("error") else None)


class PendingCall:
    """A call under way; result() waits for it, in this thread or another."""

    def __init__(self, schema: Schema, method: Any, pending: Pending):
        self._schema, self._method, self._pending = schema, method, pending
        self._lock = threading.Lock()
        self._data: Optional[bytes] = None
        self._end: Optional[wire.End] = None

    def _wait(self, timeout: Optional[float]) -> wire.End:
        with self._lock:
            while self._end is None:
                try:
                    event = self._pending.next(timeout)
                except queue.Empty:
                    raise TimeoutError(f"no answer in {timeout} s; the call goes on") from None
                if isinstance(event, wire.Message):
                    self._data = event.data
                else:
                    self._end = event
            return self._end

    def result(self, timeout: Optional[float] = None) -> Any:
        """The answer. TimeoutError when `timeout` is over first: the call goes on."""
        end = self._wait(timeout)
        if end.error is not None:
            raise read_error(self._schema, end.error)
        return read_answer(self._schema, self._method, self._data or b"", end.metadata)

    def metadata(self, timeout: Optional[float] = None) -> dict[str, str]:
        """What came along with the answer: docs/PROTOCOL.md, Metadata."""
        return self._wait(timeout).metadata

    def untouched(self) -> bool:
        """It has ended, and the service, which was stopping, has not looked at it: it may be called again."""
        return self._end is not None and self._end.unseen

    def cancel(self) -> None:
        """Gives it up: the service stops the work, result() fails with CANCELLED. Any thread."""
        self._pending.cancel()


class Stream:
    """The messages of a streaming call as they come. Closed (or left by `with`) before its end,
    the service stops."""

    def __init__(self, schema: Schema, method: Any, begin: Callable[[], Pending], begun: Pending):
        self._schema, self._begin, self._pending = schema, begin, begun
        self._message = schema.message(method.output_type.full_name)
        self._used = 0
        self._ended = self._cancelled = False
        self.metadata: dict[str, str] = {}

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> Any:
        if self._used:  # what was given out before is used up by now
            self._pending.link.consumed(self._pending, self._used)
            self._used = 0
        if self._ended:
            raise StopIteration
        event = self._pending.next()
        while isinstance(event, wire.End) and event.unseen:  # as in Client.call
            self._pending = self._begin()
            if self._cancelled:
                self._pending.cancel()
            event = self._pending.next()
        if isinstance(event, wire.Message):
            self._used = len(event.data)
            return self._message.FromString(event.data)
        self._ended = True
        self.metadata = event.metadata
        if event.error is not None:
            raise read_error(self._schema, event.error)
        raise StopIteration

    def close(self) -> None:
        self._ended = True
        self._pending.link.cancel(self._pending)

    def cancel(self) -> None:
        """From any thread: who iterates gets CANCELLED."""
        self._cancelled = True
        self._pending.cancel()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def __del__(self) -> None:
        if not self._ended:
            self._pending.link.abandon(self._pending)


class Client:
    """Calls of a service on its socket; `with` closes it. timeout: of calls that name none.
    patience: for so many seconds a service that is not there is waited for."""

    def __init__(self, path: Optional[str] = None, timeout: Optional[float] = None, patience: float = 5.0):
        self.path = path or default_socket()
        self.timeout, self.patience = timeout, patience
        self._lock = threading.RLock()
        self._link: Optional[Link] = None
        self._old: list[Link] = []   # after GOAWAY: their calls go on to their end
        self._schema: Optional[Schema] = None
        self._closed = False

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def close(self) -> None:
        """Calls under way end UNAVAILABLE."""
        with self._lock:
            self._closed = True
            links = [*self._old, *([self._link] if self._link is not None else [])]
            self._link, self._old = None, []
        for link in links:
            link.close()

    def _connected(self) -> Link:
        with self._lock:
            if self._closed:
                raise Error(wire.CANCELLED, "the client was closed")
            if self._link is not None and self._link.usable():
                return self._link
            if self._link is not None:
                self._old = [link for link in [*self._old, self._link] if not link.dead]
                self._link, self._schema = None, None
            self._link = Link(self.path, self.patience)
            return self._link

    def bear(self, error: Error, since: Optional[float]) -> float:
        """Waits a moment when the service is not there, for `patience` seconds in a row: when that
        began. Other errors are raised."""
        now = time.monotonic()
        since = now if since is None else since
        if error.code != wire.UNAVAILABLE or self._closed or now - since > self.patience:
            raise error
        time.sleep(0.05)
        return since

    def _start(self, method: str, payload: bytes, timeout: Optional[float], metadata: Mapping[str, str],
               streaming: bool) -> Pending:
        service, _, name = method.partition("/")
        timeout = self.timeout if timeout is None else timeout
        while True:
            link = self._connected()
            try:
                return link.begin(service, name, payload, timeout, metadata, streaming)
            except Error:
                if link.usable():
                    raise
                # it went away just now, and nothing was sent

    # --- the schema ---

    @property
    def schema(self) -> Schema:
        """What the service speaks, read once a connection; refresh() reads it again."""
        with self._lock:
            self._connected()
            known = self._schema
        return known or self.refresh()

    def refresh(self) -> Schema:
        event = self._start("errand.v1.Schema/Get", b"", 30, {}, False).next()
        while isinstance(event, wire.End) and event.unseen:
            event = self._start("errand.v1.Schema/Get", b"", 30, {}, False).next()
        if isinstance(event, wire.End):
            raise read_error(None, event.error) if event.error is not None else Error(wire.INTERNAL, "no schema")
        reply = dict(wire.fields(event.data))
        schema = Schema(bytes(reply.get(2, b"")))
        with self._lock:
            self._schema = schema
        return schema

    def _method(self, name: str) -> tuple[Schema, Any]:
        """One that is not known may be new: the schema is read again."""
        schema = self.schema
        try:
            return schema, schema.method(name)
        except LookupError:
            schema = self.refresh()
            return schema, schema.method(name)

    # --- calls ---

    def begin(self, method: str, value: Any = None, /, *, timeout: Optional[float] = None,
              metadata: Mapping[str, str] = {}, **fields: Any) -> PendingCall:
        """As call, without waiting."""
        schema, d = self._method(method)
        if schema.streams(d):
            raise TypeError(f"{method} answers with a stream: use call() or stream()")
        payload = schema.input(d, value, fields).SerializeToString()
        return PendingCall(schema, d, self._start(method, payload, timeout, metadata, False))

    def stream(self, method: str, value: Any = None, /, *, timeout: Optional[float] = None,
               metadata: Mapping[str, str] = {}, **fields: Any) -> Stream:
        """Calls a method that answers with a stream."""
        schema, d = self._method(method)
        if not schema.streams(d):
            raise TypeError(f"{method} answers with one message: use call()")
        payload = schema.input(d, value, fields).SerializeToString()
        timeout = self.timeout if timeout is None else timeout
        until = None if timeout is None else time.monotonic() + timeout

        def begin() -> Pending:
            left = None if until is None else max(0.0, until - time.monotonic())
            return self._start(method, payload, left, metadata, True)
        return Stream(schema, d, begin, begin())

    def call(self, method: str, value: Any = None, /, *, timeout: Optional[float] = None,
             metadata: Mapping[str, str] = {}, **fields: Any) -> Any:
        """Calls "pkg.Service/Method" with a message, a dict or keywords; a durable method is waited for.
        Of a stream it gives an iterator of messages. (A field called timeout or metadata: in a dict.)"""
        schema, d = self._method(method)
        if schema.streams(d):
            return self.stream(method, value, timeout=timeout, metadata=metadata, **fields)
        timeout = self.timeout if timeout is None else timeout
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            left = None if until is None else max(0.0, until - time.monotonic())
            started = self.begin(method, value, timeout=left, metadata=metadata, **fields)
            try:
                return started.result()
            except Error:
                if not started.untouched():
                    raise  # else it crossed the end of the service: begin() waits for the next one

    def service(self, name: str) -> Service:
        try:
            return Service(self, name, self.schema.service(name))
        except LookupError:
            return Service(self, name, self.refresh().service(name))

    # --- tasks ---

    def submit(self, method: str, value: Any = None, /, *, options: Mapping[str, Any] = {}, idempotency_key: str = "",
               **fields: Any) -> Task:
        """Makes a task of the method; it is on disk when this returns. options: those of
        errand.v1.CreateTaskRequest (queue, priority, delay, labels, after, unique_key, ...)."""
        metadata = {"idempotency-key": idempotency_key} if idempotency_key else {}
        schema, _ = self._method(method)
        made = self.call("errand.v1.Tasks/CreateTask", task_request(schema, method, value, fields, options),
                         metadata=metadata)
        return Task(self, made.id, made)

    def task(self, id_: str) -> Task:
        return Task(self, id_)

    def tasks(self, filter_: str = "", /, **fields: Any) -> Iterator[Task]:
        """All tasks a filter names (`state = failed AND labels.a = "b"`), newest first, page by page.
        fields: of errand.v1.ListTasksRequest (state, method, queue, page_size, order_by)."""
        token = ""
        while True:
            page = self.call("errand.v1.Tasks/ListTasks", {**fields, "filter": filter_, "page_token": token})
            for task in page.tasks:
                yield Task(self, task.id, task)
            token = page.next_page_token
            if not token:
                return


class Service:
    """client.service("pkg.Service").Method(field=value): each method of a service as a function."""

    def __init__(self, client: Any, name: str, descriptor: Any):
        self._client, self._name = client, name
        self._methods = descriptor.methods_by_name

    def __getattr__(self, method: str) -> Any:
        if method.startswith("_"):
            raise AttributeError(method)
        if method not in self._methods:
            raise AttributeError(f"service {self._name} has no method {method!r}{hint(method, self._methods.keys())}")

        def call(value: Any = None, /, **kw: Any) -> Any:
            return self._client.call(f"{self._name}/{method}", value, **kw)
        return call

    def __dir__(self) -> list[str]:
        return list(self._methods.keys())


class Task:
    """A task by its id; `latest` is the last that was seen of it."""

    def __init__(self, client: Client, id_: str, latest: Any = None):
        self.client = client
        self.id = id_
        self.latest = latest

    def __repr__(self) -> str:
        return f"<errand task {self.id}{' ' + state_name(self.latest) if self.latest is not None else ''}>"

    def _ask(self, verb: str, metadata: Mapping[str, str] = {}, timeout: Optional[float] = None) -> Any:
        self.latest = self.client.call(f"errand.v1.Tasks/{verb}", id=self.id, metadata=metadata, timeout=timeout)
        return self.latest

    def get(self) -> Any:
        return self._ask("GetTask")

    @property
    def state(self) -> str:
        return state_name(self.latest or self.get())

    @property
    def done(self) -> bool:
        return self.state in TERMINAL

    def wait(self, timeout: Optional[float] = None) -> Any:
        """The task once it has ended; TimeoutError when that takes longer. A service that restarts
        meanwhile is waited for as long as the client's patience lasts."""
        until = None if timeout is None else time.monotonic() + timeout
        gone = None
        while self.latest is None or not self.done:
            left = _STEP if until is None else min(_STEP, until - time.monotonic())
            if left <= 0:
                raise TimeoutError(f"task {self.id} has not ended after {timeout} s")
            try:
                self._ask("GetTask", {"prefer-wait": str(int(left * 1e9))}, left + 30)
                gone = None
            except Error as e:
                gone = self.client.bear(e, gone)
        return self.latest

    def result(self, timeout: Optional[float] = None) -> Any:
        """What the method answered, waited for; Error when the task has not succeeded."""
        task = self.wait(timeout)
        if state_name(task) != "SUCCEEDED":
            raise task_failed(task)
        answer = self.client.call("errand.v1.Tasks/GetResult", id=self.id)
        return self.client.schema.unpack(answer.result)

    def events(self, after: int = 0) -> Iterator[Any]:
        """errand.v1.TaskEvents, past and to come, each once, until it has ended; over restarts
        of the service too."""
        gone = None
        while True:
            try:
                with self.client.stream("errand.v1.Tasks/WatchEvents", id=self.id, after_seq=after) as events:
                    for event in events:
                        after, gone = event.seq or after, None
                        yield event
                return
            except Error as e:
                gone = self.client.bear(e, gone)

    def logs(self, follow: bool = False, attempt: int = 0) -> Iterator[Any]:
        """errand.v1.LogLines; with follow until it has ended."""
        return self.client.call("errand.v1.Tasks/GetLogs", id=self.id, attempt=attempt, follow=follow)

    def attempts(self) -> list[Any]:
        return list(self.client.call("errand.v1.Tasks/ListAttempts", id=self.id).attempts)

    def cancel(self) -> Any:
        return self._ask("CancelTask")

    def retry(self) -> Any:
        return self._ask("RetryTask")

    def delete(self) -> None:
        self.client.call("errand.v1.Tasks/DeleteTask", id=self.id)
