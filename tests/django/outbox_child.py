"""A process that writes messages until it is killed, or that waits until all of them have arrived.

`python -m tests.django.outbox_child write 100` commits orders from number 100 on, each with its message, and rolls back
every third; it says each number once its transaction is over. `… drain` ends when the outbox is empty and every
committed order has its entry.
"""

from __future__ import annotations

import sys
import time
from datetime import timedelta

import django


def main() -> None:
    """Do what the command line says."""
    django.setup()
    from durably_django.runtime import runtime

    runtime.start()
    if sys.argv[1] == "write":
        write(int(sys.argv[2]))
    else:
        drain()
        runtime.stop()


def write(number: int) -> None:
    """Write for ever."""
    from django.db import transaction

    from durably_django import send_on_commit
    from tests.django.project.shop.durable import note_once
    from tests.django.project.shop.models import Entry

    class Refused(Exception):
        """Rolls a transaction back."""

    while True:
        try:
            with transaction.atomic():
                Entry.objects.create(text=f"order {number}")
                send_on_commit(note_once, f"sent {number}")
                if number % 3 == 0:
                    raise Refused
        except Refused:
            pass
        print(number, flush=True)
        number += 1


def drain() -> None:
    """Wait for the end."""
    from django.utils import timezone

    from durably_django.models import OutboxMessage
    from tests.django.project.shop.models import Entry

    moved_s, last = time.monotonic(), None
    while time.monotonic() < moved_s + 30:
        orders = Entry.objects.filter(text__startswith="order ").count()
        arrived = Entry.objects.filter(text__startswith="sent ").count()
        left = OutboxMessage.objects.count()
        if not left and arrived >= orders:
            return
        if (arrived, left) != last:
            moved_s, last = time.monotonic(), (arrived, left)
        later = timezone.now() + timedelta(seconds=15)
        OutboxMessage.objects.filter(due_at__gt=later).update(due_at=timezone.now())  # claims of the dead
        time.sleep(0.05)
    raise SystemExit(f"messages are missing: {orders} orders, {arrived} arrived, {left} left")


if __name__ == "__main__":
    main()
