"""What clients look like, whichever way they reach the runtime.

Owns nothing: `durably.client.interfaces` does.
"""

from durably.client.interfaces import HttpError, RestateClient, RestateClientSendHandle, RestateScopedClient

__all__ = ["HttpError", "RestateClient", "RestateClientSendHandle", "RestateScopedClient"]
