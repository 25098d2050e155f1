"""Workers: Python functions as methods of an errand service (docs/WORKERS.md).

    worker = errand.Worker("thumbs", service=thumbs_pb2)

    @worker.method("thumbs.v1.Thumbs/Make")
    def make(request, call):
        call.progress(0.5, "half")
        return {"path": request.path + ".jpg"}

    worker.run()
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
import logging
import os
import signal
import threading
import time
import traceback
from typing import Any, Callable, Mapping, Optional, Sequence

from . import schema as _schema
from .client import Client
from .wire import Error

log = logging.getLogger("errand")
_PROGRESS_EVERY = 0.2   # seconds; the service keeps two a second
_BACKOFF = (0.1, 5.0)


class Final(Exception):
    """The task fails and is not tried again. code: of google.rpc.Code."""

    def __init__(self, message: str = "", code: int = 9):
        super().__init__(message)
        self.code = code


class Retry(Exception):
    """The attempt fails and another one may come, no sooner than after `after` seconds."""

    def __init__(self, message: str = "", after: float = 0, code: int = 14):
        super().__init__(message)
        self.after = after
        self.code = code


class Call:
    """What a handler is given beside its input. Any thread."""

    def __init__(self, session: _Session, work: Any):
        self.method: str = work.method
        self.task: str = work.task              # its id; "" when it is a call
        self.attempt: int = work.attempt
        self.queue: str = work.queue
        self.metadata: dict[str, str] = dict(work.metadata)
        self.parents: list[str] = list(work.parents)
        self.cancelled = threading.Event()      # stop: the answer is not wanted, or time is up
        self.lost = False                       # somebody else has the task now: nothing counts any more
        self._session = session
        self._lease: int = work.lease
        self._checkpoint = work.checkpoint
        has_timeout = work.HasField("timeout")
        self._until = time.monotonic() + work.timeout.seconds + work.timeout.nanos / 1e9 if has_timeout else None
        self._lock = threading.Lock()
        self._sent = 0.0
        self._pending: Optional[dict[str, Any]] = None
        self._on_cancel: list[Callable[[], None]] = []

    @property
    def time_left(self) -> Optional[float]:
        """Seconds; None when there is no limit."""
        return None if self._until is None else max(0.0, self._until - time.monotonic())

    def progress(self, fraction: float, message: str = "", detail: Any = None) -> None:
        """0 to 1. Often is fine: what comes too fast replaces what waits, and the last one is sent."""
        with self._lock:
            self._pending = {"fraction": fraction, "message": message, "detail": detail}
            if time.monotonic() - self._sent < _PROGRESS_EVERY:
                return
        self._flush()

    def _flush(self) -> None:
        with self._lock:
            pending, self._pending = self._pending, None
            self._sent = time.monotonic()
        if pending is not None:
            self._tell("Progress", **pending)

    def save(self, state: Any) -> None:
        """A message the next attempt finds with checkpoint(), should this one not end well."""
        self._tell("Progress", checkpoint=state)

    def checkpoint(self) -> Any:
        """What an attempt before this one has saved, or None."""
        return self._session.client.schema.unpack(self._checkpoint)

    def log(self, text: str, stream: str = "handler") -> None:
        self._tell("Log", stream=stream, lines=text.splitlines() or [""])

    def parent_result(self, i: int = 0) -> Any:
        """What the i-th task this one came after has answered."""
        return self._session.client.task(self.parents[i]).result(timeout=30)

    def _tell(self, what: str, **fields: Any) -> None:
        if self.lost or (not self.task and what == "Progress"):
            return
        try:
            self._session.ask(what, lease=self._lease, **fields)
        except Error as e:
            if e.code not in (5, 9, 14):
                raise
            self._lose()

    def _stop(self) -> None:
        self.cancelled.set()
        for fn in self._on_cancel:
            fn()

    def _lose(self) -> None:
        self.lost = True
        self._stop()


class _Session:
    """From one RegisterWorker to the end of its Lease stream."""

    def __init__(self, worker: Worker, client: Client):
        self.worker, self.client = worker, client
        self.calls: dict[int, Call] = {}
        self.lock = threading.Lock()
        self.over = threading.Event()
        reply = client.call("errand.v1.Workers/RegisterWorker", worker.registration())
        self.id: str = reply.worker
        self.lease = reply.lease_duration.seconds + reply.lease_duration.nanos / 1e9

    def ask(self, what: str, **fields: Any) -> Any:
        return self.client.call(f"errand.v1.Workers/{what}", worker=self.id, timeout=30, **fields)

    def run(self) -> None:
        beats = threading.Thread(target=self._beat, name="errand-heartbeat", daemon=True)
        orders = self.client.call("errand.v1.Workers/Lease", worker=self.id)
        beats.start()
        try:
            for order in orders:
                kind = order.WhichOneof("order")
                if kind == "work":
                    self._begin(order.work)
                elif kind == "stop":
                    self._stop(order.stop.lease)
                elif kind == "leave":
                    log.info("leaving: %s", order.leave.reason)
                    if not order.leave.again:
                        self.worker._stopping.set()
        finally:
            self.over.set()
            beats.join()
            with self.lock:
                left = list(self.calls.values())
            for call in left:
                call._lose()

    def _beat(self) -> None:
        while not self.over.wait(self.lease / 3):
            try:
                kept = set(self.ask("Heartbeat").leases)
            except Error as e:
                log.warning("heartbeat: %s", e)
                continue
            with self.lock:
                lost = [c for lease, c in self.calls.items() if lease not in kept and c._lease < max(kept, default=0)]
            for call in lost:
                call._lose()

    def _begin(self, work: Any) -> None:
        call = Call(self, work)
        with self.lock:
            self.calls[work.lease] = call
        self.worker._submit(self, call, work)

    def _stop(self, lease: int) -> None:
        with self.lock:
            call = self.calls.get(lease)
        if call is not None:
            call._stop()

    def _end(self, call: Call, what: str, **fields: Any) -> None:
        try:
            call._flush()
            if not call.lost:
                self.ask(what, lease=call._lease, **fields)
        except Error as e:
            log.warning("%s of %s came too late or was refused: %s", what, call.task or call.method, e)
        finally:
            with self.lock:
                self.calls.pop(call._lease, None)


class Worker:
    """name: of the program, the same for all its instances. service: a generated module (or several) whose
    services it serves whole, or descriptor_set= with services=. queues: tasks of others that it takes."""

    def __init__(self, name: str, *, service: Any = None, descriptor_set: bytes = b"", services: Sequence[str] = (),
                 queues: Sequence[str] = (), tasks: int = 1, calls: int = 16, lease: float = 30,
                 path: Optional[str] = None):
        modules = service if isinstance(service, (list, tuple)) else [service] if service is not None else []
        self.name, self.path = name, path
        self.queues, self.tasks, self.calls, self.lease = list(queues), tasks, calls, lease
        self.set = descriptor_set or (_schema.descriptor_set(*modules) if modules else b"")
        self.services = list(services) or [s.full_name for m in modules for s in m.DESCRIPTOR.services_by_name.values()]
        self.handlers: dict[str, Callable[[Any, Call], Any]] = {}
        self._stopping = threading.Event()
        self._session: Optional[_Session] = None
        self._loop: Optional[asyncio.AbstractEventLoop] = None
        self._loop_thread: Optional[threading.Thread] = None
        self._pool: Optional[concurrent.futures.ThreadPoolExecutor] = None

    def method(self, name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Decorator: serves "pkg.Service/Method" with fn(input, call), plain or async. Returns a
        message, a dict of its fields, or None for an empty one."""
        def add(fn: Callable[..., Any]) -> Callable[..., Any]:
            if name in self.handlers:
                raise ValueError(f"{name} has a handler already")
            self.handlers[name] = fn
            return fn
        return add

    task = method

    def registration(self) -> Mapping[str, Any]:
        return {"name": self.name, "services": self.services, "descriptor_set": self.set, "queues": self.queues,
                "tasks": self.tasks, "calls": self.calls, "lease_duration": self.lease, "pid": os.getpid()}

    # --- running ---

    def run(self, signals: bool = True) -> None:
        """Serves until stop(), SIGTERM or SIGINT; connects again when the service was away."""
        if signals and threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: self.stop())
        self._open()
        wait = _BACKOFF[0]
        try:
            while not self._stopping.is_set():
                began = time.monotonic()
                try:
                    self._serve()
                except Error as e:
                    if e.code not in (5, 14):
                        raise
                    log.warning("%s; trying again", e)
                wait = _BACKOFF[0] if time.monotonic() - began > _BACKOFF[1] else min(wait * 2, _BACKOFF[1])
                self._stopping.wait(wait)
        finally:
            self._close()

    def stop(self) -> None:
        """Takes nothing more; run() returns when what it has is answered. Any thread, signal handlers."""
        self._stopping.set()
        threading.Thread(target=self._drain, name="errand-drain", daemon=True).start()

    def _drain(self) -> None:
        session = self._session
        if session is None or session.over.is_set():
            return
        try:
            session.ask("Drain")
        except Error as e:
            log.warning("drain: %s", e)

    def _serve(self) -> None:
        with Client(self.path) as client:
            session = _Session(self, client)
            client.refresh()   # now with our own services
            self._session = session
            if self._stopping.is_set():
                return
            log.info("serving %s", ", ".join(self.services + self.queues))
            session.run()

    def _open(self) -> None:
        width = self.tasks * max(1, len(self.queues) + len(self.services)) + self.calls
        self._pool = concurrent.futures.ThreadPoolExecutor(width, "errand-worker")
        if any(inspect.iscoroutinefunction(fn) for fn in self.handlers.values()):
            self._loop = asyncio.new_event_loop()
            self._loop_thread = threading.Thread(target=self._loop.run_forever, name="errand-async", daemon=True)
            self._loop_thread.start()

    def _close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True)
        if self._loop is not None and self._loop_thread is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._loop_thread.join()
            self._loop.close()

    # --- one piece of work ---

    def _submit(self, session: _Session, call: Call, work: Any) -> None:
        assert self._pool is not None
        self._pool.submit(self._work, session, call, work.input)

    def _work(self, session: _Session, call: Call, data: bytes) -> None:
        try:
            output = self._handle(session, call, data)
        except Final as e:
            session._end(call, "Fail", code=e.code, message=str(e), final=True)
        except Retry as e:
            session._end(call, "Fail", code=e.code, message=str(e), retry_after=e.after)
        except Error as e:
            session._end(call, "Fail", code=e.code or 13, message=e.message)
        except (concurrent.futures.CancelledError, asyncio.CancelledError):
            session._end(call, "Fail", code=1, message="cancelled")
        except Exception as e:  # pylint: disable=broad-except
            log.exception("%s failed", call.method)
            if call.task:
                call.log(traceback.format_exc(), "stderr")
            session._end(call, "Fail", code=13, message=f"{type(e).__name__}: {e}")
        else:
            session._end(call, "Complete", output=output)

    def _handle(self, session: _Session, call: Call, data: bytes) -> bytes:
        schema = session.client.schema
        fn = self.handlers.get(call.method)
        if fn is None:
            raise Error(12, f"worker {self.name} has no handler for {call.method}")
        d = schema.method(call.method)
        request = schema.message(d.input_type.full_name).FromString(data)
        answer = self._await(fn(request, call), call) if inspect.iscoroutinefunction(fn) else fn(request, call)
        if isinstance(answer, (bytes, bytearray)):
            return bytes(answer)
        if hasattr(answer, "SerializeToString"):
            if answer.DESCRIPTOR.full_name != d.output_type.full_name:
                raise Error(13, f"{call.method} answers with {d.output_type.full_name}, "
                                f"not {answer.DESCRIPTOR.full_name}")
            return answer.SerializeToString()
        return schema.fill(schema.message(d.output_type.full_name)(), answer or {}).SerializeToString()

    def _await(self, coroutine: Any, call: Call) -> Any:
        assert self._loop is not None
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        call._on_cancel.append(future.cancel)
        if call.cancelled.is_set():
            future.cancel()
        return future.result()
