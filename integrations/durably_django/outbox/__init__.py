"""Messages that leave if and only if a transaction commits: writing them, and sending them.

Owns the names.
"""
