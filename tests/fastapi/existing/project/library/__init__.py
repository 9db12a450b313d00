"""A small library's API, as somebody wrote it who never heard of durable handlers."""
