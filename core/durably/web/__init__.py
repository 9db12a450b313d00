"""What the adapters of web frameworks share: settings, the link to the runtime, and the HTTP rules of endpoints.

Owns the names; imports no web framework.
"""
