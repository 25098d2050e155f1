"""The blocking client: safe to share among threads, one connection, made when it is needed."""

from __future__ import annotations

import os
import queue
import socket
import threading
import time
from typing import Any, Iterator, Mapping, Optional

from . import wire
from .schema import Schema
from .wire import Error

TERMINAL = ("SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED")
_READ = 256 << 10


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
    """What CreateTask is given."""
    return {"method": method, "input": schema.input(schema.method(method), value, fields), **options}


def state_name(task: Any) -> str:
    return task.DESCRIPTOR.fields_by_name["state"].enum_type.values_by_number[task.state].name


class _Call:
    """A stream of the connection as its caller sees it."""

    def __init__(self, streaming: bool):
        self.events: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.streaming = streaming
        self.metadata: dict[str, str] = {}


class _Link:
    """One connection with its reading thread."""

    def __init__(self, path: str):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.socket.connect(path)
        except OSError as e:
            self.socket.close()
            raise Error(14, f"{path}: {e.strerror}: is errand-service running?") from None
        self.wire = wire.Connection()
        self.lock = threading.Lock()          # of wire, calls and writing
        self.calls: dict[int, _Call] = {}
        self.error: Optional[Error] = None
        self.thread = threading.Thread(target=self._read, name="errand", daemon=True)
        self.thread.start()

    def usable(self) -> bool:
        return self.error is None and not self.wire.leaving

    def _flush(self) -> None:
        try:
            self.socket.sendall(self.wire.take_outgoing())
        except OSError as e:
            raise Error(14, f"the connection is gone: {e.strerror}") from None

    def start(self, service: str, method: str, payload: bytes, timeout: Optional[float],
              metadata: Mapping[str, str], streaming: bool) -> tuple[int, _Call]:
        call = _Call(streaming)
        with self.lock:
            if self.error is not None:
                raise self.error
            stream = self.wire.request(service, method, payload, timeout, metadata, streaming)
            self.calls[stream] = call
            self._flush()
        return stream, call

    def drop(self, stream: int) -> None:
        with self.lock:
            if self.calls.pop(stream, None) is None or self.error is not None:
                return
            self.wire.cancel(stream)
            try:
                self._flush()
            except Error:
                pass

    def consumed(self, stream: int, n: int) -> None:
        with self.lock:
            self.wire.consumed(stream, n)
            try:
                self._flush()
            except Error:
                pass

    def _read(self) -> None:
        why = "the service has closed the connection"
        try:
            while data := self.socket.recv(_READ):
                with self.lock:
                    events = self.wire.feed(data)
                    self._flush()
                    targets = [(self.calls.get(e.stream), e) for e in events]
                    for e in events:
                        if isinstance(e, wire.End):
                            self.calls.pop(e.stream, None)
                for call, event in targets:
                    if call is not None:
                        call.events.put(event)
        except OSError as e:
            why = f"the connection is gone: {e.strerror}"
        except (wire.ProtocolError, Error) as e:
            why = f"the connection broke: {e}"
        with self.lock:
            self.error = Error(14, why)
            left, self.calls = list(self.calls.items()), {}
        for stream, call in left:
            call.events.put(wire.End(stream, self.error))

    def close(self) -> None:
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        if self.thread is not threading.current_thread():
            self.thread.join()
        self.socket.close()


