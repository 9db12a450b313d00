"""The machinery of the conformance suite: columns of the matrix, processes, HTTP clients, the concurrent runner."""
