"""The services that the conformance scenarios call, written once with `async def` and once with `def` handlers."""
