"""What a service speaks, from its own descriptor set: message classes at run time."""

from __future__ import annotations

import datetime
import difflib
import importlib
import os
import subprocess
import tempfile
from typing import Any, Iterable, Mapping

from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory

TYPE_PREFIX = "type.googleapis.com/"


class FieldError(TypeError):
    """A field that a message does not have, or a value that does not go into it."""


def descriptor_set(*modules: Any) -> bytes:
    """Generated modules (x_pb2), or their names, with all they import, as a FileDescriptorSet."""
    files: dict[str, Any] = {}

    def add(file: Any) -> None:
        if file.name not in files:
            for needed in file.dependencies:
                add(needed)
            files[file.name] = file
    for module in modules:
        add((importlib.import_module(module) if isinstance(module, str) else module).DESCRIPTOR)
    out = descriptor_pb2.FileDescriptorSet()
    for file in files.values():
        file.CopyToProto(out.file.add())
    return out.SerializeToString()


def protoc(path: str, *include: str, program: str = "protoc") -> bytes:
    """Compiles a .proto to a descriptor set with all it imports. include: further folders of
    imports, beside its own and errand's."""
    top = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
    known = (os.path.join(top, "proto"), os.path.join(top, "..", "proto"), "/usr/share/errand/proto",
             "/usr/local/share/errand/proto")
    ours = next((d for d in known if os.path.isdir(os.path.join(d, "errand", "v1"))), None)
    path = os.path.abspath(path)
    folders = [os.path.dirname(path), *include, *([ours] if ours else [])]
    with tempfile.TemporaryDirectory(prefix="errand-protoc-") as d:
        out = os.path.join(d, "set")
        done = subprocess.run([program, *(f"-I{f}" for f in folders), "--include_imports",
                               f"--descriptor_set_out={out}", path],
                              stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode != 0:
            raise ValueError(done.stderr.strip() or f"{program} failed")
        with open(out, "rb") as f:
            return f.read()


def roots(file_descriptor_set: bytes) -> list[str]:
    """The services of those files of a set that no other one imports."""
    files = descriptor_pb2.FileDescriptorSet.FromString(file_descriptor_set).file
    imported = {name for f in files for name in f.dependency}
    return [f"{f.package}.{s.name}".lstrip(".") for f in files if f.name not in imported for s in f.service]


class Schema:
    """A descriptor set and the classes of its messages; never changed, so for any thread."""

    def __init__(self, file_descriptor_set: bytes):
        self.set = file_descriptor_set
        self.pool = descriptor_pool.DescriptorPool()
        self._factory = message_factory.MessageFactory(self.pool)
        files = descriptor_pb2.FileDescriptorSet.FromString(file_descriptor_set)
        self._services = [f"{f.package}.{s.name}".lstrip(".") for f in files.file for s in f.service]
        todo = {f.name: f for f in files.file}
        for name in list(todo):
            self._add(name, todo)

    def _add(self, name: str, todo: dict[str, Any]) -> None:
        file = todo.pop(name, None)
        if file is None:
            return
        for needed in file.dependency:
            self._add(needed, todo)
        self.pool.Add(file)

    def message(self, name: str) -> Any:
        """The class of a message by its full name."""
        try:
            return self._factory.GetPrototype(self.pool.FindMessageTypeByName(name))
        except KeyError:
            raise LookupError(f"the service has no message {name}") from None

    def service(self, name: str) -> Any:
        try:
            return self.pool.FindServiceByName(name)
        except KeyError:
            raise LookupError(f"the service has no service {name!r}{hint(name, self._services)}") from None

    def method(self, name: str) -> Any:
        """The descriptor of "pkg.Service/Method"."""
        service, slash, method = name.partition("/")
        if not slash:
            raise LookupError(f"{name!r} is no method: a method is \"pkg.Service/Method\"")
        found = self.service(service).methods_by_name.get(method)
        if found is None:
            raise LookupError(f"service {service} has no method {method!r}"
                              f"{hint(method, self.service(service).methods_by_name.keys())}")
        return found

    def streams(self, method: Any) -> bool:
        proto = descriptor_pb2.MethodDescriptorProto()
        method.CopyToProto(proto)
        return proto.server_streaming

    def input(self, method: Any, value: Any = None, fields: Mapping[str, Any] = {}) -> message.Message:
        """The method's input: a message as it is, or made of a dict and keywords."""
        cls = self.message(method.input_type.full_name)
        if isinstance(value, message.Message):
            if value.DESCRIPTOR.full_name != method.input_type.full_name:
                raise TypeError(f"{method.full_name} takes {method.input_type.full_name}, "
                                f"not {value.DESCRIPTOR.full_name}")
            return cls.FromString(value.SerializeToString())
        return self.fill(cls(), {**(value or {}), **fields})

    def fill(self, to: message.Message, values: Mapping[str, Any]) -> Any:
        """Sets fields by name; timedelta, datetime and numbers of seconds become Duration and Timestamp."""
        for name, value in values.items():
            field = to.DESCRIPTOR.fields_by_name.get(name)
            if field is None:
                raise FieldError(f"{to.DESCRIPTOR.full_name} has no field {name!r}"
                                 f"{hint(name, to.DESCRIPTOR.fields_by_name.keys())}")
            if value is None:
                continue
            try:
                self._set(to, field, value)
            except FieldError:
                raise
            except (TypeError, ValueError, AttributeError) as e:
                raise FieldError(f"{field.full_name}: {e}") from None
        return to

    def _set(self, to: message.Message, field: Any, value: Any) -> None:
        if field.message_type is None:
            if field.label == field.LABEL_REPEATED:
                if isinstance(value, (str, bytes)):
                    raise TypeError(f"a list is needed, not {type(value).__name__}")
                getattr(to, field.name).extend(self._scalar(field, v) for v in value)
            else:
                setattr(to, field.name, self._scalar(field, value))
        elif field.message_type.GetOptions().map_entry:
            self._set_map(to, field, value)
        elif field.label == field.LABEL_REPEATED:
            for v in value:
                self._merge(getattr(to, field.name).add(), v)
        else:
            self._merge(getattr(to, field.name), value)

    def _set_map(self, to: message.Message, field: Any, value: Mapping[Any, Any]) -> None:
        target = getattr(to, field.name)
        of_messages = field.message_type.fields_by_name["value"].message_type is not None
        for key, v in value.items():
            if of_messages:
                self._merge(target[key], v)
            else:
                target[key] = v

    @staticmethod
    def _scalar(field: Any, value: Any) -> Any:
        if field.enum_type is None or not isinstance(value, str):
            return value
        known = field.enum_type.values_by_name
        if value not in known:
            raise TypeError(f"{value} is none of {', '.join(known)}")
        return known[value].number

    def _merge(self, to: Any, value: Any) -> None:
        name = to.DESCRIPTOR.full_name
        to.SetInParent()
        if isinstance(value, message.Message):
            if value.DESCRIPTOR.full_name == name:
                to.MergeFromString(value.SerializeToString())
            elif name == "google.protobuf.Any":
                to.type_url = TYPE_PREFIX + value.DESCRIPTOR.full_name
                to.value = value.SerializeToString()
            else:
                raise TypeError(f"a {value.DESCRIPTOR.full_name} where a {name} belongs")
        elif name == "google.protobuf.Duration":
            seconds = value.total_seconds() if isinstance(value, datetime.timedelta) else float(value)
            nanos = round(seconds * 1e9)
            to.seconds, to.nanos = int(nanos / 1e9), int(nanos - int(nanos / 1e9) * 10**9)
        elif name == "google.protobuf.Timestamp" and isinstance(value, datetime.datetime):
            to.FromDatetime(value.astimezone(datetime.timezone.utc).replace(tzinfo=None))
        elif name in ("google.protobuf.Struct", "google.protobuf.Value", "google.protobuf.ListValue"):
            from google.protobuf import json_format
            json_format.ParseDict(value, to, descriptor_pool=self.pool)
        elif isinstance(value, Mapping):
            self.fill(to, value)
        else:
            raise TypeError(f"a {name} is made of a dict or a message, not of {type(value).__name__}")

    def unpack(self, any_: Any) -> Any:
        """The message in a google.protobuf.Any; None when it is empty."""
        if not any_.type_url:
            return None
        return self.message(any_.type_url.rpartition("/")[2]).FromString(any_.value)


    def problem(self, data: bytes) -> Any:
        """The errand.v1.Problem that is these bytes; None when they are none."""
        try:
            return self.message("errand.v1.Problem").FromString(data)
        except (LookupError, message.DecodeError):
            return None


def hint(name: str, known: Iterable[str]) -> str:
    """What may have been meant."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, 1)
    if near:
        return f": did you mean {near[0]!r}?"
    return f" (there are: {', '.join(names[:20])})" if names else " (there is none)"
