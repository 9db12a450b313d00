"""The rules of a call and of a poll, without waiting for anything.

Owns which questions are put to the runtime, and what its answers mean. Each function is a generator: it gives out an
`Operation` and is sent its answer, or what it raised.

Rules
1. A call that waits for its result is one question.
2. A call that may come back for its result has an idempotency key, the caller's or a random one: so its result is
   kept, and its address cannot be guessed.
3. A workflow runs once for its key; whoever calls it again waits for that run.
4. What the runtime refuses is told apart from what the handler failed with. A runtime that cannot be reached, or does
   not know the handler yet, is a 503.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from durably.authoring.signatures import HandlerKind
from durably.client.interfaces import HttpError, InvocationAnswer, RestateClientSendHandle, WorkflowRun
from durably.errors import ClientError, EngineStoppedError, StoreError, UsageError
from durably.protocol.framing import DEFAULT_MAX_MESSAGE_BYTES
from durably.web.operations import Invoke, Look, Operation, Send, Wait
from durably.web.outcomes import INVOCATION_HEADER, Accepted, Done, Failed, Outcome, failed, not_found, unavailable
from durably.web.preferences import Preference, read_preference
from durably.web.scoping import generated_key, random_workflow_key, scoped_key
from durably.web.tokens import ResultTokens, Target

if TYPE_CHECKING:
    from durably.authoring.handlers import Handler
    from durably.web.calls import EndpointCall

__all__ = ["RuntimeFacts", "performing", "polling"]

_NEVER_FORWARDED: Final = frozenset(
    {
        "authorization",
        "connection",
        "content-length",
        "content-type",
        "cookie",
        "expect",
        "host",
        "idempotency-key",
        "keep-alive",
        "prefer",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_NEVER_FORWARDED_PREFIX: Final = "x-restate-"
_HEADROOM_BYTES: Final = 128 * 1024  # for headers
_MAX_KEY_BYTES: Final = 4096
_NOT_FOUND: Final = 404
_CONFLICT: Final = 409
_REFUSALS_OF_CALLERS: Final = frozenset({400, 413, 415, 429})
_POLL_AGAIN_S: Final = 1
_UNKNOWN: Final = (
    "The service cannot answer at the moment, and may have taken the call. "
    "Repeating it is safe with the Idempotency-Key that it was made with."
)

_logger = logging.getLogger("durably.web")


class RuntimeFacts:
    """What the rules need to know of the link to the runtime.

    Attributes:
        prefix: Of the routes that durably adds.
        tokens: Of results.
        max_payload_bytes: Of a call; what is larger fits in no message to a handler.
    """

    __slots__ = ("_has_warned", "max_payload_bytes", "prefix", "tokens")

    def __init__(self, prefix: str, tokens: ResultTokens, max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES) -> None:
        """Keep them; `max_message_bytes` is what handlers read at most."""
        self.prefix: str = prefix
        self.tokens: ResultTokens = tokens
        self.max_payload_bytes: int = max_message_bytes - _HEADROOM_BYTES
        self._has_warned = False

    def location(self, root_path: str, token: str | None) -> str | None:
        """Give the path of a result; without a token say once what is missing."""
        if token is None:
            if not self._has_warned:
                self._has_warned = True
                _logger.warning("Results of calls with an Idempotency-Key have no address without a secret_key.")
            return None
        return f"{root_path.rstrip('/')}{self.prefix}/results/{token}"


def performing(facts: RuntimeFacts, call: EndpointCall) -> Generator[Operation, Any, Outcome]:
    """Follow the rules of a call."""
    handler = call.handler
    wish = read_preference(call.prefer)
    refused = _refusal_of(facts, call)
    if refused is not None:
        return refused
    try:
        if wish.waits_for_result:
            return (yield from _waiting(call))
        return (yield from _coming_back(facts, call, wish))
    except HttpError as error:
        return _of_error(error, handler)
    except (ClientError, EngineStoppedError, StoreError) as error:
        _logger.warning("%s/%s could not be called: %s", handler.service_name, handler.name, error)
        return unavailable(_UNKNOWN)


def _refusal_of(facts: RuntimeFacts, call: EndpointCall) -> Failed | None:
    handler = call.handler
    if len(call.payload) > facts.max_payload_bytes:  # a server might hang up before it has read and answered it
        return Failed(413, "The request is too large.")
    if call.key == "":
        return Failed(400, "The key is empty.")
    if call.key is not None:
        try:
            size = len(call.key.encode())
        except UnicodeEncodeError:
            return Failed(400, "The key is not valid Unicode.")
        if size > _MAX_KEY_BYTES:
            return Failed(400, f"The key is longer than {_MAX_KEY_BYTES} bytes.")
    if call.idempotency_key is not None and not call.idempotency_key.strip():
        return Failed(400, "The Idempotency-Key is empty.")
    if call.key is None and handler.is_keyed and handler.kind is not HandlerKind.WORKFLOW:
        raise UsageError(f"{handler.service_name} is keyed, and the call of {handler.name} has no key.")
    return None


def _names(call: EndpointCall) -> tuple[str | None, str | None]:
    """Give the key and the idempotency key for the runtime. A workflow's run has its key for both."""
    given = None if call.idempotency_key is None else scoped_key(call.idempotency_key.strip(), call.identity)
    if call.handler.kind is not HandlerKind.WORKFLOW:
        return call.key, given
    return call.key or given or random_workflow_key(), None


