"""Workflows under the module name that restate-sdk gives them.

Owns nothing: `durably.authoring.workflows` does.
"""

from durably.authoring.workflows import Workflow

__all__ = ["Workflow"]
