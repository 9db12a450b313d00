"""The body of a request, whether or not somebody has read it before.

Owns the way back from a form to its bytes: middleware that looks into a form (the check of CSRF tokens does) leaves
nothing of a multipart body but its fields and files.
"""

from __future__ import annotations

import secrets

from django.http import HttpRequest
from django.http.request import RawPostDataException

__all__ = ["body_of", "upload_bytes"]


def upload_bytes(request: HttpRequest) -> int:
    """Give the size of the files in a request; 0 where there are none."""
    if not (request.content_type or "").startswith("multipart/form-data"):
        return 0
    return sum(file.size or 0 for files in request.FILES.lists() for file in files[1])


def body_of(request: HttpRequest) -> tuple[bytes, str]:
    """Give the body and its content type."""
    content_type = str(request.META.get("CONTENT_TYPE", ""))
    try:
        return request.body, content_type
    except RawPostDataException:
        boundary = f"durably-{secrets.token_hex(16)}"
        return _encode(request, boundary), f"multipart/form-data; boundary={boundary}"


def _encode(request: HttpRequest, boundary: str) -> bytes:
    """Write fields and files as a multipart body again."""
    encoding = request.encoding or "utf-8"
    parts: list[bytes] = []
    for name, values in request.POST.lists():
        for value in values:
            head = f'Content-Disposition: form-data; name="{_quoted(name)}"'
            parts.append(f"--{boundary}\r\n{head}\r\n\r\n".encode(encoding) + str(value).encode(encoding) + b"\r\n")
    for name, files in request.FILES.lists():
        for file in files:
            head = f'Content-Disposition: form-data; name="{_quoted(name)}"; filename="{_quoted(file.name or "")}"'
            kind = f"Content-Type: {file.content_type or 'application/octet-stream'}"
            file.seek(0)
            parts.append(f"--{boundary}\r\n{head}\r\n{kind}\r\n\r\n".encode(encoding) + file.read() + b"\r\n")
    parts.append(f"--{boundary}--\r\n".encode(encoding))
    return b"".join(parts)


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\r", " ").replace("\n", " ")
