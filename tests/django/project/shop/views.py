"""Function views."""

from datetime import timedelta
from typing import Any

from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation, ValidationError
from django.db import connections, transaction
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse

from durably import Context, SyncContext, SyncObjectContext, SyncWorkflowContext, TerminalError
from durably_django import durable
from tests.django.project.shop.durable import store, store_async
from tests.django.project.shop.models import Entry

seen: list[Any] = []


@durable
def echo(request: HttpRequest, number: int, mark: Any, ctx: SyncContext) -> HttpResponse:
    """Say what of the request is there on an attempt."""
    ctx.run_typed("pause", lambda: None)
    return JsonResponse(
        {
            "number": number,
            "mark": f"{type(mark).__name__} {mark}",
            "method": request.method,
            "path": request.get_full_path(),
            "uri": request.build_absolute_uri(),
            "json": request.body.decode(),
            "header": request.headers.get("X-Color"),
            "credentials": [request.headers.get("Authorization"), request.headers.get("Cookie"), request.COOKIES],
            "route": None if request.resolver_match is None else request.resolver_match.route,
        },
        status=201,
        headers={"X-Answer": "yes"},
    )


@durable
def form(request: HttpRequest) -> HttpResponse:
    """Read a form and its files."""
    files = {name: file.read().decode() for name, file in request.FILES.items()}
    return JsonResponse({"fields": request.POST.dict(), "files": files})


def plain_fail(request: HttpRequest, how: str) -> HttpResponse:
    """Fail in one of the ways that Django knows."""
    match how:
        case "missing":
            raise Http404("no such thing")
        case "denied":
            raise PermissionDenied("not yours")
        case "suspicious":
            raise SuspiciousOperation("odd")
        case "bad":
            raise BadRequest("bad")
        case "field":
            return HttpResponse(request.POST["name"])
        case "invalid":
            raise ValidationError({"name": ["too long"]})
        case "terminal":
            raise TerminalError("out of stock", 409)
        case _:
            return HttpResponse("fine")


fail = durable(name="fail")(plain_fail)


@durable
def steps(request: HttpRequest, order_id: str, ctx: SyncContext) -> HttpResponse:
    """Store in a step, wait, and read."""
    ctx.run_typed("store", store, text=order_id)
    ctx.sleep(timedelta(milliseconds=1))
    return JsonResponse({"count": Entry.objects.filter(text=order_id).count()})


@durable
async def steps_async(request: HttpRequest, order_id: str, ctx: Context) -> HttpResponse:
    """Do the same on an event loop."""
    await ctx.run_typed("store", store_async, text=order_id)
    await ctx.sleep(timedelta(milliseconds=1))
    return JsonResponse({"count": await Entry.objects.filter(text=order_id).acount()})


@durable
def who(request: HttpRequest, ctx: SyncContext) -> HttpResponse:
    """Say who asks."""
    user: Any = request.user
    return JsonResponse(
        {"user": user.get_username(), "known": user.is_authenticated, "session": hasattr(request, "session")}
    )


@durable
async def who_async(request: HttpRequest, ctx: Context) -> HttpResponse:
    """Say who asks."""
    user: Any = await request.auser()
    return JsonResponse({"user": user.get_username()})


@durable
def atomic(request: HttpRequest, ctx: SyncContext) -> HttpResponse:
    """Wait inside a transaction, which is refused; the text goes out so that a test can read it."""
    from durably.errors import UsageError

    try:
        with transaction.atomic():
            Entry.objects.create(text="in the block")
            ctx.sleep(timedelta(milliseconds=1))
    except UsageError as error:
        return HttpResponse(f"{error}", status=418)
    return HttpResponse("waited")


@durable
def stream(request: HttpRequest) -> StreamingHttpResponse:
    """Stream, which is refused."""
    return StreamingHttpResponse(iter([b"a"]))


@durable
def cookie(request: HttpRequest) -> HttpResponse:
    """Set a cookie, which is refused."""
    response = HttpResponse("with a cookie")
    response.set_cookie("secret", "value")
    return response


@durable(key="basket")
def add(request: HttpRequest, basket: str, ctx: SyncObjectContext) -> HttpResponse:
    """Count the calls for a key."""
    count = (ctx.get("count", type_hint=int) or 0) + 1
    ctx.set("count", count)
    return JsonResponse({"key": ctx.key(), "count": count})


@durable(workflow=True, key="title")
def publish(request: HttpRequest, title: str, ctx: SyncWorkflowContext) -> HttpResponse:
    """Run once for each title."""
    store(f"published {title}")
    return JsonResponse({"title": title})


@durable
def connections_while_waiting(request: HttpRequest, ctx: SyncContext) -> HttpResponse:
    """Look at this thread's connection before, in and after a step and a wait."""

    def is_open() -> bool:
        return connections["default"].connection is not None

    Entry.objects.count()
    before = is_open()
    in_step = ctx.run_typed("look", is_open)
    after_step = is_open()
    Entry.objects.count()
    ctx.sleep(timedelta(milliseconds=1))
    return JsonResponse({"before": before, "in_step": in_step, "after_step": after_step, "after_wait": is_open()})


@durable(workflow=True, key="name")
def approve(request: HttpRequest, name: str, ctx: SyncWorkflowContext) -> HttpResponse:
    """Ask somebody, and wait for the answer."""
    awakeable_id, answer = ctx.start.awakeable(type_hint=str)
    ctx.run_typed("ask", store, text=f"asked {name} {awakeable_id}")
    return JsonResponse({"answer": answer.result()})


def tell(request: HttpRequest, awakeable_id: str) -> HttpResponse:
    """Answer what was asked, from a plain view."""
    from durably_django import sync_client

    sync_client().resolve_awakeable(awakeable_id, "yes")
    return HttpResponse("told")


def checkout(request: HttpRequest, name: str) -> HttpResponse:
    """Store an order and send a message in one transaction, from a plain view; refuse some."""
    from durably_django import send_on_commit
    from tests.django.project.shop.durable import note_once

    with transaction.atomic():
        store(f"bought {name}")
        send_on_commit(note_once, f"sold {name}")
        if name.startswith("refused"):
            transaction.set_rollback(True)
    return HttpResponse("stored")


def entries(request: HttpRequest, beginning: str) -> HttpResponse:
    """Show what has happened."""
    return JsonResponse([each.text for each in Entry.objects.filter(text__startswith=beginning)], safe=False)


def begin(request: HttpRequest, name: str, count: int) -> HttpResponse:
    """Start invocations that wait, of the colour that the name says; from a plain view."""
    from durably_django import sync_client
    from tests.django.project.shop import durable as services

    handler: Any = services.wait_and_end_async if name == "async" else services.wait_and_end
    for _ in range(count):
        sync_client().send(handler, name)
    return HttpResponse("begun")


def threads(request: HttpRequest) -> HttpResponse:
    """Ask a handler in which threads its code ran, and what its transactions left, from a plain view."""
    from durably_django import sync_client
    from tests.django.project.shop import durable as services

    connections["default"].close()
    in_one = sync_client().call(services.use_threads, "threads")
    stored = sync_client().call(services.use_transactions, "blocks")
    return JsonResponse({"one thread": in_one, "stored": stored})


def answer_all(request: HttpRequest, name: str) -> HttpResponse:
    """Answer those that wait."""
    from durably_django import sync_client

    texts = list(Entry.objects.filter(text__startswith=f"{name} waits ").values_list("text", flat=True))
    connections["default"].close()
    for text in texts:
        sync_client().resolve_awakeable(text.split()[-1], 1)
    return HttpResponse("answered")
