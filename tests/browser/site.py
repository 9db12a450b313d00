"""A site of its own process, with accounts and invocations, for a browser to look at.

`python -m tests.browser.site` says `ready URL` once everything is there, and serves until its input ends.

| account | may |
|---|---|
| ada | everything |
| vera | look at invocations |
| carl | enter the admin pages, and see nothing of durably |
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

__all__ = ["EVIL", "PASSWORD", "running_site"]

EVIL: Final = "<img src=x onerror=\"window.evil = 'yes'\">"
PASSWORD: Final = "correct horse battery"
_WAITING: Final = 9  # entries
_ROOT: Final = Path(__file__).parents[2]


@contextmanager
def running_site(*, is_hostile: bool = True) -> Generator[str]:
    """Run the site; gives its URL.

    Args:
        is_hostile: Whether some payloads try to be markup.
    """
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.browser.project.settings", "PROJECT_URL": "memory://"}
    with tempfile.TemporaryDirectory() as folder:
        environment["PROJECT_FOLDER"] = folder
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.browser.site", *(["hostile"] if is_hostile else [])],
            cwd=_ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stdout is not None
            word, _, url = process.stdout.readline().partition(" ")
            assert word == "ready", "the site did not start"
            yield url.strip()
        finally:
            process.communicate()  # closes its input
            assert process.returncode == 0


def main() -> None:
    """Serve."""
    import django

    django.setup()
    logging.getLogger("durably").setLevel(logging.CRITICAL)  # what fails does so on purpose
    from django.core.management import call_command
    from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler

    from durably_django.runtime import runtime
    from durably_django.wsgi import get_wsgi_application

    call_command("migrate", run_syncdb=True, verbosity=0)
    _make_accounts()
    _start_invocations()

    class Quiet(WSGIRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadedWSGIServer(("127.0.0.1", 0), Quiet)
    server.set_app(get_wsgi_application())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"ready http://127.0.0.1:{server.server_port}", flush=True)
    sys.stdin.read()
    server.shutdown()
    server.server_close()
    runtime.stop()


def _make_accounts() -> None:
    from django.contrib.auth import get_user_model
    from django.contrib.auth.models import Permission

    users: Any = get_user_model().objects
    users.create_superuser("ada", "ada@example.com", PASSWORD)
    viewer = users.create_user("vera", "vera@example.com", PASSWORD, is_staff=True)
    viewer.user_permissions.set(Permission.objects.filter(codename="view_invocation"))
    users.create_user("carl", "carl@example.com", PASSWORD, is_staff=True)


def _start_invocations() -> None:
    from durably_django import bind, sync_client
    from tests.browser.project import payments

    bind(payments.orders, payments.payments, payments.stock)
    client = sync_client()
    note = EVIL if "hostile" in sys.argv else "Leave it with the neighbour."
    if "hostile" in sys.argv:
        client.object_call(payments.reserve, key=EVIL, arg=1)
    client.service_call(payments.place, {"sku": "gift-card", "customer": "Grace"})
    client.service_send(payments.refund, "damaged")
    client.service_send(payments.collect, "INV-2291")
    client.service_send(payments.place, {"sku": "coffee mill", "customer": "Joan"})
    client.service_send(payments.place, {"sku": "tea pot", "customer": "Ada", "note": note})
    deadline = time.monotonic() + 20
    while _settled() < 3:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _settled() -> int:
    """Count what the last invocations have reached: it failed, it fails, it waits."""
    from durably.operations.invocations import rows_of
    from durably_django.operating import ask

    rows = ask(lambda remote: rows_of(remote, "", 20))
    journals = {row["target"]: row for row in rows if row["target_service_name"] != "stock"}
    return sum(
        (
            journals.get("payments/refund", {}).get("status") == "completed",
            journals.get("payments/collect", {}).get("last_failure") is not None,
            sum(row["target"] == "checkout/place" and (row["journal_size"] or 0) >= _WAITING for row in rows) >= 2,
        )
    )


if __name__ == "__main__":
    main()
