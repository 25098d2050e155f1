"""The client for asyncio: the same calls, awaited; of one event loop."""

from __future__ import annotations

import asyncio
import time
from typing import Any, AsyncIterator, Awaitable, Callable, Mapping, Optional

from . import wire
from .client import (TERMINAL, Service, _STEP, default_socket, read_answer, read_error, state_name, task_failed,
                     task_request)
from .link import GRACE
from .schema import Schema
from .wire import Error

_READ = 256 << 10


class _Link:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self.reader, self.writer = reader, writer
        self.loop = asyncio.get_running_loop()
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
            raise Error(self.error.code, self.error.message)
        stream = self.wire.request(service, method, payload, timeout, metadata, streaming)
        events: asyncio.Queue[Any] = asyncio.Queue()
        self.calls[stream] = events
        self.flush()
        try:
            await self.writer.drain()
        except OSError:
            pass           # the reader sees the end, and what was said before it
        except asyncio.CancelledError:
            self.drop(stream)
            raise
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
            self.wire.eof()
        except OSError as e:
            why = f"the connection is gone: {e.strerror}"
        except wire.ProtocolError as e:
            why = f"the connection broke: {e}"
        finally:
            self.error = Error(wire.UNAVAILABLE, why)
            left, self.calls = list(self.calls.items()), {}
            self.writer.close()
            for stream, events in left:
                events.put_nowait(self.wire.lost(stream, why))

    async def close(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except OSError:
            pass


_Begun = tuple[_Link, int, "asyncio.Queue[Any]"]


class AsyncStream:
    """The messages of a streaming call: `async for`, in `async with` when it may be left early."""

    def __init__(self, schema: Schema, method: Any, begin: Callable[[], Awaitable[_Begun]], begun: _Begun,
                 until: Optional[float]):
        self._schema, self._begin, self._until = schema, begin, until
        self._link, self._stream, self._events = begun
        self._message = schema.message(method.output_type.full_name)
        self._used = 0
        self._ended = False
        self.metadata: dict[str, str] = {}

    def __aiter__(self) -> AsyncStream:
        return self

    async def __anext__(self) -> Any:
        if self._used:
            self._link.wire.consumed(self._stream, self._used)
            self._link.flush()
            self._used = 0
        if self._ended:
            raise StopAsyncIteration
        try:
            async with asyncio.timeout_at(self._until):
                event = await self._events.get()
                while isinstance(event, wire.End) and event.unseen:  # as in Client.call
                    self._link, self._stream, self._events = await self._begin()
                    event = await self._events.get()
        except TimeoutError:
            await self.aclose()
            raise Error(wire.DEADLINE_EXCEEDED, "the call's time is over") from None
        if isinstance(event, wire.Message):
            self._used = len(event.data)
            return self._message.FromString(event.data)
        self._ended = True
        self.metadata = event.metadata
        if event.error is not None:
            raise read_error(self._schema, event.error)
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self._ended = True
        self._link.drop(self._stream)

    async def __aenter__(self) -> AsyncStream:
        return self

    async def __aexit__(self, *_: Any) -> None:
        await self.aclose()

    def __del__(self) -> None:
        if not self._ended:
            try:
                self._link.loop.call_soon_threadsafe(self._link.drop, self._stream)
            except RuntimeError:
                pass  # the loop is closed, and the connection with it


class AsyncClient:
    """As Client; `async with` closes it. To cancel a call, cancel the asyncio.Task that awaits it."""

    def __init__(self, path: Optional[str] = None, timeout: Optional[float] = None, patience: float = 5.0):
        self.path = path or default_socket()
        self.timeout, self.patience = timeout, patience
        self._link: Optional[_Link] = None
        self._old: list[_Link] = []
        self._connecting = asyncio.Lock()
        self._schema: Optional[Schema] = None
        self._closed = False

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: Any) -> None:
        await self.close()

    async def close(self) -> None:
        """Calls under way end UNAVAILABLE."""
        self._closed = True
        links = [*self._old, *([self._link] if self._link is not None else [])]
        self._link, self._old = None, []
        for link in links:
            await link.close()

    async def _connected(self) -> _Link:
        async with self._connecting:
            if self._closed:
                raise Error(wire.CANCELLED, "the client was closed")
            if self._link is not None and self._link.usable():
                return self._link
            if self._link is not None:
                self._old.append(self._link)
                self._link, self._schema = None, None
            for link in [link for link in self._old if link.error is not None]:
                self._old.remove(link)
                await link.close()
            self._link = await self._connect()
            return self._link

    async def _connect(self) -> _Link:
        """While nobody listens it tries again for as long as the patience lasts."""
        until = time.monotonic() + self.patience
        pause = 0.01
        while True:
            try:
                return _Link(*await asyncio.open_unix_connection(self.path))
            except OSError as e:
                if time.monotonic() + pause > until:
                    raise Error(wire.UNAVAILABLE,
                                f"{self.path}: {e.strerror or e}: is errand-service running?") from None
            await asyncio.sleep(pause)
            pause = min(pause * 2, 0.25)

    async def bear(self, error: Error, since: Optional[float]) -> float:
        """As Client.bear."""
        now = time.monotonic()
        since = now if since is None else since
        if error.code != wire.UNAVAILABLE or self._closed or now - since > self.patience:
            raise error
        await asyncio.sleep(0.05)
        return since

    async def _start(self, method: str, payload: bytes, timeout: Optional[float], metadata: Mapping[str, str],
                     streaming: bool) -> tuple[_Link, int, asyncio.Queue[Any]]:
        service, _, name = method.partition("/")
        while True:
            link = await self._connected()
            try:
                return link, *await link.start(service, name, payload, timeout, metadata, streaming)
            except Error:
                if link.usable():
                    raise

    async def _ask(self, method: str, payload: bytes, timeout: Optional[float],
                   metadata: Mapping[str, str]) -> tuple[bytes, wire.End]:
        """A unary call: the answer's bytes and its end. What crossed the end of a service goes to the next one."""
        until = None if timeout is None else asyncio.get_running_loop().time() + timeout
        while True:
            left = None if until is None else max(0.0, until - asyncio.get_running_loop().time())
            data, end = await self._ask_once(method, payload, left, metadata)
            if not end.unseen:
                return data, end

    async def _ask_once(self, method: str, payload: bytes, timeout: Optional[float],
                        metadata: Mapping[str, str]) -> tuple[bytes, wire.End]:
        data = b""
        link, stream, events = await self._start(method, payload, timeout, metadata, False)
        try:
            async with asyncio.timeout(None if timeout is None else timeout + GRACE):
                while not isinstance(event := await events.get(), wire.End):
                    data = event.data
                return data, event
        except TimeoutError:
            raise Error(wire.DEADLINE_EXCEEDED, "the call's time is over") from None
        finally:
            link.drop(stream)

    # --- the schema ---

    async def schema(self) -> Schema:
        """What the service speaks, read once a connection; refresh() reads it again."""
        await self._connected()
        return self._schema or await self.refresh()

    async def refresh(self) -> Schema:
        data, end = await self._ask("errand.v1.Schema/Get", b"", 30, {})
        if end.error is not None:
            raise read_error(None, end.error)
        self._schema = Schema(bytes(dict(wire.fields(data)).get(2, b"")))
        return self._schema

    async def _method(self, name: str) -> tuple[Schema, Any]:
        schema = await self.schema()
        try:
            return schema, schema.method(name)
        except LookupError:
            schema = await self.refresh()
            return schema, schema.method(name)

    # --- calls ---

    async def call(self, method: str, value: Any = None, /, *, timeout: Optional[float] = None,
                   metadata: Mapping[str, str] = {}, **fields: Any) -> Any:
        """Calls "pkg.Service/Method" with a message, a dict or keywords; of a stream: an AsyncStream."""
        schema, d = await self._method(method)
        if schema.streams(d):
            return await self.stream(method, value, timeout=timeout, metadata=metadata, **fields)
        payload = schema.input(d, value, fields).SerializeToString()
        data, end = await self._ask(method, payload, self.timeout if timeout is None else timeout, metadata)
        if end.error is not None:
            raise read_error(schema, end.error)
        return read_answer(schema, d, data, end.metadata)

    async def stream(self, method: str, value: Any = None, /, *, timeout: Optional[float] = None,
                     metadata: Mapping[str, str] = {}, **fields: Any) -> AsyncStream:
        """Calls a method that answers with a stream: async for m in await client.stream(...)."""
        schema, d = await self._method(method)
        if not schema.streams(d):
            raise TypeError(f"{method} answers with one message: use call()")
        timeout = self.timeout if timeout is None else timeout
        payload = schema.input(d, value, fields).SerializeToString()
        now = asyncio.get_running_loop().time
        until = None if timeout is None else now() + timeout

        async def begin() -> _Begun:
            left = None if until is None else max(0.0, until - now())
            return await self._start(method, payload, left, metadata, True)
        return AsyncStream(schema, d, begin, await begin(), None if until is None else until + GRACE)

    async def service(self, name: str) -> Service:
        """await (await client.service("pkg.Service")).Method(field=value)"""
        try:
            return Service(self, name, (await self.schema()).service(name))
        except LookupError:
            return Service(self, name, (await self.refresh()).service(name))

    # --- tasks ---

    async def submit(self, method: str, value: Any = None, /, *, options: Mapping[str, Any] = {},
                     idempotency_key: str = "", **fields: Any) -> AsyncTask:
        metadata = {"idempotency-key": idempotency_key} if idempotency_key else {}
        request = task_request((await self._method(method))[0], method, value, fields, options)
        made = await self.call("errand.v1.Tasks/CreateTask", request, metadata=metadata)
        return AsyncTask(self, made.id, made)

    def task(self, id_: str) -> AsyncTask:
        return AsyncTask(self, id_)

    async def tasks(self, filter_: str = "", /, **fields: Any) -> AsyncIterator[AsyncTask]:
        """As Client.tasks: async for task in client.tasks(...)."""
        token = ""
        while True:
            page = await self.call("errand.v1.Tasks/ListTasks", {**fields, "filter": filter_, "page_token": token})
            for task in page.tasks:
                yield AsyncTask(self, task.id, task)
            token = page.next_page_token
            if not token:
                return


