"""Running handlers behind HTTP, neutral to web frameworks.

Owns the route table, the ASGI and WSGI applications, the choice of mode, and the two drivers: one runs handlers on the
event loop, the other in threads. Drivers only wait and move bytes; what happens is decided by `durably.machine`.
"""
