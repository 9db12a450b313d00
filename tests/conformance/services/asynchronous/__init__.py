"""The contract services with `async def` handlers, one module for each theme."""
