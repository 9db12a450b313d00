"""Service protocol versions and the content types that name them.

Owns which versions this package speaks. The runtime chooses one per invocation and says so in
`content-type`; the answer must carry exactly the same string.
"""

from __future__ import annotations

import enum
from typing import Final

from durably.errors import UnsupportedVersionError

__all__ = ["MAX_VERSION", "MIN_VERSION", "ProtocolVersion", "content_type_of", "version_of_content_type"]


class ProtocolVersion(enum.IntEnum):
    """A version of the service protocol.

    V5 brought the immutable journal of commands and notifications, V6 the random seed and failure
    metadata, V7 the tree of awaited futures, acknowledged runs and scopes.
    """

    V5 = 5
    V6 = 6
    V7 = 7


MIN_VERSION: Final = ProtocolVersion.V5
MAX_VERSION: Final = ProtocolVersion.V7

_CONTENT_TYPES: Final = {version: f"application/vnd.restate.invocation.v{version.value}" for version in ProtocolVersion}
_VERSIONS: Final = {content_type: version for version, content_type in _CONTENT_TYPES.items()}


def content_type_of(version: ProtocolVersion) -> str:
    """Give the content type that names `version`, for the request and for the response."""
    return _CONTENT_TYPES[version]


def version_of_content_type(value: str | None) -> ProtocolVersion:
    """Read the version that the runtime chose.

    Args:
        value: The request's `content-type`, or None when there is none. Compared exactly: the
            runtime adds no parameters and changes no case.

    Raises:
        UnsupportedVersionError: It names no version between `MIN_VERSION` and `MAX_VERSION`.
    """
    version = _VERSIONS.get(value) if value is not None else None
    if version is None:
        offered = "no content-type" if value is None else f"content-type {value[:100]!r}"
        raise UnsupportedVersionError(
            f"The invocation came with {offered}, which is none of the supported service protocol versions"
            f" V{MIN_VERSION} to V{MAX_VERSION}.",
            offered=value,
            hint="Register the deployment again, so that the runtime learns which versions this endpoint speaks.",
        )
    return version
