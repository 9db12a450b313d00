"""Durable methods of class-based views."""

from __future__ import annotations

import pytest
from django.test import Client
from django.views import View

from durably.errors import RegistrationError, UsageError
from durably_django import durable
from tests.django.project.shop.class_views import Methods


def test_a_decorated_method_is_durable(client: Client):
    """A method decorated where it stands gets its context, its request and its kwargs; other methods stay plain."""
    assert client.post("/methods/4/").json() == {"doubled": 8, "kwargs": {"number": 4}}
    plain = client.get("/methods/4/")
    assert plain.json() == {"plain": 4}
    assert "x-durably-invocation-id" not in plain


def test_method_decorator_works_on_a_method(client: Client):
    """`method_decorator(durable, name="post")` makes it durable, with the arguments that as_view was given."""
    answer = client.post("/decorated/5/")
    assert answer.json() == {"greeting": "hello", "number": 5}
    assert answer["x-durably-invocation-id"].startswith("inv_")


def test_method_decorator_works_on_dispatch(client: Client):
    """`method_decorator(durable, name="dispatch")` makes all methods durable; an unknown one is still a 405."""
    assert client.get("/dispatched/6/").json() == {"number": 6, "durable": True}
    assert client.post("/dispatched/6/").status_code == 405


def test_asynchronous_methods_are_durable(client: Client):
    """An `async def` method runs on the event loop."""
    assert client.post("/async-methods/7/").json() == {"doubled": 14}


def test_services_are_named_after_modules_and_classes(quick_client: Client):
    """The handler of a method bears the class's name, that of a function its own; views modules lend their package."""
    from durably_django.runtime import runtime

    runtime.start()
    handlers = runtime.endpoint.services["class_views"].handlers
    assert {"Methods_post", "Decorated_post", "Dispatched", "AsyncMethods_post"} <= set(handlers)
    assert "echo" in runtime.endpoint.services["shop"].handlers


def test_a_class_without_a_route_says_so(quick_client: Client):
    """A durable method of a class that no route names cannot run."""

    class Unrouted(View):
        @durable
        def post(self, request: object) -> None:
            """Never runs."""

    with pytest.raises(UsageError, match="no route leads to its class"):
        Unrouted().post(object())


def test_a_class_is_refused():
    """The decorator on a class says what to write instead."""
    with pytest.raises(RegistrationError, match="is a class"):
        durable(Methods)
