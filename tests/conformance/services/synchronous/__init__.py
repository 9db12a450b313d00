"""The contract services with plain `def` handlers, one module for each theme."""
