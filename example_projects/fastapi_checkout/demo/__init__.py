"""The shop, killed in the middle of its orders: `python -m demo`, or `make demo` from the root of the repository."""
