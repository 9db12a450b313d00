"""Changing values between their serde and the journal.

Owns nothing: `durably.authoring.codec` does.
"""

from durably.authoring.codec import JournalValueCodec, JournalValueCodecProvider

__all__ = ["JournalValueCodec", "JournalValueCodecProvider"]
