"""A mail server for development and the demo: enough of SMTP (RFC 5321) for `smtplib`.

It writes a line of JSON for each mail, and knows a mail again by its `Message-ID`: a second one with the same is
marked as a repeat, as a real provider's deduplication would drop it.

    python -m postoffice --port 8125 --log mails.jsonl
"""

from __future__ import annotations

import argparse
import json
import socketserver
from dataclasses import asdict, dataclass
from email import message_from_bytes
from pathlib import Path
from threading import Lock

__all__ = ["Mail", "PostOffice", "read_mails"]


@dataclass(frozen=True, slots=True)
class Mail:
    """A line of the log.

    Attributes:
        reference: Its `Message-ID`, without the host.
        to: The recipient.
        subject: The subject.
        is_repeat: The reference was known.
    """

    reference: str
    to: str
    subject: str
    is_repeat: bool


def read_mails(log: Path) -> list[Mail]:
    """Read what was delivered so far."""
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    return [Mail(**json.loads(line)) for line in lines]


class PostOffice(socketserver.ThreadingTCPServer):
    """One mail server, on this machine."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, port: int, log: Path) -> None:
        """Listen; `serve_forever` delivers."""
        super().__init__(("127.0.0.1", port), _Conversation)
        self._log = log
        self._lock = Lock()
        self._known = {mail.reference for mail in read_mails(log)}

    def deliver(self, data: bytes) -> None:
        """Write a mail down."""
        mail = message_from_bytes(data)
        reference = str(mail["Message-ID"]).strip("<> ").partition("@")[0]
        with self._lock:
            entry = Mail(reference, str(mail["To"]), str(mail["Subject"]), reference in self._known)
            self._known.add(reference)
            with self._log.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(asdict(entry)) + "\n")


class _Conversation(socketserver.StreamRequestHandler):
    """One client."""

    server: PostOffice

    def handle(self) -> None:
        self.wfile.write(b"220 postoffice\r\n")
        while line := self.rfile.readline():
            verb = line.decode("latin-1").strip().partition(" ")[0].upper()
            if verb == "QUIT":
                self.wfile.write(b"221 bye\r\n")
                return
            if verb == "DATA":
                self.wfile.write(b"354 go on\r\n")
                if not self._take_mail():
                    return
            self.wfile.write(b"250 fine\r\n")

    def _take_mail(self) -> bool:
        """Take a mail up to its last line; the client may die before that, and then it was none."""
        lines: list[bytes] = []
        while (line := self.rfile.readline()) != b".\r\n":
            if not line:
                return False
            lines.append(line)
        self.server.deliver(b"".join(lines))
        return True


def main() -> None:
    """Run until stopped."""
    parser = argparse.ArgumentParser(description="A mail server that writes down what it gets.")
    parser.add_argument("--port", type=int, default=8125)
    parser.add_argument("--log", type=Path, default=Path("mails.jsonl"))
    given = parser.parse_args()
    with PostOffice(given.port, given.log) as office:
        office.serve_forever()


if __name__ == "__main__":
    main()
