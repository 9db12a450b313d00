"""The mail server: enough of SMTP (RFC 5321) for `smtplib`. It knows a mail again by its `Message-ID`.

An address below `nowhere.example` is refused.
"""

from __future__ import annotations

import asyncio
from email import message_from_bytes
from email.message import Message

from outside.effects import EffectsLog

__all__ = ["PostOffice"]


class PostOffice:
    """One mail server.

    Attributes:
        effects: Where it writes what was delivered.
    """

    def __init__(self, effects: EffectsLog) -> None:
        """Deliver to this log."""
        self.effects = effects

    async def start(self, port: int) -> asyncio.Server:
        """Listen on this machine."""
        return await asyncio.start_server(self._talk, "127.0.0.1", port)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._converse(reader, writer)
        except ConnectionError:
            pass  # the client died: what it had not finished does not count
        finally:
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        recipients: list[str] = []
        writer.write(b"220 outside\r\n")
        while line := (await reader.readline()).decode().strip():
            verb, _, rest = line.partition(" ")
            match verb.upper():
                case "EHLO" | "HELO" | "RSET" | "NOOP" | "MAIL":
                    recipients.clear()
                    writer.write(b"250 fine\r\n")
                case "RCPT" if rest.rstrip(">").endswith("nowhere.example"):
                    writer.write(b"550 nobody there\r\n")
                case "RCPT":
                    recipients.append(rest.partition("<")[2].partition(">")[0])
                    writer.write(b"250 fine\r\n")
                case "DATA":
                    writer.write(b"354 go on\r\n")
                    body = await reader.readuntil(b"\r\n.\r\n")
                    self._deliver(message_from_bytes(body), recipients)
                    writer.write(b"250 delivered\r\n")
                case "QUIT":
                    writer.write(b"221 bye\r\n")
                    return
                case _:
                    writer.write(b"502 what?\r\n")

    def _deliver(self, mail: Message, recipients: list[str]) -> None:
        key = str(mail["Message-ID"]).strip("<>").partition("@")[0]
        self.effects.add("mail", key, f"{', '.join(recipients)}: {mail['Subject']}")
