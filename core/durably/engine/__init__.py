"""The embedded engine: the runtime side of the protocol, in the process of the application.

events, actions, records   what passes between the parts
core                       the state machine: pure functions over a transaction
store                      transactions: SQLite, memory
"""

from __future__ import annotations
