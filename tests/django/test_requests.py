"""What surrounds a durable view: sessions, messages, languages, middleware, converters, forms, methods of classes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar

import django
import pytest
from django import forms
from django.contrib import messages
from django.contrib.auth import get_user_model
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, JsonResponse
from django.test import Client, override_settings
from django.urls import include, path, register_converter
from django.utils import translation
from django.utils.decorators import method_decorator
from django.utils.safestring import mark_safe
from django.views import View

from durably import Context, SyncContext
from durably.errors import UsageError
from durably_django import durable
from durably_django.stored_request import StoredRequest

MOMENT = timedelta(milliseconds=1)


@durable
def without_session(request: HttpRequest, ctx: SyncContext) -> HttpResponse:
    """Say what touching the session gives."""
    try:
        request.session["seen"] = True
    except UsageError as error:
        return HttpResponse(f"{error}", status=418)
    return HttpResponse("stored")


@durable
def with_messages(request: HttpRequest, ctx: SyncContext) -> HttpResponse:
    """Tell the user something, on each attempt."""
    messages.success(request, "Stored.", extra_tags="done")
    ctx.sleep(MOMENT)
    messages.debug(request, "Too quiet.")
    messages.warning(request, mark_safe("<b>Careful</b>"))
    return JsonResponse({"here": [f"{each}" for each in messages.get_messages(request)]})


@durable
async def with_messages_async(request: HttpRequest, ctx: Context) -> HttpResponse:
    """Tell the user something."""
    messages.info(request, "Done, too.")
    await ctx.sleep(MOMENT)
    return HttpResponse("told")


def read_messages(request: HttpRequest) -> HttpResponse:
    """Show what is to be told, from a plain view."""
    told = [[each.level_tag, each.extra_tags, f"{each}"] for each in messages.get_messages(request)]
    return JsonResponse(told, safe=False)


@durable
def in_language(request: HttpRequest, ctx: SyncContext) -> HttpResponse:
    """Say which language is active, after a wait."""
    ctx.sleep(MOMENT)
    return HttpResponse(f"{translation.get_language()} {request.LANGUAGE_CODE}")


class EvenConverter:
    """Takes even numbers."""

    regex = "[0-9]+"

    def to_python(self, value: str) -> int:
        """Give the number."""
        if int(value) % 2:
            raise ValueError
        return int(value)

    def to_url(self, value: int) -> str:
        """Give the text."""
        return str(value)


register_converter(EvenConverter, "even")


@durable
def converted(request: HttpRequest, number: int, rest: str, ctx: SyncContext) -> HttpResponse:
    """Say what the converters gave."""
    return JsonResponse([number, rest], safe=False)


class Registration(forms.Form):
    """A form with a file."""

    name = forms.CharField(max_length=5)
    born = forms.DateField()
    picture = forms.FileField()


@durable
def with_form(request: HttpRequest, ctx: SyncContext) -> HttpResponse:
    """Validate a form on each attempt."""
    form = Registration(request.POST, request.FILES)
    if not form.is_valid():
        raise forms.ValidationError(form.errors.as_data())
    ctx.sleep(MOMENT)
    data = form.cleaned_data
    return JsonResponse(
        [data["name"], f"{data['born']}", data["picture"].name, data["picture"].read().decode()], safe=False
    )


@durable
def a_file(request: HttpRequest) -> FileResponse:
    """Stream a file, which is refused."""
    return FileResponse(open(__file__, "rb"))


@method_decorator(durable, name="post")
class AsyncDecorated(View):
    """Has an asynchronous durable method, decorated from above."""

    async def post(self, request: HttpRequest, number: int) -> HttpResponse:
        """Answer durably."""
        return JsonResponse({"number": number})


@method_decorator(durable, name="dispatch")
class AsyncDispatched(View):
    """Is durable as a whole, and asynchronous."""

    async def get(self, request: HttpRequest, number: int) -> HttpResponse:
        """Answer durably."""
        return JsonResponse({"number": number})


@durable
def counted(request: HttpRequest, ctx: SyncContext) -> HttpResponse:
    """Wait twice, and fail in the end."""
    ctx.sleep(MOMENT)
    ctx.sleep(MOMENT)
    raise Http404("none")


class Routes:
    """The URL configuration."""

    urlpatterns: ClassVar[list[Any]] = [
        path("restate/", include("durably_django.urls")),
        path("session/", without_session),
        path("messages/", with_messages),
        path("messages-async/", with_messages_async),
        path("read/", read_messages),
        path("language/", in_language),
        path("converted/<even:number>/<path:rest>", converted),
        path("form/", with_form),
        path("file/", a_file),
        path("decorated/<int:number>/", AsyncDecorated.as_view()),
        path("dispatched/<int:number>/", AsyncDispatched.as_view()),
        path("counted/", counted),
    ]


@pytest.fixture
def browser(client: Client) -> Any:
    """Give a browser of these routes; each wait may suspend."""
    with override_settings(ROOT_URLCONF=Routes):
        yield client


def test_a_session_that_is_touched_says_why_there_is_none(browser: Client):
    """The error tells what to do; code that asks `hasattr` finds none; and the session of the call stays."""
    browser.session["mine"] = 1
    answer = browser.post("/session/")
    assert answer.status_code == 418
    assert b"A durable view has no session" in answer.content
    assert not hasattr(StoredRequest().to_request(), "session")


def test_messages_reach_the_user(browser: Client):
    """What a view tells the user is there with the next page, once for all attempts, with tags and safe marks."""
    answer = browser.post("/messages/")
    assert answer.json() == {"here": ["Stored.", "Too quiet.", "<b>Careful</b>"]}
    assert not [name for name in answer.headers if "messages" in name.lower()]
    assert browser.post("/messages-async/").status_code == 200
    expected = [["success", "done", "Stored."], ["warning", "", "<b>Careful</b>"], ["info", "", "Done, too."]]
    assert browser.get("/read/").json() == expected
    assert browser.get("/read/").json() == []


def test_messages_come_with_a_result_that_is_fetched_later(browser: Client):
    """The caller who comes back for the result gets what the view has told."""
    accepted = browser.post("/messages/", headers={"Prefer": "respond-async"})
    assert browser.get(accepted["Location"], headers={"Prefer": "wait=10"}).status_code == 200
    assert [each[2] for each in browser.get("/read/").json()] == ["Stored.", "<b>Careful</b>"]


def test_the_language_of_the_call_is_active_on_attempts(browser: Client):
    """What LocaleMiddleware has chosen for the caller holds for the view."""
    from django.conf import settings

    middleware = [*settings.MIDDLEWARE, "django.middleware.locale.LocaleMiddleware"]
    with override_settings(MIDDLEWARE=middleware):
        spoken = [browser.post("/language/", headers={"Accept-Language": each}).content for each in ("de", "pt-br")]
    assert spoken == [b"de de", b"pt-br pt-br"]


def test_converters_of_the_project(browser: Client):
    """A converter of one's own gives its value, or no route."""
    assert browser.post("/converted/4/a/b%20c").json() == [4, "a/b c"]
    assert browser.post("/converted/5/a").status_code == 404


