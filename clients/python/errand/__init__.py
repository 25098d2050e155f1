"""errand: call an errand service, hand it tasks, and serve its methods, from Python.

Needs Python 3.11 and protobuf (Debian: python3-protobuf). README.md shows all of it."""

from pkgutil import extend_path

# Generated modules import errand.v1.options_pb2, which lies wherever they do.
__path__ = extend_path(__path__, __name__)

from .aio import AsyncClient, AsyncTask  # noqa: E402
from .client import Client, Task
from .schema import Schema, descriptor_set, protoc
from .wire import Error, ProtocolError
from .worker import Call, Cancelled, Final, Retry, Worker

__all__ = ["AsyncClient", "AsyncTask", "Call", "Cancelled", "Client", "Error", "Final", "ProtocolError", "Retry",
           "Schema", "Task", "Worker", "descriptor_set", "protoc"]
