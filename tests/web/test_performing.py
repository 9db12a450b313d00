"""The rules of calls and polls, question by question, with answers that a runtime gives rarely."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from typing import Any

import pytest

from durably.authoring.handlers import handler_of
from durably.client.interfaces import HttpError, InvocationAnswer, RestateClientSendHandle, WorkflowRun
from durably.errors import ClientError, EngineStoppedError, StoreFullError
from durably.web.calls import EndpointCall
from durably.web.operations import Invoke, Look, Operation, Send, Wait
from durably.web.outcomes import Accepted, Done, Failed, Outcome
from durably.web.performing import RuntimeFacts, performing, polling
from durably.web.tokens import ResultTokens, Target
from tests.web.shop import place, run

PLACE, RUN = handler_of(place), handler_of(run)
INVOCATION = "inv_1ghRlFcn3Naf5oeOYnzvjVZDrUVNEvkbrX"
TARGET = Target("Shop", "place", INVOCATION, INVOCATION)
SIGNED = RuntimeFacts("/restate", ResultTokens(b"s" * 32))


def follow(rules: Generator[Operation, Any, Outcome], *answers: Any) -> tuple[list[Operation], Outcome]:
    """Answer the questions in turn; give them and the outcome."""
    asked: list[Operation] = []
    given = list(answers)
    try:
        operation = next(rules)
        while True:
            asked.append(operation)
            answer = given.pop(0)
            operation = rules.throw(answer) if isinstance(answer, BaseException) else rules.send(answer)
    except StopIteration as finished:
        assert given == []
        return asked, finished.value


def call(facts: RuntimeFacts = SIGNED, **how: Any) -> Generator[Operation, Any, Outcome]:
    """Give the rules of a call."""
    return performing(facts, EndpointCall(**{"handler": PLACE, "payload": b"{}", **how}))


def refused(status: int, source: str | None = "ingress") -> HttpError:
    """Make an error of the runtime."""
    return HttpError(status, "why", source=source)


@pytest.mark.parametrize(
    "error",
    [
        ClientError("away"),
        EngineStoppedError("stops"),
        StoreFullError("full"),
        refused(503),
        refused(500),
        refused(404),
    ],
    ids=str,
)
@pytest.mark.parametrize("prefer", [None, "respond-async", "wait=5"])
def test_a_runtime_that_cannot_do_it_now_is_a_503(
    error: Exception, prefer: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """Away, stopping, full, or not yet told of the handler: the client comes again, and the log names the handler."""
    asked, outcome = follow(call(prefer=prefer), error)
    assert len(asked) == 1
    assert isinstance(outcome, Failed)
    assert (outcome.status, outcome.headers, outcome.is_of_handler) == (503, {"retry-after": "1"}, False)
    assert "Shop/place" in caplog.text


@pytest.mark.parametrize("status", [400, 413, 415, 429])
def test_what_the_runtime_has_against_the_call_is_told(status: int) -> None:
    """Too large, too long, too many: the caller can change that."""
    _, outcome = follow(call(), refused(status))
    assert outcome == Failed(status, "why")


@pytest.mark.parametrize("status", [401, 403, 405, 409])
def test_what_only_the_operator_can_change_is_not_told(status: int, caplog: pytest.LogCaptureFixture) -> None:
    """It is in the log."""
    caplog.set_level(logging.ERROR)
    _, outcome = follow(call(), refused(status, None))
    assert isinstance(outcome, Failed)
    assert (outcome.status, "why" in outcome.message) == (503, False)
    assert "refused by the runtime: HTTP" in caplog.text


def test_a_failure_whose_invocation_is_named_is_the_handlers() -> None:
    """Also where an older server does not say whose it is."""
    _, outcome = follow(call(), HttpError(404, "no such sku", invocation_id=INVOCATION))
    assert isinstance(outcome, Failed)
    assert (outcome.status, outcome.message, outcome.is_of_handler) == (404, "no such sku", True)
    assert outcome.invocation_id == INVOCATION


def test_a_call_is_one_question() -> None:
    """Without a key none is made up, because its result would be kept for nothing."""
    asked, outcome = follow(call(headers={"a": "b"}), InvocationAnswer(None, b"1"))
    assert asked == [Invoke(service="Shop", handler="place", payload=b"{}", headers={"a": "b"})]
    assert outcome == Done(None, b"1", {}, PLACE)


def test_a_workflow_that_ran_is_waited_for() -> None:
    """By its key, which is asked for only after the runtime refused to run it again."""
    asked, outcome = follow(call(handler=RUN, key="k"), refused(409), InvocationAnswer(INVOCATION, b"1"))
    assert asked[1:] == [Wait(WorkflowRun("Signup", "k"))]
    assert isinstance(outcome, Done)
    _, failure = follow(call(handler=RUN, key="k"), refused(409), refused(402, "invocation"))
    assert isinstance(failure, Failed)
    assert failure.status == 402
    _, lost = follow(call(handler=RUN, key="k"), refused(409), ClientError("away"))
    assert isinstance(lost, Failed)
    assert lost.status == 503


def test_coming_back_needs_a_key() -> None:
    """A call without one gets a random one; a workflow is its own."""
    sent = RestateClientSendHandle(INVOCATION, 200)
    asked, outcome = follow(call(prefer="respond-async"), sent)
    assert isinstance(asked[0], Send)
    assert (asked[0].idempotency_key or "").startswith("durably-run_")
    assert isinstance(outcome, Accepted)
    asked, _ = follow(call(handler=RUN, prefer="respond-async", idempotency_key="k"), sent)
    assert isinstance(asked[0], Send)
    assert (asked[0].key, asked[0].idempotency_key) == ("k", None)


def test_waiting_ends_with_the_time() -> None:
    """Then the call is accepted, whatever else happens to it."""
    sent = RestateClientSendHandle(INVOCATION, 200)
    asked, outcome = follow(call(prefer="wait=5"), sent, TimeoutError())
    assert isinstance(asked[1], Wait)
    assert isinstance(outcome, Accepted)
    _, outcome = follow(call(prefer="wait=5"), sent, InvocationAnswer(INVOCATION, b"1"))
    assert isinstance(outcome, Done)


def test_without_a_secret_what_can_be_guessed_has_no_address(caplog: pytest.LogCaptureFixture) -> None:
    """The 202 has no `Location`, and the log says once what to set."""
    facts = RuntimeFacts("/restate", ResultTokens(None))
    sent = RestateClientSendHandle(INVOCATION, 200)
    for _ in range(2):
        _, outcome = follow(call(facts, prefer="respond-async", idempotency_key="order-1"), sent)
        assert isinstance(outcome, Accepted)
        assert outcome.location is None
        assert "location" not in outcome.headers
    assert len([record for record in caplog.records if "secret_key" in record.getMessage()]) == 1
    _, outcome = follow(call(facts, prefer="respond-async"), sent)
    assert isinstance(outcome, Accepted)
    assert outcome.location is not None


Poll = Callable[..., Generator[Operation, Any, Outcome]]


def poll(prefer: str | None = None) -> Generator[Operation, Any, Outcome]:
    """Give the rules of a poll."""
    return polling(SIGNED, TARGET, PLACE, "/restate/results/x", prefer)


def test_a_poll_looks_before_it_waits() -> None:
    """Only looking tells a result that is not there from a failure of the handler."""
    assert follow(poll(), None)[0] == [Look(INVOCATION)]
    asked, outcome = follow(poll("wait=5"), None, TimeoutError())
    assert [type(each) for each in asked] == [Look, Wait]
    assert isinstance(outcome, Accepted)
    assert outcome.status == "running"
    asked, outcome = follow(poll("wait=5"), InvocationAnswer(INVOCATION, b"1"))
    assert len(asked) == 1
    assert isinstance(outcome, Done)
    _, outcome = follow(poll("respond-async"), InvocationAnswer(INVOCATION, b"1"))
    assert outcome == Done(INVOCATION, b"1", {"x-durably-invocation-id": INVOCATION}, PLACE)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (refused(404), 404),
        (HttpError(404, "gone", invocation_id=INVOCATION), 404),
        (refused(500), 503),
        (ClientError("away"), 503),
        (EngineStoppedError("stops"), 503),
        (refused(402, "invocation"), 402),
    ],
    ids=str,
)
def test_what_a_poll_can_end_in(error: Exception, status: int) -> None:
    """The handler's failure, no such result, or come again."""
    _, outcome = follow(poll(), error)
    assert isinstance(outcome, Failed)
    assert outcome.status == status
