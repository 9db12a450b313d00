"""The wire: versions, message shapes, frames, identifiers, the manifest and request identity.

Owns bytes and their meaning, one message at a time. It knows no order of messages (that is
`durably.machine`), does no input or output, and reads no clock: callers pass the time in.
"""
