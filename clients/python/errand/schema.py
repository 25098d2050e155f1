"""What a service speaks, from its own descriptor set: message classes at run time."""

from __future__ import annotations

import datetime
from typing import Any, Iterable, Mapping

from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory

TYPE_PREFIX = "type.googleapis.com/"


def descriptor_set(*modules: Any) -> bytes:
    """Generated modules (x_pb2) with all they import, as a FileDescriptorSet."""
    files: dict[str, Any] = {}

    def add(file: Any) -> None:
        if file.name not in files:
            for needed in file.dependencies:
                add(needed)
            files[file.name] = file
    for module in modules:
        add(module.DESCRIPTOR)
    out = descriptor_pb2.FileDescriptorSet()
    for file in files.values():
        file.CopyToProto(out.file.add())
    return out.SerializeToString()


class Schema:
    def __init__(self, file_descriptor_set: bytes):
        self.set = file_descriptor_set
        self.pool = descriptor_pool.DescriptorPool()
        self._factory = message_factory.MessageFactory(self.pool)
        files = descriptor_pb2.FileDescriptorSet.FromString(file_descriptor_set)
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
            raise LookupError(f"the service has no service {name}") from None

    def method(self, name: str) -> Any:
        """The descriptor of "pkg.Service/Method"."""
        service, _, method = name.partition("/")
        found = self.service(service).methods_by_name.get(method)
        if found is None:
            raise LookupError(f"service {service} has no method {method}")
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
                known = ", ".join(sorted(to.DESCRIPTOR.fields_by_name)) or "none"
                raise TypeError(f"{to.DESCRIPTOR.full_name} has no field {name} (its fields: {known})")
            if value is not None:
                self._set(to, field, value)
        return to

    def _set(self, to: message.Message, field: Any, value: Any) -> None:
        if field.message_type is None:
            if field.label == field.LABEL_REPEATED:
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
            raise TypeError(f"{field.full_name}: {value} is none of {', '.join(known)}")
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


def method_names(service: Any) -> Iterable[str]:
    return service.methods_by_name.keys()
