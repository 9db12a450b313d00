"""Signing up and confirming: ordinary views, which hand the work to the workflow."""

from __future__ import annotations

from django.core.signing import BadSignature, SignatureExpired
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from accounts import durable
from accounts.forms import SignUpForm
from accounts.mails import read_link
from accounts.models import SignUp
from durably_django import send_on_commit, sync_client

__all__ = ["confirm", "sign_up", "status"]


def sign_up(request: HttpRequest) -> HttpResponse:
    """Take the form. The row and the start of the workflow are committed together, or neither is."""
    form = SignUpForm(request.POST or None)
    if request.method != "POST" or not form.is_valid():
        return render(request, "accounts/sign_up.html", {"form": form}, status=400 if form.errors else 200)
    with transaction.atomic():
        made = form.save()
        send_on_commit(durable.run, key=str(made.pk))
    return redirect("status", made.pk)


def status(request: HttpRequest, key: str) -> HttpResponse:
    """Show how far a sign-up got."""
    return render(request, "accounts/status.html", {"sign_up": get_object_or_404(SignUp, pk=key)})


def confirm(request: HttpRequest, token: str) -> HttpResponse:
    """Confirm an address: the page asks, because programs that check mails open links, and the button confirms."""
    try:
        key, awakeable = read_link(token)
        found = SignUp.objects.get(pk=key)
    except SignatureExpired:
        return render(request, "accounts/bad_link.html", status=410)
    except (BadSignature, SignUp.DoesNotExist):
        return render(request, "accounts/bad_link.html", status=404)
    if found.state == SignUp.State.EXPIRED:
        return render(request, "accounts/bad_link.html", status=410)
    if request.method != "POST":
        return render(request, "accounts/confirm.html", {"sign_up": found})
    sync_client().resolve_awakeable(awakeable, True)
    return redirect("status", found.pk)
