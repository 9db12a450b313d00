"""Class-based views."""

from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.decorators import method_decorator
from django.views import View

from durably import Context, SyncContext
from durably_django import durable


class Methods(View):
    """Has one durable method, decorated where it stands, and a plain one."""

    def get(self, request: HttpRequest, number: int) -> HttpResponse:
        """Answer without durability."""
        return JsonResponse({"plain": number})

    @durable
    def post(self, request: HttpRequest, number: int, ctx: SyncContext) -> HttpResponse:
        """Answer durably."""
        return JsonResponse({"doubled": ctx.run_typed("double", lambda: number * 2), "kwargs": self.kwargs})


@method_decorator(durable, name="post")
class Decorated(View):
    """Has a durable method, decorated from above, and arguments of its route."""

    greeting = "none"

    def post(self, request: HttpRequest, number: int) -> HttpResponse:
        """Answer durably."""
        return JsonResponse({"greeting": self.greeting, "number": number})


@method_decorator(durable, name="dispatch")
class Dispatched(View):
    """Is durable as a whole."""

    def get(self, request: HttpRequest, number: int) -> HttpResponse:
        """Answer durably."""
        from durably import current_context

        return JsonResponse({"number": number, "durable": bool(current_context().invocation_id)})


class AsyncMethods(View):
    """Has an asynchronous durable method."""

    @durable
    async def post(self, request: HttpRequest, number: int, ctx: Context) -> HttpResponse:
        """Answer durably."""

        async def double() -> int:
            return number * 2

        value: Any = await ctx.run_typed("double", double)
        return JsonResponse({"doubled": value})
