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
import random
import signal
import threading
import time
import traceback
from typing import Any, Callable, Mapping, Optional, Sequence

from . import schema as _schema, wire
from .client import Client
from .wire import Error

log = logging.getLogger("errand")
_PROGRESS_EVERY = 0.2   # seconds; the service keeps two a second
_BACKOFF = (0.1, 5.0)
_GONE = (wire.NOT_FOUND, wire.FAILED_PRECONDITION, wire.UNAVAILABLE, wire.CANCELLED)   # of a lease
_BUSY = (wire.DEADLINE_EXCEEDED, wire.RESOURCE_EXHAUSTED)
_HOPELESS = (wire.INVALID_ARGUMENT, wire.ALREADY_EXISTS, wire.PERMISSION_DENIED, wire.UNIMPLEMENTED)   # to register so


class Final(Exception):
    """The task fails and is not tried again. code: of google.rpc.Code."""

    def __init__(self, message: str = "", code: int = wire.FAILED_PRECONDITION):
        super().__init__(message)
        self.code = code


class Retry(Exception):
    """The attempt fails and another one may come: after `after` seconds, or as the task's own
    rule has it."""

    def __init__(self, message: str = "", after: Optional[float] = None, code: int = wire.UNAVAILABLE):
        super().__init__(message)
        self.after = after
        self.code = code


class Cancelled(Exception):
    """Raised by Call.check: nobody wants the answer any more, or the time is over."""


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
        self._answering = False
        has_timeout = work.HasField("timeout")
        self._until = time.monotonic() + work.timeout.seconds + work.timeout.nanos / 1e9 if has_timeout else None
        self._lock = threading.Lock()
        self._telling = threading.Lock()   # progress goes in its order, and before the answer
        self._sent = 0.0
        self._pending: Optional[dict[str, Any]] = None
        self._timer: Optional[threading.Timer] = None
        self._code = wire.CANCELLED             # why it was stopped
        self._on_cancel: list[Callable[[], None]] = []

    @property
    def time_left(self) -> Optional[float]:
        """Seconds; None when there is no limit."""
        return None if self._until is None else max(0.0, self._until - time.monotonic())

    def check(self) -> None:
        """Raises Cancelled once `cancelled` is set."""
        if self.cancelled.is_set():
            raise Cancelled("the lease is lost" if self.lost else "stopped")

    def progress(self, fraction: float, message: str = "", detail: Any = None) -> None:
        """0 to 1. Often is fine: what comes too fast replaces what waits, and the last one is sent."""
        with self._lock:
            self._pending = {"fraction": fraction, "message": message, "detail": detail}
            early = self._sent + _PROGRESS_EVERY - time.monotonic()
            if early > 0:
                if self._timer is None:
                    self._timer = threading.Timer(early, self._flush_late)
                    self._timer.daemon = True
                    self._timer.start()
                return
        self._flush()

    def _flush_late(self) -> None:
        try:
            self._flush()
        except Error as e:
            log.warning("progress of %s: %s", self.task, e)

    def _flush(self) -> None:
        with self._telling:
            with self._lock:
                if self._timer is not None:
                    self._timer.cancel()
                pending, self._pending, self._timer = self._pending, None, None
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
        """Lines of the task's log; stream: "handler", "stdout" or "stderr"."""
        self._tell("Log", stream=stream, lines=_clean(text).splitlines() or [""])

    def parent_result(self, i: int = 0) -> Any:
        """What the i-th task this one came after has answered."""
        return self._session.client.task(self.parents[i]).result(timeout=30)

    @property
    def client(self) -> Client:
        """The worker's own client, for calls to the service from within a handler."""
        return self._session.client

    def _tell(self, what: str, **fields: Any) -> None:
        if self.lost or not self.task:
            return
        try:
            self._session.ask(what, lease=self._lease, **fields)
        except Error as e:
            if e.code in _BUSY and "checkpoint" not in fields:
                log.warning("%s of %s: %s", what, self.task, e)  # it shows something, and no more
            elif e.code in _GONE:
                self._lose()
            else:
                raise

    def _stop(self, code: int = wire.CANCELLED) -> None:
        self._code = code
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
        return self.client.call(f"errand.v1.Workers/{what}", timeout=30, worker=self.id, **fields)

    def run(self) -> None:
        beats = threading.Thread(target=self._beat, name="errand-heartbeat", daemon=True)
        orders = self.client.stream("errand.v1.Workers/Lease", worker=self.id)
        beats.start()
        try:
            for order in orders:
                self._take(order)
        finally:
            self.over.set()
            beats.join()
            self.worker.serving.clear()
            with self.lock:
                left = list(self.calls.values())
            for call in left:
                call._lose()

    def _take(self, order: Any) -> None:
        kind = order.WhichOneof("order")
        if kind == "work":
            self._begin(order.work)
        elif kind == "stop":
            self._stop(order.stop.lease, order.stop.code)
        elif kind == "leave":
            log.info("leaving: %s", order.leave.reason)
            if not order.leave.again:
                self.worker._stopping.set()

    def _beat(self) -> None:
        """The first one tells that the service has seen our stream: work can come."""
        pause = 0.0
        while not self.over.wait(pause):
            pause = self.lease / 3
            with self.lock:  # what comes while we ask is not lost
                asked = dict(self.calls)
            try:
                kept = set(self.ask("Heartbeat").leases)
            except Error as e:
                if not self.over.is_set():
                    log.warning("heartbeat: %s", e)
                continue
            self.worker.serving.set()
            for lease, call in asked.items():
                if lease not in kept and not call._answering:
                    call._lose()

    def _begin(self, work: Any) -> None:
        call = Call(self, work)
        with self.lock:
            self.calls[work.lease] = call
        self.worker._submit(self, call, work)

    def _stop(self, lease: int, code: int) -> None:
        with self.lock:
            call = self.calls.get(lease)
        if call is not None:
            call._stop(code)

    def _end(self, call: Call, what: str, **fields: Any) -> None:
        try:
            call._flush_late()
            call._answering = True
            if not call.lost:
                self._answer(call, what, fields)
        except Error as e:
            log.warning("%s of %s came too late: %s", what, call.task or call.method, e)
        finally:
            with self.lock:
                self.calls.pop(call._lease, None)

    def _answer(self, call: Call, what: str, fields: Mapping[str, Any]) -> None:
        """A lease has to be answered: what is refused becomes a failure, and a service that has no time
        is asked again."""
        for pause in (0.1, 0.5, 2, 5, None):
            try:
                self.ask(what, lease=call._lease, **fields)
                return
            except TypeError as e:
                why = str(e)
            except Error as e:
                large = len(fields.get("output", b"")) > wire.MAX_FRAME - 4096  # never, however often
                if e.code in _GONE:
                    raise
                why = str(e)
                if e.code in _BUSY and not large and pause is not None and not self.over.wait(pause):
                    continue
            break
        log.error("%s of %s was refused: %s", what, call.task or call.method, why)
        self.ask("Fail", lease=call._lease, code=wire.INTERNAL, final=True,
                 message=_clean(f"the worker's answer was refused: {why}")[:1000])


