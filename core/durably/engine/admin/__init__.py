"""The HTTP API that operators use: deployments, services, invocations, state, queries."""
