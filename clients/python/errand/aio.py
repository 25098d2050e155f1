"""The client for asyncio: the same calls, awaited; of one event loop."""

from __future__ import annotations

import asyncio
import time
from typing import Any, AsyncIterator, Mapping, Optional

from . import wire
from .client import TERMINAL, default_socket, state_name, task_request
from .schema import Schema
from .wire import Error

_READ = 256 << 10


class _Link:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self.reader, self.writer = reader, writer
        self.wire = wire.Connection()
        self.calls: dict[int, asyncio.Queue[Any]] = {}
        self.error: Optional[Error] = None
        self.flush()
        self.task = asyncio.create_task(self._read())

    def usable(self) -> bool:
        return self.error is None and not self.wire.leaving

    def flush(self) -> None:
        data = self.wire.take_outgoing()
        if data and not self.writer.is_closing():
            self.writer.write(data)

    async def start(self, service: str, method: str, payload: bytes, timeout: Optional[float],
                    metadata: Mapping[str, str], streaming: bool) -> tuple[int, asyncio.Queue[Any]]:
        if self.error is not None:
            raise self.error
        stream = self.wire.request(service, method, payload, timeout, metadata, streaming)
        events: asyncio.Queue[Any] = asyncio.Queue()
        self.calls[stream] = events
        self.flush()
        try:
            await self.writer.drain()
        except OSError as e:
            raise Error(14, f"the connection is gone: {e.strerror}") from None
        return stream, events

    def drop(self, stream: int) -> None:
        if self.calls.pop(stream, None) is not None and self.error is None:
            self.wire.cancel(stream)
            self.flush()

    async def _read(self) -> None:
        why = "the service has closed the connection"
        try:
            while data := await self.reader.read(_READ):
                for event in self.wire.feed(data):
                    ends = isinstance(event, wire.End)
                    events = self.calls.pop(event.stream, None) if ends else self.calls.get(event.stream)
                    if events is not None:
                        events.put_nowait(event)
                self.flush()
        except OSError as e:
            why = f"the connection is gone: {e.strerror}"
        except wire.ProtocolError as e:
            why = f"the connection broke: {e}"
        finally:
            self.error = Error(14, why)
            left, self.calls = list(self.calls.items()), {}
            for stream, events in left:
                events.put_nowait(wire.End(stream, self.error))

    async def close(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except OSError:
            pass


class AsyncClient:
    """`async with` connects when needed and closes it."""

    def __init__(self, path: Optional[str] = None, timeout: Optional[float] = None):
        self.path = path or default_socket()
        self.timeout = timeout
        self._link: Optional[_Link] = None
        self._connecting = asyncio.Lock()
        self._schema: Optional[Schema] = None

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: Any) -> None:
        await self.close()

    async def close(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            await link.close()

    async def _connected(self) -> _Link:
        async with self._connecting:
            if self._link is not None and self._link.usable():
                return self._link
            old = self._link
            try:
                self._link = _Link(*await asyncio.open_unix_connection(self.path))
            except OSError as e:
                raise Error(14, f"{self.path}: {e.strerror}: is errand-service running?") from None
        if old is not None and old.error is not None:
            await old.close()
        return self._link

    # --- bytes ---

    async def call_bytes(self, method: str, payload: bytes, timeout: Optional[float] = None,
                         metadata: Mapping[str, str] = {}) -> bytes:
        service, _, name = method.partition("/")
        timeout = self.timeout if timeout is None else timeout
        link = await self._connected()
        stream, events = await link.start(service, name, payload, timeout, metadata, False)
        answer = b""
        try:
            async with asyncio.timeout(None if timeout is None else timeout + 1):
                while True:
                    event = await events.get()
                    if isinstance(event, wire.Message):
                        answer = event.data
                    elif event.error is not None:
                        raise event.error
                    else:
                        return answer
        except TimeoutError:
            raise Error(4, f"{method}: no answer within {timeout} s") from None
        finally:
            link.drop(stream)

    async def stream_bytes(self, method: str, payload: bytes, timeout: Optional[float] = None,
                           metadata: Mapping[str, str] = {}) -> AsyncIterator[bytes]:
        service, _, name = method.partition("/")
        link = await self._connected()
        stream, events = await link.start(service, name, payload, timeout, metadata, True)
        try:
            while True:
                event = await events.get()
                if isinstance(event, wire.Message):
                    yield event.data
                    link.wire.consumed(stream, len(event.data))
                    link.flush()
                elif event.error is not None:
                    raise event.error
                else:
                    return
        finally:
            link.drop(stream)

    # --- messages ---

    async def schema(self) -> Schema:
        return self._schema or await self.refresh()

    async def refresh(self) -> Schema:
        reply = dict(wire.fields(await self.call_bytes("errand.v1.Schema/Get", b"", 30)))
        self._schema = Schema(bytes(reply.get(2, b"")))
        return self._schema

    async def call(self, method: str, value: Any = None, *, timeout: Optional[float] = None,
                   metadata: Mapping[str, str] = {}, **fields: Any) -> Any:
        schema = await self.schema()
        d = schema.method(method)
        payload = schema.input(d, value, fields).SerializeToString()
        reply = schema.message(d.output_type.full_name)
        if schema.streams(d):
            raise TypeError(f"{method} is a stream: use stream()")
        return reply.FromString(await self.call_bytes(method, payload, timeout, metadata))

    async def stream(self, method: str, value: Any = None, *, timeout: Optional[float] = None,
                     metadata: Mapping[str, str] = {}, **fields: Any) -> AsyncIterator[Any]:
        schema = await self.schema()
        d = schema.method(method)
        payload = schema.input(d, value, fields).SerializeToString()
        reply = schema.message(d.output_type.full_name)
        async for m in self.stream_bytes(method, payload, timeout, metadata):
            yield reply.FromString(m)

    async def service(self, name: str) -> AsyncService:
        return AsyncService(self, name, (await self.schema()).service(name).methods_by_name)

    # --- tasks ---

    async def submit(self, method: str, value: Any = None, *, options: Mapping[str, Any] = {},
                     idempotency_key: str = "", **fields: Any) -> AsyncTask:
        metadata = {"idempotency-key": idempotency_key} if idempotency_key else {}
        request = task_request(await self.schema(), method, value, fields, options)
        made = await self.call("errand.v1.Tasks/CreateTask", request, metadata=metadata)
        return AsyncTask(self, made.id, made)

    def task(self, id_: str) -> AsyncTask:
        return AsyncTask(self, id_)

    async def tasks(self, filter_: str = "", **fields: Any) -> AsyncIterator[Any]:
        token = ""
        while True:
            page = await self.call("errand.v1.Tasks/ListTasks", filter=filter_, page_token=token, **fields)
            for task in page.tasks:
                yield task
            token = page.next_page_token
            if not token:
                return


class AsyncService:
    def __init__(self, client: AsyncClient, name: str, methods: Any):
        self._client, self._name, self._methods = client, name, methods

    def __getattr__(self, method: str) -> Any:
        if method.startswith("_") or method not in self._methods:
            raise AttributeError(f"service {self._name} has no method {method} "
                                 f"(it has: {', '.join(self._methods.keys())})")

        async def call(value: Any = None, **kw: Any) -> Any:
            return await self._client.call(f"{self._name}/{method}", value, **kw)
        return call


class AsyncTask:
    def __init__(self, client: AsyncClient, id_: str, latest: Any = None):
        self.client, self.id, self.latest = client, id_, latest

    async def _ask(self, verb: str, metadata: Mapping[str, str] = {}, timeout: Optional[float] = None) -> Any:
        self.latest = await self.client.call(f"errand.v1.Tasks/{verb}", id=self.id, metadata=metadata,
                                             timeout=timeout)
        return self.latest

    async def get(self) -> Any:
        return await self._ask("GetTask")

    async def wait(self, timeout: Optional[float] = None) -> Any:
        until = None if timeout is None else time.monotonic() + timeout
        await self.get()
        while state_name(self.latest) not in TERMINAL:
            left = 60.0 if until is None else min(60.0, until - time.monotonic())
            if left <= 0:
                raise Error(4, f"task {self.id} is still {state_name(self.latest)} after {timeout} s")
            await self._ask("GetTask", {"prefer-wait": str(int(left * 1e9))}, left + 30)
        return self.latest

    async def result(self, timeout: Optional[float] = None) -> Any:
        task = await self.wait(timeout)
        if state_name(task) != "SUCCEEDED":
            raise Error(10, f"task {self.id} has ended {state_name(task)}: {task.error.detail or task.reason}",
                        task.error.SerializeToString())
        return (await self.client.schema()).unpack(task.result)

    def events(self, after: int = 0) -> AsyncIterator[Any]:
        return self.client.stream("errand.v1.Tasks/WatchEvents", id=self.id, after_seq=after)

    def logs(self, follow: bool = False, attempt: int = 0) -> AsyncIterator[Any]:
        return self.client.stream("errand.v1.Tasks/GetLogs", id=self.id, attempt=attempt, follow=follow)

    async def cancel(self) -> Any:
        return await self._ask("CancelTask")

    async def retry(self) -> Any:
        return await self._ask("RetryTask")

    async def delete(self) -> None:
        await self.client.call("errand.v1.Tasks/DeleteTask", id=self.id)
