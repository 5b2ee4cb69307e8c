"""Protobuf messages of the kubelet's APIs, made at run time: they have no static type."""

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

STRING, BOOL, INT32, INT64, MESSAGE = 9, 8, 5, 3, 11
_OPTIONAL, _REPEATED = 1, 3
Field = tuple[str, int, int, bool, str]
"""Name, number, type, whether it is repeated, and the message it is of."""


def make(package: str, schema: dict[str, tuple[Field, ...]]) -> dict[str, Any]:
    """Return a class for each message of a package.

    A dotted name is the entry of a map; its message stands before it.
    """
    name = f"{package}.proto"
    file = descriptor_pb2.FileDescriptorProto(name=name, package=package, syntax="proto3")
    made: dict[str, descriptor_pb2.DescriptorProto] = {}
    for name, fields in schema.items():
        outer, _, inner = name.partition(".")
        if inner:
            made[name] = made[outer].nested_type.add(name=inner)
            made[name].options.map_entry = True
        else:
            made[name] = file.message_type.add(name=name)
        for each in fields:
            _add(made[name], package, each)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}"))
        for name in schema
    }


def _add(message: descriptor_pb2.DescriptorProto, package: str, field: Field) -> None:
    name, number, kind, repeated, type_name = field
    message.field.add(
        name=name,
        number=number,
        type=kind,
        label=_REPEATED if repeated else _OPTIONAL,
        type_name=f".{package}.{type_name}" if type_name else None,
    )