class Client:
    """Calls of a service on its socket; `with` closes it."""

    def __init__(self, path: Optional[str] = None, timeout: Optional[float] = None):
        self.path = path or default_socket()
        self.timeout = timeout       # of calls that name none; None: no limit
        self._lock = threading.Lock()
        self._link: Optional[_Link] = None
        self._schema: Optional[Schema] = None

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def close(self) -> None:
        with self._lock:
            link, self._link = self._link, None
        if link is not None:
            link.close()

    def _connected(self) -> _Link:
        old = None
        with self._lock:
            if self._link is None or not self._link.usable():
                old, self._link = self._link, _Link(self.path)
            link = self._link
        if old is not None and old.error is not None:
            old.close()
        return link

    # --- bytes ---

    def call_bytes(self, method: str, payload: bytes, timeout: Optional[float] = None,
                   metadata: Mapping[str, str] = {}) -> bytes:
        service, _, name = method.partition("/")
        timeout = self.timeout if timeout is None else timeout
        link = self._connected()
        stream, call = link.start(service, name, payload, timeout, metadata, False)
        until = None if timeout is None else time.monotonic() + timeout + 1
        answer = b""
        while True:
            try:
                event = call.events.get(timeout=None if until is None else max(0, until - time.monotonic()))
            except queue.Empty:
                link.drop(stream)
                raise Error(4, f"{method}: no answer within {timeout} s") from None
            except BaseException:
                link.drop(stream)
                raise
            if isinstance(event, wire.Message):
                answer = event.data
            elif event.error is not None:
                raise event.error
            else:
                return answer

    def stream_bytes(self, method: str, payload: bytes, timeout: Optional[float] = None,
                     metadata: Mapping[str, str] = {}) -> Iterator[bytes]:
        """The messages of a stream; leaving the loop cancels it."""
        service, _, name = method.partition("/")
        link = self._connected()
        stream, call = link.start(service, name, payload, timeout, metadata, True)
        try:
            while True:
                event = call.events.get()
                if isinstance(event, wire.Message):
                    yield event.data
                    link.consumed(stream, len(event.data))
                elif event.error is not None:
                    raise event.error
                else:
                    return
        finally:
            link.drop(stream)

    # --- messages ---

    @property
    def schema(self) -> Schema:
        """What the service speaks, read once; refresh() reads it again."""
        return self._schema or self.refresh()

    def refresh(self) -> Schema:
        reply = dict(wire.fields(self.call_bytes("errand.v1.Schema/Get", b"", 30)))
        self._schema = Schema(bytes(reply.get(2, b"")))
        return self._schema

    def call(self, method: str, value: Any = None, *, timeout: Optional[float] = None,
             metadata: Mapping[str, str] = {}, **fields: Any) -> Any:
        """Calls "pkg.Service/Method" with a message, a dict or keywords; a durable method is waited for.
        Of a stream it gives an iterator of messages."""
        d = self.schema.method(method)
        payload = self.schema.input(d, value, fields).SerializeToString()
        reply = self.schema.message(d.output_type.full_name)
        if self.schema.streams(d):
            return (reply.FromString(m) for m in self.stream_bytes(method, payload, timeout, metadata))
        return reply.FromString(self.call_bytes(method, payload, timeout, metadata))

    def service(self, name: str) -> Service:
        return Service(self, name)

    # --- tasks ---

    def submit(self, method: str, value: Any = None, *, options: Mapping[str, Any] = {}, idempotency_key: str = "",
               **fields: Any) -> Task:
        """Makes a task of the method; it is on disk when this returns. options: those of
        errand.v1.CreateTaskRequest (queue, priority, delay, labels, after, unique_key, ...)."""
        metadata = {"idempotency-key": idempotency_key} if idempotency_key else {}
        made = self.call("errand.v1.Tasks/CreateTask", task_request(self.schema, method, value, fields, options),
                         metadata=metadata)
        return Task(self, made.id, made)

    def task(self, id_: str) -> Task:
        return Task(self, id_)

    def tasks(self, filter_: str = "", **fields: Any) -> Iterator[Any]:
        """All tasks a filter names, newest first, page by page."""
        token = ""
        while True:
            page = self.call("errand.v1.Tasks/ListTasks", filter=filter_, page_token=token, **fields)
            yield from page.tasks
            token = page.next_page_token
            if not token:
                return


class Service:
    """client.service("pkg.Service").Method(field=value): each method of a service as a function."""

    def __init__(self, client: Client, name: str):
        self._client = client
        self._name = name
        self._methods = client.schema.service(name).methods_by_name

    def __getattr__(self, method: str) -> Any:
        if method.startswith("_") or method not in self._methods:
            raise AttributeError(f"service {self._name} has no method {method} "
                                 f"(it has: {', '.join(self._methods.keys())})")

        def call(value: Any = None, **kw: Any) -> Any:
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
        """The task once it has ended; Error DEADLINE_EXCEEDED when that takes longer."""
        until = None if timeout is None else time.monotonic() + timeout
        self.get()
        while not self.done:
            left = 60.0 if until is None else min(60.0, until - time.monotonic())
            if left <= 0:
                raise Error(4, f"task {self.id} is still {self.state} after {timeout} s")
            self._ask("GetTask", {"prefer-wait": str(int(left * 1e9))}, left + 30)
        return self.latest

    def result(self, timeout: Optional[float] = None) -> Any:
        """What the method answered, waited for; Error when the task has not succeeded."""
        task = self.wait(timeout)
        if state_name(task) != "SUCCEEDED":
            raise Error(10, f"task {self.id} has ended {state_name(task)}: {task.error.detail or task.reason}",
                        task.error.SerializeToString())
        return self.client.schema.unpack(task.result)

    def events(self, after: int = 0) -> Iterator[Any]:
        """errand.v1.TaskEvent, past and to come, until it has ended."""
        return self.client.call("errand.v1.Tasks/WatchEvents", id=self.id, after_seq=after)

    def logs(self, follow: bool = False, attempt: int = 0) -> Iterator[Any]:
        return self.client.call("errand.v1.Tasks/GetLogs", id=self.id, attempt=attempt, follow=follow)

    def cancel(self) -> Any:
        return self._ask("CancelTask")

    def retry(self) -> Any:
        return self._ask("RetryTask")

    def delete(self) -> None:
        self.client.call("errand.v1.Tasks/DeleteTask", id=self.id)
