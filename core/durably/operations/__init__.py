"""Looking at what runs, and acting on it: what the command line and admin pages have in common.

Owns the way to a runtime (a server, an engine's file, or the engine of this process) and what is asked there. It knows
neither terminals nor pages. Everything goes through the runtime's own HTTP APIs, over the network or in process.
"""
