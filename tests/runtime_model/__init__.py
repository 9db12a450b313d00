"""A small model of the runtime, for tests: drives an ASGI app in this process and keeps the journal."""
