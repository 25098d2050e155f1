"""A worker and a client of the socket in a few lines, for the tests: ttrpc by hand, messages by
python3-protobuf from the schema that the service itself gives."""

import queue
import socket
import struct
import sys
import threading
import time

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

REQUEST, RESPONSE, DATA, CREDIT = 1, 2, 3, 0x41


def varint(n):
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def fields(data):
    """(number, value) of each field: an int or bytes."""
    at = 0

    def number():
        nonlocal at
        n = shift = 0
        while True:
            byte = data[at]
            at += 1
            n |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return n
    while at < len(data):
        tag = number()
        if tag & 7 == 0:
            yield tag >> 3, number()
        else:
            n = number()
            yield tag >> 3, data[at:at + n]
            at += n


class Failed(Exception):
    def __init__(self, code, message):
        super().__init__(f"{code}: {message}")
        self.code = code


class Stream:
    def __init__(self):
        self.messages = queue.Queue()

    def get(self, timeout=20):
        """The next message; None at the end, Failed when that is an error."""
        got = self.messages.get(timeout=timeout)
        if isinstance(got, Failed):
            self.messages.put(got)
            raise got
        return got


class Client:
    """One connection; calls from any thread."""

    def __init__(self, path, reading=True):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.lock = threading.Lock()
        self.last = -1
        self.streams = {}
        self.reading = True
        self.thread = threading.Thread(target=self.read, daemon=True)
        if reading:
            self.thread.start()
        self.pool = None

    def pause(self):
        """Reads no more."""
        self.reading = False

    def close(self):
        self.reading = True
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        if self.thread.is_alive():
            self.thread.join(10)
        self.socket.close()

    def read(self):
        f = self.socket.makefile("rb")
        try:
            while len(head := f.read(10)) == 10:
                while not self.reading:
                    time.sleep(0.01)
                length, stream, kind, flags = struct.unpack(">IIBB", head)
                self.take(stream, kind, flags, f.read(length))
        except (OSError, ValueError):
            pass
        for s in list(self.streams.values()):
            s.messages.put(Failed(14, "the connection is gone"))

    def take(self, stream, kind, flags, data):
        s = self.streams.get(stream)
        if s is None:
            return
        if kind == DATA and not flags & 4:
            s.messages.put(data)
        if kind == RESPONSE:
            got = dict(fields(data))
            status = dict(fields(got.get(1, b"")))
            if status.get(1, 0):
                s.messages.put(Failed(status[1], status.get(2, b"").decode()))
            else:
                s.messages.put(got.get(2, b""))
        if kind == RESPONSE or (kind == DATA and flags & 1):
            s.messages.put(None)

    def start(self, method, payload=b"", metadata=(), timeout_ns=0, streams=False):
        service, name = method.split("/")
        body = field(1, service) + field(2, name) + field(3, payload)
        if timeout_ns:
            body += field(4, timeout_ns)
        for key, value in metadata:
            body += field(5, field(1, key) + field(2, value))
        with self.lock:
            self.last += 2
            stream = self.streams[self.last] = Stream()
            self.socket.sendall(struct.pack(">IIBB", len(body), self.last, REQUEST, int(streams)) + body)
        return stream

    def call(self, method, payload=b"", timeout=20, **kw):
        return self.start(method, payload, **kw).get(timeout)

    # --- messages ---

    def message(self, name):
        if self.pool is None:
            reply = dict(fields(self.call("errand.v1.Schema/Get")))
            files = descriptor_pb2.FileDescriptorSet.FromString(reply[2])
            self.pool = descriptor_pool.DescriptorPool()
            todo = {f.name: f for f in files.file}

            def add(f):
                for needed in f.dependency:
                    if needed in todo:
                        add(todo.pop(needed))
                self.pool.Add(f)
            while todo:
                add(todo.popitem()[1])
        return message_factory.MessageFactory(self.pool).GetPrototype(self.pool.FindMessageTypeByName(name))

    def ask(self, method, timeout=20, **members):
        """A call of errand.v1.Workers."""
        d = self.message("errand.v1.Order").DESCRIPTOR.file.services_by_name["Workers"].methods_by_name[method]
        request = self.message(d.input_type.full_name)(**members)
        reply = self.message(d.output_type.full_name)
        return reply.FromString(self.call(f"errand.v1.Workers/{method}", request.SerializeToString(), timeout))


class Worker(Client):
    def __init__(self, path, name="w", lease_s=0, connect=True, **members):
        super().__init__(path)
        if lease_s:
            d = self.message("google.protobuf.Duration")
            members["lease_duration"] = d(seconds=lease_s)
        self.registered = self.ask("RegisterWorker", name=name, **members)
        self.id = self.registered.worker
        self.orders = None
        if connect:
            self.connect()

    def connect(self):
        body = self.message("errand.v1.LeaseRequest")(worker=self.id).SerializeToString()
        self.orders = self.start("errand.v1.Workers/Lease", body, streams=True)

    def order(self, timeout=20):
        got = self.orders.get(timeout)
        return None if got is None else self.message("errand.v1.Order").FromString(got)

    def work(self, timeout=20):
        order = self.order(timeout)
        assert order is not None and order.WhichOneof("order") == "work", order
        return order.work

    def nothing(self, timeout=0.3):
        try:
            got = self.orders.get(timeout)
        except queue.Empty:
            return True
        raise AssertionError(self.message("errand.v1.Order").FromString(got) if got else got)

    def complete(self, work, output=b""):
        return self.ask("Complete", worker=self.id, lease=getattr(work, "lease", work), output=output)

    def fail(self, work, code=13, message="broken", **kw):
        return self.ask("Fail", worker=self.id, lease=getattr(work, "lease", work), code=code, message=message, **kw)

    def beat(self):
        return list(self.ask("Heartbeat", worker=self.id).leases)


def main(path, name, seconds):
    """One worker of the queue of that name; says what it does on stdout. seconds > 0: it answers
    the first task only then, and ends when that is refused; 0: at once, for ever."""
    w = Worker(path, name="fenced", queues=[name], tasks=4, lease_s=1)
    stop = threading.Event()

    def beat():
        while not stop.wait(0.3):
            try:
                w.beat()
            except Failed:
                return
    threading.Thread(target=beat, daemon=True).start()
    print("ready", flush=True)
    while True:
        work = w.work(3600)
        if not seconds:
            w.complete(work, work.input)
            continue
        print("work", work.attempt, flush=True)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(0.1)
        try:
            w.complete(work, work.input)
            print("done", flush=True)
        except Failed as e:
            print("refused", e.code, flush=True)
            return


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
