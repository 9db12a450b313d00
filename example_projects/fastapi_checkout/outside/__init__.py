"""Stand-ins for the parties outside the shop: a payment provider over HTTP, and a mail server over SMTP."""