def _clean(text: str) -> str:
    """Text that UTF-8 can carry: names of files need not be such."""
    return text.encode("utf-8", "replace").decode()


class Worker:
    """name: of the program, the same for all its instances. service: what it serves whole: a generated
    module (or several), or the path of a .proto, which protoc compiles; or descriptor_set= with services=
    (default: those of the files that no other one imports). queues: tasks of others that it takes."""

    def __init__(self, name: str, *, service: Any = None, descriptor_set: bytes = b"", services: Sequence[str] = (),
                 queues: Sequence[str] = (), tasks: int = 1, calls: int = 16, lease: float = 30,
                 path: Optional[str] = None):
        self.name, self.path = name, path
        self.queues, self.tasks, self.calls, self.lease = list(queues), tasks, calls, lease
        if isinstance(service, str):
            descriptor_set = _schema.protoc(service)
        modules = service if isinstance(service, (list, tuple)) else [service] if service is not None else []
        if descriptor_set:
            self.set, own = descriptor_set, _schema.roots(descriptor_set)
        else:
            self.set = _schema.descriptor_set(*modules) if modules else b""
            own = [s.full_name for m in modules for s in m.DESCRIPTOR.services_by_name.values()]
        self.services = list(services) or own
        self.handlers: dict[str, Callable[[Any, Call], Any]] = {}
        self.serving = threading.Event()   # set while the service knows us and gives us work
        self._stopping = threading.Event()
        self._session: Optional[_Session] = None
        self._told = self._hurry = False
        self._loop: Optional[asyncio.AbstractEventLoop] = None
        self._loop_thread: Optional[threading.Thread] = None
        self._threads: set[threading.Thread] = set()   # of the session's thread; each runs one handler

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
        """Serves until stop(), SIGTERM or SIGINT (the second time without an end of the work); connects
        again when the service was away."""
        self._check()
        before = {}
        if signals and threading.current_thread() is threading.main_thread():
            before = {n: signal.signal(n, self._on_signal) for n in (signal.SIGTERM, signal.SIGINT)}
        self._open()
        try:
            self._serve_on()
        finally:
            self._close()
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, *_: Any) -> None:
        """Whatever lock this thread holds just now: stop() takes its own elsewhere."""
        threading.Thread(target=self.stop, name="errand-stop", daemon=True).start()

    def _check(self) -> None:
        """Every method of the services it brings needs its handler."""
        schema = _schema.Schema(self.set)
        wanted = {f"{s}/{m}" for s in self.services for m in schema.service(s).methods_by_name.keys()}
        if missing := sorted(wanted - set(self.handlers)):
            raise LookupError(f"worker {self.name} has no handler for {', '.join(missing)}")
        for name in self.handlers:
            if name.partition("/")[0] in self.services:
                schema.method(name)

    def _serve_on(self) -> None:
        wait, away = _BACKOFF[0], False
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                self._serve()
            except Error as e:
                if e.code in _HOPELESS:
                    raise
                if not self._stopping.is_set() and not away:
                    log.warning("%s; trying again", e)
                away = True
            else:
                away = False
            wait = _BACKOFF[0] if time.monotonic() - began > _BACKOFF[1] else min(wait * 2, _BACKOFF[1])
            self._stopping.wait(wait * random.uniform(0.5, 1))

    def stop(self) -> None:
        """Takes nothing more; run() returns when what it has is answered, the second time at once: its
        tasks' attempts end LEASE_LOST then. Any thread, signal handlers."""
        again = self._told
        self._told = True
        self._stopping.set()
        self._hurry = self._hurry or again
        session = self._session
        if session is None or session.over.is_set():
            return
        try:
            if again:
                session.client.close()
            else:
                session.ask("Drain")
        except Error as e:
            log.warning("drain: %s", e)

    def _serve(self) -> None:
        with Client(self.path, patience=0) as client:
            session = _Session(self, client)
            client.refresh()   # now with our own services
            self._session = session
            if self._stopping.is_set():
                return
            log.info("serving %s", ", ".join(self.services + self.queues))
            session.run()

    def _open(self) -> None:
        if any(inspect.iscoroutinefunction(fn) for fn in self.handlers.values()):
            self._loop = asyncio.new_event_loop()
            self._loop_thread = threading.Thread(target=self._loop.run_forever, name="errand-async", daemon=True)
            self._loop_thread.start()

    def _close(self) -> None:
        for thread in self._threads:
            while thread.is_alive() and not self._hurry:
                thread.join(0.1)
        if self._loop is not None and self._loop_thread is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._loop_thread.join()
            self._loop.close()

    # --- one piece of work ---

    def _submit(self, session: _Session, call: Call, work: Any) -> None:
        """How many come at once is the service's to keep: it knows our tasks and calls."""
        self._threads = {t for t in self._threads if t.is_alive()}
        thread = threading.Thread(target=self._work, args=(session, call, work.input), name="errand-work", daemon=True)
        self._threads.add(thread)
        thread.start()

    def _work(self, session: _Session, call: Call, data: bytes) -> None:
        try:
            output = self._handle(session, call, data)
        except (Cancelled, concurrent.futures.CancelledError, asyncio.CancelledError) as e:
            session._end(call, "Fail", code=call._code, message=str(e) or "cancelled")
        except Final as e:
            session._end(call, "Fail", code=e.code, message=_clean(str(e)), final=True)
        except Retry as e:
            session._end(call, "Fail", code=e.code, message=_clean(str(e)), retry_after=e.after)
        except Error as e:
            session._end(call, "Fail", code=e.code, message=_clean(e.message), problem=e.problem)
        except Exception as e:  # pylint: disable=broad-except
            self._failed(session, call, e)
        else:
            session._end(call, "Complete", output=output)

    def _failed(self, session: _Session, call: Call, e: Exception) -> None:
        """A fault of the handler's own: where it was is for the log, not for the caller."""
        where = e.__traceback__
        while where is not None and where.tb_frame.f_code.co_filename == __file__:
            where = where.tb_next  # ours is of no interest
        text = "".join(traceback.format_exception(type(e), e, where))
        log.error("%s failed: %s", call.method, text)
        try:
            call.log(text, "stderr")
        except Error as refused:
            log.warning("log of %s: %s", call.task, refused)
        code = call._code if call.cancelled.is_set() else wire.INTERNAL
        session._end(call, "Fail", code=code, message=_clean(f"{type(e).__name__}: {e}"))

    def _handle(self, session: _Session, call: Call, data: bytes) -> bytes:
        schema = session.client.schema
        fn = self.handlers.get(call.method)
        if fn is None:
            raise Error(wire.UNIMPLEMENTED, f"worker {self.name} has no handler for {call.method}")
        d = schema.method(call.method)
        request = schema.message(d.input_type.full_name).FromString(data)
        answer = self._await(fn(request, call), call) if inspect.iscoroutinefunction(fn) else fn(request, call)
        if isinstance(answer, (bytes, bytearray)):
            return bytes(answer)
        if hasattr(answer, "SerializeToString"):
            if answer.DESCRIPTOR.full_name != d.output_type.full_name:
                raise Error(wire.INTERNAL, f"{call.method} answers with {d.output_type.full_name}, "
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
