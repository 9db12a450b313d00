"""Virtual objects under the module name that restate-sdk gives them.

Owns nothing: `durably.authoring.objects` does.
"""

from durably.authoring.objects import VirtualObject

__all__ = ["VirtualObject"]
