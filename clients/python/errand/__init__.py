"""errand: call an errand service, hand it tasks, and serve its methods, from Python.

Needs Python 3.11 and protobuf (Debian: python3-protobuf). README.md shows all of it."""

from .aio import AsyncClient, AsyncTask
from .client import Client, Task
from .schema import Schema, descriptor_set, protoc
from .wire import Error, ProtocolError
from .worker import Call, Cancelled, Final, Retry, Worker

__all__ = ["AsyncClient", "AsyncTask", "Call", "Cancelled", "Client", "Error", "Final", "ProtocolError", "Retry",
           "Schema", "Task", "Worker", "descriptor_set", "protoc"]
