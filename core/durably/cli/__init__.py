"""The command line `durably`: running an application, and looking after what runs.

Owns what people type and see. Everything that it does to a runtime goes through the runtime's own HTTP APIs, over the
network or in process; so it does nothing that other clients could not do.
"""
