"""Registered handlers, and the way from a decorated function to its handler.

Owns nothing: `durably.authoring.handlers` does.
"""

from durably.authoring.handlers import Handler, HandlerKind, ServiceKind, handler_of

handler_from_callable = handler_of

__all__ = ["Handler", "HandlerKind", "ServiceKind", "handler_from_callable", "handler_of"]
