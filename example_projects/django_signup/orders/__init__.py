"""Orders: placed in a transaction, fulfilled by a durable handler that leaves with it, taken back by a durable view."""
