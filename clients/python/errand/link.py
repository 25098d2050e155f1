"""One connection to the service with a thread that reads and writes it. Calls are begun
from any thread; each has a queue on which its events come."""

from __future__ import annotations

import collections
import queue
import selectors
import socket
import threading
import time
from typing import Any, Mapping

from . import wire
from .wire import Error, ProtocolError

LOST = "the connection to the service was lost"
GRACE = 0.1  # after a deadline, for the service's own answer to it


def connect(path: str, deadline: float) -> socket.socket:
    """Connects; while nobody listens it tries again until the deadline (monotonic)."""
    pause = 0.01
    while True:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.connect(path)
            return sock
        except OSError as e:
            sock.close()
            if time.monotonic() + pause > deadline:
                raise Error(wire.UNAVAILABLE, f"{path}: {e.strerror or e}: is errand-service running?") from None
        time.sleep(pause)
        pause = min(pause * 2, 0.25)


class Pending:
    """A call that was begun: its events, from the link's thread to the caller's."""

    def __init__(self, link: Link, streaming: bool, timeout: float | None):
        self.link, self.streaming, self.number = link, streaming, 0
        self.deadline = None if timeout is None else time.monotonic() + timeout
        self.events: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def next(self, timeout: float | None = None) -> Any:
        """The next Message or End. queue.Empty when `timeout` is over first; past the call's
        own deadline it is cancelled and fails."""
        left = None if self.deadline is None else max(0.0, self.deadline + GRACE - time.monotonic())
        first = timeout if left is None or (timeout is not None and timeout < left) else left
        try:
            return self.events.get(True, first)
        except queue.Empty:
            if first is not left:
                raise
        except BaseException:  # KeyboardInterrupt: nobody waits any more
            self.cancel()
            raise
        self.cancel()
        return wire.End(self.number, Error(wire.DEADLINE_EXCEEDED, "the call's time is over"))

    def cancel(self) -> None:
        """The caller gives up; who waits in another thread is told."""
        self.link.cancel(self)
        self.events.put(wire.End(self.number, Error(wire.CANCELLED, "cancelled")))


class Link:
    """A connection. Dead, or after the service's GOAWAY, it takes no new calls."""

    def __init__(self, path: str, patience: float):
        self._sock = connect(path, time.monotonic() + patience)
        self._sock.setblocking(False)
        self._wake_r, self._wake_w = socket.socketpair()
        self._wake_r.setblocking(False)
        self._wake_w.setblocking(False)
        self._wire = wire.Connection()
        self._out = bytearray()
        self._calls: dict[int, Pending] = {}
        self._abandoned: collections.deque[Pending] = collections.deque()
        self._lock = threading.Lock()
        self.dead = False
        self.why = LOST
        self._thread = threading.Thread(target=self._run, name="errand-link", daemon=True)
        self._thread.start()

    # --- callers' threads ---

    def begin(self, service: str, method: str, payload: bytes, timeout: float | None = None,
              metadata: Mapping[str, str] | None = None, streaming: bool = False) -> Pending:
        """Begins a call. UNAVAILABLE when the link takes none: nothing has been sent then."""
        call = Pending(self, streaming, timeout)
        with self._lock:
            if not self.usable():
                raise Error(wire.UNAVAILABLE, self.why if self.dead else "the service is stopping")
            call.number = self._wire.request(service, method, payload, timeout, metadata or {}, streaming)
            self._calls[call.number] = call
            self._flush()
        return call

    def cancel(self, call: Pending) -> None:
        with self._lock:
            if self._calls.pop(call.number, None) is not None and not self.dead:
                self._wire.cancel(call.number)
                self._flush()

    def abandon(self, call: Pending) -> None:
        """As cancel, for a __del__: that may come while this very thread holds the lock."""
        self._abandoned.append(call)
        self._wake()

    def consumed(self, call: Pending, n: int) -> None:
        """The caller has taken n bytes of the stream."""
        with self._lock:
            if not self.dead:
                self._wire.consumed(call.number, n)
                self._flush()

    def close(self) -> None:
        """Ends the connection and all its calls."""
        self._fail("the client was closed")
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def usable(self) -> bool:
        return not self.dead and not self._wire.leaving

    # --- with the lock held ---

    def _flush(self) -> None:
        self._out += self._wire.take_outgoing()
        if self._write():
            self._wake()

    def _write(self) -> bool:
        """Sends what the socket takes; whether something is left."""
        while self._out:
            try:
                n = self._sock.send(self._out)
            except (BlockingIOError, InterruptedError):
                return True
            except OSError:
                return False  # the reader sees the end, and what had been said before it
            del self._out[:n]
        return False

    def _wake(self) -> None:
        try:
            self._wake_w.send(b"\0")
        except OSError:
            pass  # full: it is awake

    # --- the link's thread ---

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._sock, selectors.EVENT_READ)
            selector.register(self._wake_r, selectors.EVENT_READ)
            try:
                while not self.dead:
                    self._turn(selector)
            except ProtocolError as e:
                self._fail(f"{LOST}: {e}")
            except OSError as e:
                self._fail(f"{LOST}: {e.strerror or e}")
            finally:
                self._fail(LOST)
        self._sock.close()
        self._wake_r.close()
        with self._lock:
            self._wake_w.close()

    def _turn(self, selector: selectors.BaseSelector) -> None:
        while self._abandoned:
            self.cancel(self._abandoned.popleft())
        with self._lock:
            left = self._write()
        selector.modify(self._sock, selectors.EVENT_READ | (selectors.EVENT_WRITE if left else 0))
        for key, ready in selector.select():
            if key.fileobj is self._wake_r:
                self._wake_r.recv(4096)
            elif ready & selectors.EVENT_READ:
                self._read()

    def _read(self) -> None:
        try:
            data = self._sock.recv(262_144)
        except (BlockingIOError, InterruptedError):
            return
        with self._lock:
            if not data:
                self._wire.eof()
                raise ConnectionResetError("it was closed by the service")
            events = self._wire.feed(data)
            self._flush()
            for event in events:
                self._take(event)

    def _take(self, event: wire.Event) -> None:
        ends = isinstance(event, wire.End)
        call = self._calls.pop(event.stream, None) if ends else self._calls.get(event.stream)
        if call is not None:
            call.events.put(event)

    def _fail(self, why: str) -> None:
        with self._lock:
            if self.dead:
                return
            self.dead, self.why = True, why
            calls, self._calls = self._calls, {}
            self._wake()
        for call in calls.values():
            call.events.put(self._wire.lost(call.number, why))
