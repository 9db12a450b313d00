"""How the runtime repeats failed attempts.

Owns nothing: `durably.authoring.options` does.
"""

from durably.authoring.options import InvocationRetryPolicy

__all__ = ["InvocationRetryPolicy"]
