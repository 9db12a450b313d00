"""What code in a durable view reaches without parameters, as it reaches Flask's `request`.

Owns the two proxies, and the names under which `g` keeps what they give.
"""

from __future__ import annotations

from typing import Any, Final

from flask import g
from werkzeug.local import LocalProxy

from durably.authoring.current import current_context

__all__ = ["IDENTITY", "ctx", "identity"]

IDENTITY: Final = "identity"


def _context() -> Any:
    context = current_context()
    handler = context.handler
    return context if handler.is_async else handler.context_class(context)


def _identity() -> Any:
    return g.get(IDENTITY)


ctx: Any = LocalProxy(_context)
"""The context of the durable view or the handler that runs here; a `NotInHandlerError` elsewhere."""

identity: Any = LocalProxy(_identity)
"""Who called the durable view, as `Durably(identity=…)` said when the call arrived; the same as `g.identity`."""
