"""Types whose values survive the way to the attempts, and the form in which files and bytes travel.

Owns the search for what is lost in JSON (secrets, excluded fields, open files in models), and the JSON form of uploads:
base64, with name and headers.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import tempfile
import types
import typing
from collections.abc import Iterator
from typing import Annotated, Any, cast

from fastapi import UploadFile as FastapiUploadFile
from pydantic import BaseModel, PlainSerializer, PlainValidator, SecretBytes, SecretStr, WithJsonSchema
from starlette.datastructures import Headers, UploadFile

from durably_fastapi.analysis import plain_type

__all__ = ["carried_type", "upload_bytes", "what_is_lost"]

_SECRETS: tuple[type[Any], ...] = (SecretStr, SecretBytes)


def what_is_lost(annotation: Any) -> str | None:
    """Say which part of a type does not survive JSON, as `card.cvc is a SecretStr`; None when all does."""
    return next(_lost(annotation, "it", set()), None)


def _lost(annotation: Any, path: str, seen: set[Any]) -> Iterator[str]:
    plain = plain_type(annotation)
    for each in typing.get_args(plain):
        yield from _lost(each, path, seen)
    if not isinstance(plain, type) or plain in seen:
        return
    seen.add(plain)
    if issubclass(plain, _SECRETS):
        yield f"{path} is a {plain.__name__}"
    elif issubclass(plain, UploadFile) and path != "it":
        yield f"{path} is an {plain.__name__} inside a model"
    elif issubclass(plain, BaseModel):
        for name, info in plain.model_fields.items():
            if info.exclude:
                yield f"{path}.{name} is excluded from what is written"
            yield from _lost(info.annotation, f"{path}.{name}", seen)
    elif dataclasses.is_dataclass(plain) or typing.is_typeddict(plain):
        for name, inner in typing.get_type_hints(plain, include_extras=True).items():
            yield from _lost(inner, f"{path}.{name}", seen)


def carried_type(annotation: Any) -> Any:
    """Give the type with which a value travels: files and bytes, alone or in lists, get a JSON form."""
    plain = plain_type(annotation)
    if isinstance(plain, type) and issubclass(plain, UploadFile):
        return _CarriedFile
    if plain is bytes:
        return _CarriedBytes
    origin, arguments = typing.get_origin(plain), typing.get_args(plain)
    if origin is None or not arguments:
        return annotation
    changed = tuple(each if each is Ellipsis else carried_type(each) for each in arguments)
    if all(one is other for one, other in zip(changed, arguments, strict=True)):
        return annotation
    if origin in (typing.Union, types.UnionType):
        return typing.Union[changed]  # noqa: UP007 - the members are known only now
    return origin[changed]


def upload_bytes(value: Any) -> int:
    """Count the bytes of files and bytes in an argument, alone or in a list."""
    match value:
        case UploadFile():
            return value.size if value.size is not None else _measure(value)
        case bytes():
            return len(value)
        case list() | tuple() | set() | frozenset():
            return sum(upload_bytes(each) for each in cast("list[Any]", value))
        case _:
            return 0


def _measure(file: UploadFile) -> int:
    file.file.seek(0, 2)
    size = file.file.tell()
    file.file.seek(0)
    return size


def _write_file(file: UploadFile) -> dict[str, Any]:
    position = file.file.tell()
    file.file.seek(0)
    data = file.file.read()
    file.file.seek(position)
    return {
        "filename": file.filename,
        "headers": dict(file.headers),
        "data": base64.b64encode(data).decode("ascii"),
    }


def _read_file(value: Any) -> UploadFile:
    if isinstance(value, UploadFile):
        return value
    if not isinstance(value, dict):
        raise ValueError("a file is an object with filename, headers and data")
    given = cast("dict[str, Any]", value)
    name, headers, data = given.get("filename"), given.get("headers") or {}, given.get("data", "")
    if not (name is None or isinstance(name, str)) or not isinstance(headers, dict):
        raise ValueError("a file's name is a text, and its headers are an object")
    content = _decode(data)
    file = tempfile.SpooledTemporaryFile(max_size=0)  # noqa: SIM115 - kept in memory, and as long as the file is
    file.write(content)
    file.seek(0)
    texts = {str(key): str(text) for key, text in cast("dict[Any, Any]", headers).items()}
    return FastapiUploadFile(file=cast("Any", file), size=len(content), filename=name, headers=Headers(texts))


def _write_bytes(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def _decode(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise ValueError("bytes are a base64 text")
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error as error:
        raise ValueError(f"not base64: {error}") from error


_FILE_SCHEMA = {
    "type": "object",
    "properties": {
        "filename": {"type": ["string", "null"]},
        "headers": {"type": "object", "additionalProperties": {"type": "string"}},
        "data": {"type": "string", "contentEncoding": "base64"},
    },
    "required": ["data"],
}

_CarriedFile = Annotated[
    UploadFile, PlainValidator(_read_file), PlainSerializer(_write_file), WithJsonSchema(_FILE_SCHEMA)
]
_CarriedBytes = Annotated[
    bytes,
    PlainValidator(_decode),
    PlainSerializer(_write_bytes),
    WithJsonSchema({"type": "string", "contentEncoding": "base64"}),
]
