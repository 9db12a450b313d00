"""The runtime's state machine: `apply` takes an event and a transaction, and answers with actions.

Decisions only: no input or output, no clock, no randomness of its own.
"""

from __future__ import annotations
