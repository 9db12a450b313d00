"""Invocations in Django's admin pages: a list, a page for each, and actions on one or many.

Owns requests and permissions. The pages ask the runtime each time; nothing about invocations is stored in the
project's database but the history of what was done here.

| page | path | permission |
|---|---|---|
| list | `invocation/` | `view_invocation` |
| one, with its journal | `invocation/<id>/change/` | `view_invocation` |
| history of one | `invocation/<id>/history/` | `view_invocation` |
| acting, only by POST; asks before what cannot be undone | `invocation/act/` | `view_invocation` and the action's |
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from django.contrib import admin, messages
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect, QueryDict
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from durably.errors import DurablyError, UsageError
from durably.operations.connections import Remote
from durably.operations.errors import NotFoundError
from durably.operations.invocations import Applied, apply, is_invocation_id, quoted, read_one, read_page, rows_of
from durably.operations.journals import read_journal
from durably_django.admin.actions import ACTIONS, Action, actions_for
from durably_django.admin.filters import ListFilters
from durably_django.operating import advice, ask
from durably_django.permissions import Invocation
from durably_django.shown import MOST_CHARS, MOST_ENTRIES, ShownInvocation, show_journal

if TYPE_CHECKING:
    from django.http import HttpRequest

    _ModelAdmin = admin.ModelAdmin[Invocation]
else:
    _ModelAdmin = admin.ModelAdmin

__all__ = ["InvocationAdmin"]

_CHOSEN: Final = "_selected_action"
_MOST_CHOSEN: Final = 500
_MOST_LISTED: Final = 5  # messages about refusals


class InvocationAdmin(_ModelAdmin):
    """The pages; `list_per_page` says how many invocations are on one."""

    list_per_page = 50

    # ---- permissions

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody adds invocations here."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody edits them; each action has a permission of its own."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody deletes them; there is `purge`."""
        return False

    def _check_view(self, request: HttpRequest) -> None:
        if not self.has_view_permission(request):
            raise PermissionDenied

    def _allowed(self, request: HttpRequest, actions: Sequence[Action]) -> list[Action]:
        return [each for each in actions if self._may(request, each)]

    def _may(self, request: HttpRequest, action: Action) -> bool:
        user: Any = request.user
        return bool(user.has_perm(action.permission))

    # ---- routes

    def get_urls(self) -> list[URLPattern]:
        """Give the routes of the module's table."""
        beginning = f"{self.opts.app_label}_{self.opts.model_name}"
        view = self.admin_site.admin_view
        return [
            path("", view(self.changelist_view), name=f"{beginning}_changelist"),
            path("act/", view(self.act_view), name=f"{beginning}_act"),
            path("<path:object_id>/history/", view(self.history_view), name=f"{beginning}_history"),
            path("<path:object_id>/change/", view(self.change_view), name=f"{beginning}_change"),
        ]

    def _url(self, name: str, *arguments: str) -> str:
        route = f"admin:{self.opts.app_label}_{self.opts.model_name}_{name}"
        return reverse(route, args=[quote(each) for each in arguments], current_app=self.admin_site.name)

    # ---- pages

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Show the list."""
        self._check_view(request)
        filters = ListFilters(request.GET)

        async def read(remote: Remote) -> Any:
            found = await read_page(
                remote, filters.filters, size=self.list_per_page, before=filters.before, after=filters.after
            )
            services = (await remote.done("GET", "/services"))["services"]
            return found, sorted(str(each["name"]) for each in services)

        try:
            found, services = ask(read)
        except UsageError as error:
            if filters.before is None and filters.after is None:
                return self._unreachable(request, error)
            return HttpResponseRedirect(f"?{filters.query()}")  # the place in the list is of another runtime
        except DurablyError as error:
            return self._unreachable(request, error)
        context: dict[str, Any] = {
            "title": "Invocations",
            "rows": [ShownInvocation(row) for row in found.rows],
            "filters": filters,
            "groups": filters.groups(services),
            "newest": filters.query() if found.newer else None,
            "newer": filters.query(after=found.newer) if found.newer else None,
            "older": filters.query(before=found.older) if found.older else None,
            "actions": self._allowed(request, list(ACTIONS.values())),
            **(extra_context or {}),
        }
        return self._render(request, "list", context)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Show one invocation."""
        self._check_view(request)
        invocation_id = unquote(object_id)

        async def read(remote: Remote) -> Any:
            row = await read_one(remote, invocation_id)
            return row, await read_journal(remote, invocation_id, most_entries=MOST_ENTRIES, most_chars=MOST_CHARS)

        try:
            row, journal = ask(read)
        except NotFoundError:
            self.message_user(request, f"Invocation {invocation_id} does not exist, or was purged.", messages.WARNING)
            return HttpResponseRedirect(self._url("changelist"))
        except DurablyError as error:
            return self._unreachable(request, error)
        invocation = ShownInvocation(row)
        context: dict[str, Any] = {
            "title": invocation.target,
            "invocation": invocation,
            "journal": show_journal(journal),
            "actions": self._allowed(request, actions_for(invocation.status)),
            "most_entries": MOST_ENTRIES,
            **(extra_context or {}),
        }
        return self._render(request, "detail", context)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Invocation | None:
        """Give what the history is about, also where the runtime has forgotten it."""
        return Invocation(id=object_id, target="") if is_invocation_id(object_id) else None

    # ---- acting

    def act_view(self, request: HttpRequest) -> HttpResponse:
        """Do what a form of the other pages asks for."""
        self._check_view(request)
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        back = self._back(request)
        action = ACTIONS.get(request.POST.get("action", ""))
        chosen = list(dict.fromkeys(request.POST.getlist(_CHOSEN)))
        if action is None:
            self.message_user(request, "No action selected.", messages.WARNING)
            return HttpResponseRedirect(back)
        if not self._may(request, action):
            raise PermissionDenied
        if not chosen:
            self.message_user(request, "No invocation selected.", messages.WARNING)
            return HttpResponseRedirect(back)
        if len(chosen) > _MOST_CHOSEN or not all(map(is_invocation_id, chosen)):
            self.message_user(request, "These are not the ids of invocations, or too many.", messages.ERROR)
            return HttpResponseRedirect(back)

        async def read(remote: Remote) -> Any:
            rows = await rows_of(remote, f" WHERE id IN ({', '.join(map(quoted, chosen))})", _MOST_CHOSEN)
            return rows, await apply(remote, action.operation, chosen) if is_sure else None

        is_sure = not action.consequence or request.POST.get("sure") == "yes"
        try:
            rows, applied = ask(read)
        except NotFoundError as error:
            self.message_user(request, error.message, messages.WARNING)
            return HttpResponseRedirect(back)
        except DurablyError as error:
            return self._unreachable(request, error)
        if applied is None:
            context = {
                "title": f"{action.label}: {_count(len(chosen))}?",
                "action": action,
                "rows": [ShownInvocation(row) for row in rows],
                "chosen": chosen,
                "from": request.POST.get("from", ""),
                "list_query": request.POST.get("list_query", ""),
                "back": back,
            }
            return self._render(request, "confirm", context)
        return HttpResponseRedirect(self._report(request, action, applied, rows, back))

    def _report(
        self, request: HttpRequest, action: Action, applied: Applied, rows: Sequence[dict[str, Any]], back: str
    ) -> str:
        """Tell what was done, and remember it; gives where to go."""
        targets = {row["id"]: row["target"] for row in rows}
        started: str | None = None
        for each in applied.succeeded:
            is_restart = not isinstance(each, str)
            invocation_id, text = str(each["old_invocation_id"] if is_restart else each), f"{action.done}."
            if is_restart:
                started = str(each["new_invocation_id"])
                text = f"{action.done} as {started}."
            self.log_change(request, Invocation(id=invocation_id, target=targets.get(invocation_id, "")), text)
        count = len(applied.succeeded)
        if count:
            self.message_user(request, f"{action.done}: {_count(count)}.", messages.SUCCESS)
        for refused in applied.failed[:_MOST_LISTED]:
            self.message_user(request, f"{refused['invocation_id']}: {refused['error']}", messages.ERROR)
        if len(applied.failed) > _MOST_LISTED:
            self.message_user(request, f"… and {len(applied.failed) - _MOST_LISTED} more.", messages.ERROR)
        is_one = is_invocation_id(request.POST.get("from", ""))
        if is_one and started is not None:
            return self._url("change", started)
        if is_one and action.name == "purge" and count:
            return self._url("changelist")
        return back

    def _back(self, request: HttpRequest) -> str:
        origin = request.POST.get("from", "")
        if is_invocation_id(origin):
            return self._url("change", origin)
        query = QueryDict(request.POST.get("list_query", "")).urlencode()
        return self._url("changelist") + (f"?{query}" if query else "")

    # ---- answers

    def _unreachable(self, request: HttpRequest, error: DurablyError) -> HttpResponse:
        context = {"title": "The runtime cannot be asked", "problem": error.message, "hint": advice(error)}
        return self._render(request, "unreachable", context, status=503)

    def _render(self, request: HttpRequest, name: str, context: dict[str, Any], *, status: int = 200) -> HttpResponse:
        setattr(request, "current_app", self.admin_site.name)  # noqa: B010 - unknown to type checkers
        whole = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "media": self.media,
            "has_view_permission": True,
            **context,
        }
        return TemplateResponse(request, f"durably_django/invocation_{name}.html", whole, status=status)


def _count(number: int) -> str:
    return "1 invocation" if number == 1 else f"{number} invocations"
