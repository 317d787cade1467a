"""The messages of Envoy's external authorization (`envoy.service.auth.v3`, and of `core.v3` and `google.rpc` what they
have in them), as far as they are used here: by the numbers of their fields, which are what goes over the wire.

Written down here, since the one package of them that is kept up, xds-protos, lays its own files over OpenTelemetry's.
What Envoy says besides is carried along unread.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, struct_pb2
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto

SERVICE: Final = "envoy.service.auth.v3.Authorization"
OVERWRITE_IF_EXISTS_OR_ADD: Final = 2
"""HeaderValueOption.append_action."""

_PACKAGE: Final = "muster.envoy"
_STRUCT: Final = ".google.protobuf.Struct"
_SCALARS: Final = {
    "string": FieldDescriptorProto.TYPE_STRING,
    "bytes": FieldDescriptorProto.TYPE_BYTES,
    "int32": FieldDescriptorProto.TYPE_INT32,
}
_MESSAGES: Final[Mapping[str, str]] = {
    "HeaderValue": "1 key string, 2 value string, 3 raw_value bytes",
    "HeaderMap": "1 headers HeaderValue[]",
    "HeaderValueOption": "1 header HeaderValue, 3 append_action int32",
    "Metadata": "1 filter_metadata {Struct}",
    "HttpRequest": (
        "2 method string, 3 headers {string}, 4 path string, 5 host string, 11 body bytes, 12 raw_body bytes, "
        "13 header_map HeaderMap"
    ),
    "Request": "2 http HttpRequest",
    "AttributeContext": "4 request Request, 11 metadata_context Metadata",
    "CheckRequest": "1 attributes AttributeContext",
    "Status": "1 code int32, 2 message string",
    "HttpStatus": "1 code int32",
    "DeniedHttpResponse": "1 status HttpStatus, 2 headers HeaderValueOption[], 3 body string",
    "OkHttpResponse": "2 headers HeaderValueOption[], 5 headers_to_remove string[]",
    "CheckResponse": (
        "1 status Status, 2 denied_response DeniedHttpResponse, 3 ok_response OkHttpResponse, 4 dynamic_metadata Struct"
    ),
}
"""Number, name and type of each field; `[]` is repeated, `{}` a table by strings."""


def _file() -> FileDescriptorProto:
    file = FileDescriptorProto(
        name="muster/envoy.proto", package=_PACKAGE, syntax="proto3", dependency=["google/protobuf/struct.proto"]
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field in fields.split(", "):
            number, called, kind = field.split(" ")
            _add(message, int(number), called, kind)
    return file


def _add(message: DescriptorProto, number: int, name: str, kind: str) -> None:
    field = message.field.add(name=name, number=number, label=FieldDescriptorProto.LABEL_OPTIONAL)
    if kind.startswith("{"):
        entry = message.nested_type.add(name="".join(part.title() for part in name.split("_")) + "Entry")
        entry.options.CopyFrom(descriptor_pb2.MessageOptions(map_entry=True))
        _add(entry, 1, "key", "string")
        _add(entry, 2, "value", kind.strip("{}"))
        field.label = FieldDescriptorProto.LABEL_REPEATED
        field.type, field.type_name = FieldDescriptorProto.TYPE_MESSAGE, f".{_PACKAGE}.{message.name}.{entry.name}"
        return
    if kind.endswith("[]"):
        field.label, kind = FieldDescriptorProto.LABEL_REPEATED, kind.removesuffix("[]")
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
    else:
        field.type = FieldDescriptorProto.TYPE_MESSAGE
        field.type_name = _STRUCT if kind == "Struct" else f".{_PACKAGE}.{kind}"


# A pool of its own: whoever has loaded Envoy's own messages in this process is not in the way.
_POOL: Final = descriptor_pool.DescriptorPool()
_POOL.AddSerializedFile(struct_pb2.DESCRIPTOR.serialized_pb)
_POOL.AddSerializedFile(_file().SerializeToString())


def _made(name: str) -> Any:
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"{_PACKAGE}.{name}"))


Struct: Final[Any] = message_factory.GetMessageClass(_POOL.FindMessageTypeByName(_STRUCT.removeprefix(".")))
HeaderValue: Final[Any] = _made("HeaderValue")
HeaderMap: Final[Any] = _made("HeaderMap")
HeaderValueOption: Final[Any] = _made("HeaderValueOption")
Metadata: Final[Any] = _made("Metadata")
HttpRequest: Final[Any] = _made("HttpRequest")
Request: Final[Any] = _made("Request")
AttributeContext: Final[Any] = _made("AttributeContext")
CheckRequest: Final[Any] = _made("CheckRequest")
Status: Final[Any] = _made("Status")
HttpStatus: Final[Any] = _made("HttpStatus")
DeniedHttpResponse: Final[Any] = _made("DeniedHttpResponse")
OkHttpResponse: Final[Any] = _made("OkHttpResponse")
CheckResponse: Final[Any] = _made("CheckResponse")
