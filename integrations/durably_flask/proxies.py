"""What code in a durable view reaches without parameters, as it reaches Flask's `request`.

Owns the two proxies, and the names under which `g` keeps what they give.
"""

from __future__ import annotations

from typing import Any, Final

from flask import g
from werkzeug.local import LocalProxy

from durably.authoring.current import current_context
from durably.errors import NotInHandlerError

__all__ = ["IDENTITY", "ctx", "identity"]

IDENTITY: Final = "identity"


class _OutsideError(NotInHandlerError, RuntimeError):
    """There is no context. A `RuntimeError`, too: the proxy can still be looked at then, as Flask's own."""


def _context() -> Any:
    try:
        context = current_context()
    except NotInHandlerError as error:
        raise _OutsideError(error.message, hint=error.hint) from None
    handler = context.handler
    return context if handler.is_async else handler.context_class(context)


def _identity() -> Any:
    return g.get(IDENTITY)


ctx: Any = LocalProxy(_context)
"""The context of the durable view or the handler that runs here; a `NotInHandlerError` elsewhere."""

identity: Any = LocalProxy(_identity)
"""Who called the durable view, as `Durably(identity=…)` said when the call arrived; the same as `g.identity`."""
