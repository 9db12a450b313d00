"""The HTTP API that callers use: calls, sends, results, awakeables."""
