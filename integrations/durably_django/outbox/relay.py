"""The relay: takes messages out of the outbox and sends them.

Owns one thread for each process that serves, and the rounds that `manage.py durably_outbox` runs.

Rules
1. A message is claimed by moving its `due_at` ahead; a claim whose process dies runs out. Where the database can skip
   locked rows (PostgreSQL, MySQL, Oracle), relays that look at once take different messages; elsewhere each message is
   claimed by a statement of its own, which only one relay wins.
2. It is deleted after the runtime has stored it. A process that dies in between leaves it to be sent again, with the
   same idempotency key, which the runtime knows: one invocation.
3. What cannot be sent stays, with the reason, and is tried again after growing pauses.
4. No transaction is open and no connection is held while the runtime is asked or the relay waits.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from django.db import DatabaseError, connections, router, transaction
from django.utils import timezone

from durably.authoring.handlers import HandlerKind
from durably.client.interfaces import HttpError
from durably.errors import DurablyError
from durably_django.database import release_connections
from durably_django.runtime import runtime
from durably_django.slots import slots

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from durably_django.models import OutboxMessage

__all__ = ["Relay", "relay"]

_BATCH: Final = 50
_CLAIM: Final = timedelta(seconds=5)  # how long a message of a process that died is late; sending twice does no harm
_IDLE_S: Final = 2.0  # between two looks for messages of processes that died
_FIRST_PAUSE: Final = timedelta(seconds=1)
_LONGEST_PAUSE: Final = timedelta(minutes=5)
_STOP_S: Final = 5.0
_CONFLICT: Final = 409

_logger = logging.getLogger("durably.django.outbox")


class Relay:
    """Sends what stands in the outboxes of all databases."""

    def __init__(self) -> None:
        """Prepare; the thread starts with the runtime."""
        self._woken = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._pid = 0
        self._broken: set[str] = set()

    # ---- the thread

    def start(self) -> None:
        """Start the thread; nothing happens if it runs in this process."""
        if self._thread is not None and self._pid == os.getpid() and self._thread.is_alive():
            return
        self._pid = os.getpid()
        self._woken, self._stopping = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="durably-outbox", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread, in bounded time; what it has not sent stays."""
        thread, self._thread = self._thread, None
        if thread is None or self._pid != os.getpid():
            return
        self._stopping.set()
        self._woken.set()
        thread.join(_STOP_S)
        self._stopping = threading.Event()

    def wake(self) -> None:
        """Look at once: a message was committed. Without a thread here, that of another process finds it."""
        self._woken.set()

    def _run(self) -> None:
        stopping, woken = self._stopping, self._woken
        with slots.counting():
            while not stopping.is_set():
                try:
                    self.drain()
                except Exception:
                    _logger.exception("The outbox could not be looked at; it is tried again.")
                finally:
                    release_connections()
                woken.wait(_IDLE_S)
                woken.clear()

    # ---- rounds

    def drain(self) -> int:
        """Send all messages that are due; gives how many were sent."""
        sent = 0
        for alias in _aliases():
            while True:
                batch = self._claim(alias)
                sent += self._send_batch(batch, alias)
                if len(batch) < _BATCH or self._stopping.is_set():
                    break
        return sent

    def _claim(self, alias: str) -> list[OutboxMessage]:
        from durably_django.models import OutboxMessage

        messages = OutboxMessage.objects.using(alias)
        try:
            claimed = _claim_skipping(messages) if _can_skip(alias) else _claim_singly(messages)
        except DatabaseError as error:
            if alias not in self._broken:
                self._broken.add(alias)
                _logger.warning("The outbox of database %r cannot be read. Has it been migrated? %s", alias, error)
            return []
        finally:
            release_connections()
        self._broken.discard(alias)
        return claimed

    def _send_batch(self, batch: list[OutboxMessage], alias: str) -> int:
        """Send what was claimed, until the claim is about to run out; another round takes the rest."""
        sent, deadline_s = 0, time.monotonic() + _CLAIM.total_seconds() / 2
        for message in batch:
            if time.monotonic() > deadline_s:
                break
            sent += self._send(message, alias)
        return sent

    def _send(self, message: OutboxMessage, alias: str) -> bool:
        """Send one message; gives whether it is gone."""
        from durably_django.models import OutboxMessage

        reason = _send(message)
        row = OutboxMessage.objects.using(alias).filter(pk=message.pk)
        try:
            if reason is None:
                row.delete()
                return True
            pause = min(_FIRST_PAUSE * 2 ** min(message.attempts, 16), _LONGEST_PAUSE)
            row.update(due_at=timezone.now() + pause, attempts=message.attempts + 1, last_error=reason)
            _logger.warning("Message %s to %s stays, and is tried again in %s: %s", message.pk, message, pause, reason)
            return False
        finally:
            release_connections()


def _can_skip(alias: str) -> bool:
    return bool(connections[alias].features.has_select_for_update_skip_locked)


def _claim_skipping(messages: QuerySet[OutboxMessage]) -> list[OutboxMessage]:
    """Claim in two statements for all; rows that another relay is claiming are passed over."""
    now = timezone.now()
    with transaction.atomic(using=messages.db):
        due = messages.select_for_update(skip_locked=True).filter(due_at__lte=now).order_by("due_at")
        claimed = list(due[:_BATCH])
        if claimed:
            messages.filter(pk__in=[each.pk for each in claimed]).update(due_at=now + _CLAIM)
    return claimed


def _claim_singly(messages: QuerySet[OutboxMessage]) -> list[OutboxMessage]:
    """Claim one by one: a row whose time has changed since it was read is another relay's."""
    now = timezone.now()
    due = list(messages.filter(due_at__lte=now).order_by("due_at")[:_BATCH])
    return [each for each in due if messages.filter(pk=each.pk, due_at=each.due_at).update(due_at=now + _CLAIM)]


def _aliases() -> Iterator[str]:
    """Give the databases that have an outbox."""
    from durably_django.models import OutboxMessage

    for alias in connections:
        if router.allow_migrate_model(alias, OutboxMessage):
            yield alias


def _send(message: OutboxMessage) -> str | None:
    """Hand a message to the runtime; gives the reason where it did not take it."""
    handler = runtime.endpoint.find(message.service, message.handler)
    is_workflow = handler is not None and handler.kind is HandlerKind.WORKFLOW
    headers = {str(name): str(value) for name, value in message.headers.items()}
    if message.content_type:
        headers.setdefault("content-type", message.content_type)
    delay = None if message.run_at is None else max(message.run_at - timezone.now(), timedelta(0))
    try:
        runtime.link.sync_client().generic_send(
            message.service,
            message.handler,
            bytes(message.body),
            message.key,
            delay or None,
            None if is_workflow else message.idempotency_key,
            headers,
        )
    except HttpError as error:
        if is_workflow and error.status_code == _CONFLICT:
            return None  # it runs, or ran: by this message, sent once before
        return f"{error.status_code} {error.message}"
    except DurablyError as error:
        return error.message
    return None


relay: Final = Relay()
"""The process's."""