def _waiting(call: EndpointCall) -> Generator[Operation, Any, Outcome]:
    handler = call.handler
    key, idempotency_key = _names(call)
    try:
        answer: InvocationAnswer = yield Invoke(
            service=handler.service_name,
            handler=handler.name,
            payload=call.payload,
            key=key,
            idempotency_key=idempotency_key,
            headers=_forwarded(call.headers),
        )
    except HttpError as error:
        if error.status_code != _CONFLICT or handler.kind is not HandlerKind.WORKFLOW or key is None:
            raise
        # It ran already. Or it failed with this status itself: then waiting for it gives the same.
        answer = yield Wait(WorkflowRun(handler.service_name, key))
    return _done(answer, handler)


def _coming_back(facts: RuntimeFacts, call: EndpointCall, wish: Preference) -> Generator[Operation, Any, Outcome]:
    handler = call.handler
    key, idempotency_key = _names(call)
    if handler.kind is not HandlerKind.WORKFLOW and idempotency_key is None:
        idempotency_key = generated_key()
    sent: RestateClientSendHandle = yield Send(
        service=handler.service_name,
        handler=handler.name,
        payload=call.payload,
        key=key,
        idempotency_key=idempotency_key,
        headers=_forwarded(call.headers),
    )
    if wish.wait:
        try:
            answer: InvocationAnswer = yield Wait(sent.invocation_id, wish.wait)
        except TimeoutError:
            pass
        else:
            return _done(answer, handler, wish)
    token = facts.tokens.make(
        sent.invocation_id, handler.service_name, handler.name, key=key, idempotency_key=idempotency_key
    )
    location = facts.location(call.root_path, token)
    return _accepted(sent.invocation_id, location, handler, {"preference-applied": wish.applied}, "accepted")


def polling(
    facts: RuntimeFacts, target: Target, handler: Handler | None, location: str, prefer: str | None
) -> Generator[Operation, Any, Outcome]:
    """Follow the rules of a poll.

    Args:
        facts: Of the link.
        target: What the token leads to.
        handler: Whose result it is, where the application has it.
        location: Where the poll came in.
        prefer: The request's header: `wait=N` waits up to N seconds for the result.
    """
    wish = read_preference(prefer)
    try:
        answer: InvocationAnswer | None = yield Look(target.invocation)  # tells unknown ones apart; waiting does not
        if answer is None and wish.wait:
            with suppress(TimeoutError):
                answer = yield Wait(target.invocation, wish.wait)
    except HttpError as error:
        if error.status_code == _NOT_FOUND and error.invocation_id is None:
            return not_found()
        return _of_error(error, handler)
    except (ClientError, EngineStoppedError, StoreError) as error:
        _logger.warning("A result could not be asked for: %s", error)
        return unavailable()
    if answer is not None:
        return _done(answer, handler, wish if wish.wait else None)
    headers = {"retry-after": str(_POLL_AGAIN_S)}
    return _accepted(target.invocation_id, location, handler, headers, "running")


def _forwarded(headers: Mapping[str, str]) -> dict[str, str]:
    """Give the headers that the handler may see: no credentials, nothing of the connection, nothing of ours.

    What is not printable ASCII stays behind: it has no agreed meaning, and not every client can send it.
    """
    return {
        name: value
        for name, value in headers.items()
        if name.lower() not in _NEVER_FORWARDED
        and not name.lower().startswith(_NEVER_FORWARDED_PREFIX)
        and value.isascii()
        and value.isprintable()
    }


def _done(answer: InvocationAnswer, handler: Handler | None, wish: Preference | None = None) -> Done:
    headers: dict[str, str] = {}
    if answer.invocation_id is not None:
        headers[INVOCATION_HEADER] = answer.invocation_id
    if wish is not None:
        headers["preference-applied"] = wish.applied
    return Done(answer.invocation_id, answer.body, headers, handler)


def _accepted(
    invocation_id: str, location: str | None, handler: Handler | None, more: Mapping[str, str], status: str
) -> Accepted:
    headers = {INVOCATION_HEADER: invocation_id, **more}
    if location is not None:
        headers["location"] = location
    return Accepted(invocation_id, location, headers, status, handler)


def _is_of_handler(error: HttpError) -> bool:
    return error.source == "invocation" or error.invocation_id is not None


def _of_error(error: HttpError, handler: Handler | None) -> Failed:
    if _is_of_handler(error):
        return failed(error.status_code, error.message, error.metadata, error.invocation_id, handler)
    called = "A handler" if handler is None else f"{handler.service_name}/{handler.name}"
    if error.status_code in _REFUSALS_OF_CALLERS:
        return Failed(error.status_code, error.message)
    if error.status_code == _NOT_FOUND:
        _logger.error(
            "%s is not known to the runtime: %s Is this application registered at the server? Or does another one, or"
            " an older version, use the same file? Each application needs a file of its own.",
            called,
            error,
        )
    else:
        _logger.error("%s was refused by the runtime: %s", called, error)
    return unavailable()
