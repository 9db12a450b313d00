"""Services under the module name that restate-sdk gives them.

Owns nothing: `durably.authoring.services` does.
"""

from durably.authoring.services import Service

__all__ = ["Service"]