def test_forms_are_validated_on_attempts(browser: Client):
    """A form sees fields and files; what it finds wrong is a 400, field by field, as an invocation's end."""
    from django.core.files.uploadedfile import SimpleUploadedFile

    picture = SimpleUploadedFile("me.txt", "é".encode())
    answer = browser.post("/form/", {"name": "Zoë", "born": "2001-02-03", "picture": picture})
    assert answer.json() == ["Zoë", "2001-02-03", "me.txt", "é"]
    wrong = browser.post("/form/", {"name": "too long", "born": "soon"})
    assert wrong.status_code == 400
    assert set(wrong.json()["detail"]) == {"name", "born", "picture"}


def test_files_cannot_be_recorded(browser: Client):
    """A FileResponse is a stream, and refused like one."""
    answer = browser.post("/file/")
    assert answer.status_code == 500
    assert "FileResponse, which cannot be recorded" in answer.json()["detail"]


@pytest.mark.skipif(django.VERSION < (5, 2), reason="method_decorator takes async methods since 5.2")
def test_asynchronous_methods_decorated_from_above(browser: Client):
    """`method_decorator` works on `async def` methods, and on the dispatch of an asynchronous class."""
    assert browser.post("/decorated/3/").json() == {"number": 3}
    assert browser.get("/decorated/3/").status_code == 405
    assert browser.get("/dispatched/4/").json() == {"number": 4}


class Recorder:
    """Middleware that notes what it sees."""

    seen: ClassVar[list[str]] = []

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> Any:
        self.seen.append("request")
        response = self.get_response(request)
        self.seen.append(f"response {response.status_code}")
        return response

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> None:
        """Note the view."""
        self.seen.append(f"view {view.__name__}")

    def process_exception(self, request: HttpRequest, error: Exception) -> None:
        """Note what was raised."""
        self.seen.append(f"{type(error).__name__} {error}")


def test_middleware_runs_once_around_the_call(browser: Client):
    """However often the view is replayed, middleware sees one request, one exception as of a plain view, one answer."""
    from django.conf import settings

    Recorder.seen.clear()
    with override_settings(MIDDLEWARE=[*settings.MIDDLEWARE, "tests.django.test_requests.Recorder"]):
        browser = Client(raise_request_exception=False)
        Recorder.seen.clear()
        browser.post("/counted/")
    assert Recorder.seen == ["request", "view counted", "Http404 none", "response 404"]


def test_answers_can_be_compressed(browser: Client):
    """GZipMiddleware compresses a durable view's answer like any other, and the journal holds it as it was."""
    from django.conf import settings

    with override_settings(MIDDLEWARE=["django.middleware.gzip.GZipMiddleware", *settings.MIDDLEWARE]):
        answer = browser.post("/converted/4/" + "long" * 200, headers={"Accept-Encoding": "gzip"})
    assert answer["Content-Encoding"] == "gzip"


def test_who_may_not_any_more_is_refused(browser: Client):
    """A user who was deactivated after the call is not restored: the view that asks ends with a 403."""
    from django.core.exceptions import PermissionDenied

    users: Any = get_user_model()
    users.objects.filter(username="gone").delete()
    user = users.objects.create_user("gone", is_active=False)
    request: Any = StoredRequest(user=str(user.pk)).to_request()
    with pytest.raises(PermissionDenied):
        _ = request.user.username
