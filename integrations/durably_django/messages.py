"""Messages to the user (`django.contrib.messages`), on their way from an attempt to the caller.

Owns the storage that stands on an attempt's request, and what travels in the response that is recorded. On an attempt
there is neither a session nor a cookie to keep messages in; the edge, where both are, adds them to the request that
came in. Those of an attempt that did not end are not added: they come again with the one that does.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from django.http import HttpRequest, HttpResponse

__all__ = ["KeptMessages", "hand_on", "keep"]

_HEADER: Final = "X-Durably-Messages"
"""Of recorded responses; none leaves with it."""


class KeptMessages:
    """Stands for the storage of messages on an attempt's request; new ones are kept, and can be read.

    Attributes:
        level: Messages below it are dropped.
    """

    def __init__(self) -> None:
        """Keep nothing yet."""
        from django.contrib import messages

        self.level: int = messages.DEBUG
        self.kept: list[Any] = []

    def add(self, level: int, message: Any, extra_tags: str = "") -> None:
        """Keep a message; an empty one is ignored, as by Django."""
        if not message or int(level) < self.level:
            return
        from django.contrib.messages.storage.base import Message

        self.kept.append(Message(int(level), message, extra_tags=extra_tags))

    def __iter__(self) -> Iterator[Any]:
        """Give the messages of this attempt."""
        return iter(self.kept)

    def __len__(self) -> int:
        """Count them."""
        return len(self.kept)


def keep(request: HttpRequest, response: Any) -> None:
    """Write the messages of an attempt into its response."""
    from django.utils.safestring import SafeData

    kept: Any = getattr(request, "_messages", None)
    if not isinstance(kept, KeptMessages) or not kept.kept or not isinstance(response, HttpResponse):
        return
    response[_HEADER] = json.dumps(
        [
            [each.level, str(each.message), each.extra_tags or "", isinstance(each.message, SafeData)]
            for each in kept.kept
        ]
    )


def hand_on(request: HttpRequest, response: HttpResponse) -> None:
    """Add the messages that a recorded response brings to the request that came in."""
    if _HEADER not in response:
        return
    from django.contrib import messages
    from django.utils.safestring import mark_safe

    for level, text, tags, is_safe in json.loads(response[_HEADER]):
        message = mark_safe(text) if is_safe else text  # noqa: S308 - the view had marked it
        messages.add_message(request, level, message, tags, fail_silently=True)
    del response[_HEADER]
