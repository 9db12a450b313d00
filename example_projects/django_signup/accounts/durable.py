"""The workflow of a sign-up, from the form to an account, or to none.

It runs once for each sign-up, and for a week if nobody opens the link. Nothing waits meanwhile, neither a thread nor a
database connection.
"""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import transaction

from accounts import mails
from accounts.models import SignUp
from durably import SyncWorkflowContext, Workflow
from durably.authoring.futures import DurableFuture
from durably.sync import select
from history.models import note

sign_ups = Workflow("sign_ups")


@sign_ups.main()
def run(ctx: SyncWorkflowContext) -> str:
    """Make an account that is not active, ask for confirmation, and activate or remove it; gives the state."""
    key = ctx.key()
    awakeable, confirmed = ctx.start.awakeable(type_hint=bool)
    ctx.run_typed("create account", create_account, key=key)
    ctx.run_typed("mail link", mails.send, key=key, kind="confirm", awakeable=awakeable)
    if not _is_confirmed(ctx, confirmed, awakeable):
        ctx.run_typed("remove account", remove_account, key=key)
        return SignUp.State.EXPIRED
    ctx.run_typed("activate", activate, key=key)
    ctx.run_typed("welcome", mails.send, key=key, kind="welcome")
    return SignUp.State.CONFIRMED


def _is_confirmed(ctx: SyncWorkflowContext, confirmed: DurableFuture[bool], awakeable: str) -> bool:
    """Wait for the link to be opened, and remind; gives whether it was, within the week."""
    passed = timedelta(0)
    for number, after in enumerate((*settings.SIGNUP_REMINDERS, settings.SIGNUP_EXPIRES), start=1):
        name, _ = select(confirmed=confirmed, later=ctx.start.sleep(after - passed))
        if name == "confirmed":
            return True
        passed = after
        if after != settings.SIGNUP_EXPIRES:
            ctx.run_typed(f"remind {number}", mails.send, key=ctx.key(), kind=f"remind-{number}", awakeable=awakeable)
    return False


def create_account(key: str) -> None:
    """Make the account; it takes the password with it."""
    with transaction.atomic():
        if not note(key, "account created"):
            return
        sign_up = SignUp.objects.get(pk=key)
        user = get_user_model()(
            username=sign_up.username, email=sign_up.email, password=sign_up.password, is_active=False
        )
        user.save()
        sign_up.user, sign_up.password, sign_up.state = user, "", SignUp.State.WAITING
        sign_up.save()


def activate(key: str) -> None:
    """Let the account be used."""
    with transaction.atomic():
        if not note(key, "account activated"):
            return
        get_user_model().objects.filter(signup=key).update(is_active=True)
        SignUp.objects.filter(pk=key).update(state=SignUp.State.CONFIRMED)


def remove_account(key: str) -> None:
    """Take the account away, and free its name."""
    with transaction.atomic():
        if not note(key, "account removed"):
            return
        get_user_model().objects.filter(signup=key).delete()
        SignUp.objects.filter(pk=key).update(state=SignUp.State.EXPIRED)
