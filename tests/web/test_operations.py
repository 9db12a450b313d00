"""Asking what the rules ask, awaiting and blocking: the same questions, the same answers, the same errors."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from datetime import timedelta
from typing import Any

import pytest

from durably.web.operations import Invoke, Look, Operation, Send, Wait, ask, ask_blocking

WAIT = Wait("inv_1", timedelta(seconds=1))


class Client:
    """Records what it is asked, and answers with its number."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def _answer(self, *question: Any) -> int:
        self.asked.append(question)
        if question[0] == "output":
            raise LookupError("nothing")
        return len(self.asked)

    def generic_invoke(self, *arguments: Any) -> Any:
        """Call."""
        return self._answer("invoke", *arguments)

    def generic_send(self, *arguments: Any) -> Any:
        """Send."""
        return self._answer("send", *arguments)

    def generic_attach(self, *arguments: Any, **more: Any) -> Any:
        """Wait."""
        return self._answer("attach", *arguments, more)

    def generic_output(self, *arguments: Any) -> Any:
        """Look."""
        return self._answer("output", *arguments)


class AwaitingClient:
    """The same, to be awaited."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        async def method(*arguments: Any, **more: Any) -> Any:
            await asyncio.sleep(0)
            return getattr(self._client, name)(*arguments, **more)

        return method


def rules() -> Generator[Operation, Any, list[Any]]:
    """Ask everything once."""
    answers: list[Any] = [
        (yield Invoke(service="S", handler="h", payload=b"1", key="k", idempotency_key="i", headers={"a": "b"})),
        (yield Send(service="S", handler="h", payload=b"2", headers={"a": "b"})),
        (yield WAIT),
    ]
    try:
        yield Look("inv_2")
    except LookupError as error:
        answers.append(str(error))
    return answers


def follow(client: Any, asked: Generator[Operation, Any, Any], is_blocking: bool) -> Any:
    """Ask in one of the two ways."""
    awaiting: Any = AwaitingClient(client)
    return ask_blocking(client, asked) if is_blocking else asyncio.run(ask(awaiting, asked))


@pytest.mark.parametrize("is_blocking", [True, False])
def test_every_question_is_asked_as_it_is_meant(is_blocking: bool) -> None:
    """Answers come back in, and what a question raises is raised in the rules."""
    client: Any = Client()
    answers = follow(client, rules(), is_blocking)
    assert answers == [1, 2, 3, "nothing"]
    assert client.asked == [
        ("invoke", "S", "h", b"1", "k", "i", {"a": "b"}),
        ("send", "S", "h", b"2", None, None, None, {"a": "b"}),
        ("attach", "inv_1", {"timeout": timedelta(seconds=1)}),
        ("output", "inv_2"),
    ]


@pytest.mark.parametrize("is_blocking", [True, False])
def test_what_the_rules_do_not_expect_comes_out(is_blocking: bool) -> None:
    """An error is never swallowed on the way."""

    def careless() -> Generator[Operation, Any, None]:
        yield Look("inv_2")

    client: Any = Client()
    with pytest.raises(LookupError, match="nothing"):
        follow(client, careless(), is_blocking)