class AsyncTask:
    """As Task."""

    def __init__(self, client: AsyncClient, id_: str, latest: Any = None):
        self.client, self.id, self.latest = client, id_, latest

    async def _ask(self, verb: str, metadata: Mapping[str, str] = {}, timeout: Optional[float] = None) -> Any:
        self.latest = await self.client.call(f"errand.v1.Tasks/{verb}", id=self.id, metadata=metadata,
                                             timeout=timeout)
        return self.latest

    async def get(self) -> Any:
        return await self._ask("GetTask")

    @property
    def state(self) -> str:
        """As last seen; "" when it was never looked at."""
        return state_name(self.latest) if self.latest is not None else ""

    async def wait(self, timeout: Optional[float] = None) -> Any:
        until = None if timeout is None else time.monotonic() + timeout
        gone = None
        while self.state not in TERMINAL:
            left = _STEP if until is None else min(_STEP, until - time.monotonic())
            if left <= 0:
                raise TimeoutError(f"task {self.id} has not ended after {timeout} s")
            try:
                await self._ask("GetTask", {"prefer-wait": str(int(left * 1e9))}, left + 30)
                gone = None
            except Error as e:
                gone = await self.client.bear(e, gone)
        return self.latest

    async def result(self, timeout: Optional[float] = None) -> Any:
        task = await self.wait(timeout)
        if state_name(task) != "SUCCEEDED":
            raise task_failed(task)
        answer = await self.client.call("errand.v1.Tasks/GetResult", id=self.id)
        return (await self.client.schema()).unpack(answer.result)

    async def events(self, after: int = 0) -> AsyncIterator[Any]:
        gone = None
        while True:
            try:
                async with await self.client.stream("errand.v1.Tasks/WatchEvents", id=self.id,
                                                    after_seq=after) as events:
                    async for event in events:
                        after, gone = event.seq or after, None
                        yield event
                return
            except Error as e:
                gone = await self.client.bear(e, gone)

    async def logs(self, follow: bool = False, attempt: int = 0) -> AsyncIterator[Any]:
        async with await self.client.stream("errand.v1.Tasks/GetLogs", id=self.id, attempt=attempt,
                                            follow=follow) as lines:
            async for line in lines:
                yield line

    async def attempts(self) -> list[Any]:
        return list((await self.client.call("errand.v1.Tasks/ListAttempts", id=self.id)).attempts)

    async def cancel(self) -> Any:
        return await self._ask("CancelTask")

    async def retry(self) -> Any:
        return await self._ask("RetryTask")

    async def delete(self) -> None:
        await self.client.call("errand.v1.Tasks/DeleteTask", id=self.id)
