"""Registered handlers: input and output, options, names, and the way back from a function to its handler."""

from __future__ import annotations

import asyncio
import functools
from dataclasses import dataclass
from typing import Any

import pytest

import durably
from durably.authoring.handlers import Handler, find_handler, handler_of
from durably.authoring.signatures import HandlerKind
from durably.errors import RegistrationError, RetryableError, TerminalError, UsageError
from durably.handler import handler_from_callable
from durably.serde import BytesSerde, DefaultSerde, PydanticJsonSerde, Serde


@dataclass
class Order:
    sku: str
    count: int


class Shouting(Serde[str]):
    """A serde of a user's own, with exceptions of its own."""

    def serialize(self, obj: str | None) -> bytes:
        return (obj or "").upper().encode()

    def deserialize(self, buf: bytes) -> str | None:
        match buf:
            case b"terminal":
                raise TerminalError("by the serde", 422)
            case b"retryable":
                raise RetryableError("try again")
            case b"broken":
                raise KeyError("s3cret")
            case _:
                return buf.decode()


def _registered(function: Any, **options: Any) -> Handler:
    service = durably.Service("Shop")
    return handler_of(service.handler(**options)(function))


def test_a_decorated_function_is_used_as_before() -> None:
    """The decorator gives back the function itself: it can be called, awaited and inspected as before."""
    service = durably.Service("Shop")

    async def place(ctx: durably.Context, order: Order) -> int:
        """Place an order."""
        return order.count

    decorated = service.handler()(place)

    assert decorated is place
    assert asyncio.run(decorated(None, Order("a", 3))) == 3  # type: ignore[arg-type]
    handler = handler_of(decorated)
    assert (handler.service_name, handler.name, handler.kind) == ("Shop", "place", HandlerKind.PLAIN)
    assert handler.documentation == "Place an order."
    assert handler is service.handlers["place"]
    assert handler_from_callable(place) is handler
    assert handler_of(handler) is handler


def test_a_function_may_belong_to_several_services() -> None:
    """Registered twice, a function gets a stand-in, so that each result leads to its own service."""
    first, second = durably.Service("First"), durably.Service("Second")

    async def ping(ctx: durably.Context) -> str:
        return "pong"

    one, two = first.handler()(ping), second.handler()(ping)

    assert [handler_of(each).service_name for each in (one, two)] == ["First", "Second"]
    assert asyncio.run(two(None)) == "pong"  # type: ignore[arg-type]


class Bakery:
    async def bake(self, ctx: durably.Context, n: int) -> int:
        return n + 1

    def slice(self, ctx: durably.SyncContext, n: int) -> int:
        return n - 1


def test_methods_and_partials_become_callables() -> None:
    """What takes no attributes is wrapped, keeping its name and whether it is awaited."""
    service = durably.Service("Bakery")
    bake = service.handler()(Bakery().bake)
    cut = service.handler()(Bakery().slice)
    partial = service.handler(name="half")(functools.partial(Bakery.bake, Bakery()))

    assert list(service.handlers) == ["bake", "slice", "half"]
    assert asyncio.run(bake(None, 1)) == 2  # type: ignore[arg-type]
    assert cut(None, 1) == 0  # type: ignore[arg-type]
    assert handler_of(partial).is_async


def test_the_handler_is_found_through_further_decorators() -> None:
    """A decorator above the registration does not hide it, as long as it uses functools.wraps."""
    service = durably.Service("Shop")

    @service.handler()
    async def place(ctx: durably.Context) -> None: ...

    @functools.wraps(place)
    async def traced(ctx: durably.Context) -> None: ...

    assert handler_of(traced) is service.handlers["place"]


def test_an_unregistered_function_is_named() -> None:
    """Calling something that is no handler says so, by name."""

    async def stranger(ctx: durably.Context) -> None: ...

    assert find_handler(stranger) is None
    with pytest.raises(UsageError, match=r"stranger is not a registered handler.*as the decorator returned it"):
        handler_of(stranger)
    with pytest.raises(UsageError, match="3 is not a registered handler"):
        handler_of(3)


def test_input_and_output_follow_the_annotations() -> None:
    """The input is validated into its type and the result written from its type, without any set-up."""

    async def place(ctx: durably.Context, orders: list[Order]) -> dict[str, Order]:
        return {order.sku: order for order in orders}

    handler = _registered(place)

    orders = handler.decode_input(b'[{"sku":"a","count":1}]')
    assert orders == [Order("a", 1)]
    output = asyncio.run(handler.invoke(None, orders))
    assert handler.encode_output(output) == b'{"a":{"sku":"a","count":1}}'


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"sku":"a","count":"s3cret"}', "Invalid input for Shop/place: count: Input should be a valid integer"),
        (b'{"sku":"a"}', "Invalid input for Shop/place: count: Field required"),
        (b"null", "Invalid input for Shop/place: "),
        (b"{", "Invalid input for Shop/place: Invalid JSON"),
        (b"[" * 100_000, "Invalid input for Shop/place: Invalid JSON: recursion limit"),
        (b"", "Shop/place needs an input, but the request has no body"),
    ],
    ids=["type", "missing", "null", "cut", "bomb", "empty"],
)
def test_bad_input_is_terminal_and_names_the_field(body: bytes, message: str) -> None:
    """What does not validate is a terminal 400 that names handler and field, and does not repeat the value."""

    async def place(ctx: durably.Context, order: Order) -> None: ...

    with pytest.raises(TerminalError) as caught:
        _registered(place).decode_input(body)

    assert caught.value.status_code == 400
    assert caught.value.message.startswith(message)
    assert "s3cret" not in caught.value.message


def test_no_body_is_none_or_the_default() -> None:
    """An empty body is the parameter's default if it has one, None if its type admits None or is not given."""

    async def optional(ctx: durably.Context, order: Order | None) -> None: ...
    async def untyped(ctx: durably.Context, order) -> None: ...  # type: ignore[no-untyped-def]  # noqa: ANN001
    async def defaulted(ctx: durably.Context, name: str = "you") -> None: ...
    async def without(ctx: durably.Context) -> None: ...

    assert _registered(optional).decode_input(b"") is None
    assert _registered(untyped).decode_input(b"") is None
    assert _registered(defaulted).decode_input(b"") == "you"
    assert _registered(without).decode_input(b"ignored") is None
    required = [_registered(each).requires_input for each in (optional, untyped, defaulted, without)]
    assert required == [False, False, False, False]


@pytest.mark.parametrize(
    ("body", "error", "text"),
    [
        (b"terminal", TerminalError, "by the serde"),
        (b"retryable", RetryableError, "try again"),
        (b"broken", TerminalError, "Invalid input for Shop/place: KeyError."),
        (b"\xff", TerminalError, "Invalid input for Shop/place: UnicodeDecodeError."),
    ],
    ids=["terminal", "retryable", "key error", "unicode"],
)
def test_serdes_of_the_users_own(body: bytes, error: type[Exception], text: str) -> None:
    """A user's serde may decide the outcome itself; its other exceptions are terminal, without their text."""

    async def place(ctx: durably.Context, name: str) -> str: ...  # type: ignore[empty-body]

    handler = _registered(place, input_serde=Shouting(), output_serde=Shouting())

    assert handler.decode_input(b"hello") == "hello"
    assert handler.encode_output("hello") == b"HELLO"
    assert handler.decode_input(b"") == ""
    with pytest.raises(error, match=text):
        handler.decode_input(body)


def test_raw_bodies_pass_through() -> None:
    """With `bytes` and a media type that is not JSON the body is handed over as it is."""

    async def store(ctx: durably.Context, image: bytes) -> bytes: ...  # type: ignore[empty-body]

    raw = _registered(store, accept="image/*", content_type="image/png")
    as_json = _registered(store)

    assert (raw.accept, raw.content_type) == ("image/*", "image/png")
    assert isinstance(raw.input_serde, BytesSerde)
    assert isinstance(raw.output_serde, BytesSerde)
    assert raw.decode_input(b"\x89PNG") == b"\x89PNG"
    assert as_json.decode_input(b'"AAE="') == b"\x00\x01"


def test_explicit_types_win_over_annotations() -> None:
    """A `DefaultSerde` with a type, or another serde, is used in place of the annotation."""

    async def place(ctx: durably.Context, order: Any) -> Any: ...

    assert _registered(place, input_serde=DefaultSerde(Order)).decode_input(b'{"sku":"a","count":1}') == Order("a", 1)
    serde = PydanticJsonSerde(Order)
    assert _registered(place, input_serde=serde).input_serde is serde


class Opaque:
    pass


def test_types_without_a_json_form_are_refused_at_once() -> None:
    """A parameter or result whose type cannot be JSON is refused when registered, with the parameter named."""

    async def takes(ctx: durably.Context, thing: Opaque) -> None: ...
    async def gives(ctx: durably.Context) -> Opaque: ...  # type: ignore[empty-body]

    with pytest.raises(RegistrationError, match=r"Handler Shop/takes: parameter `thing`: .*Opaque"):
        _registered(takes)
    with pytest.raises(RegistrationError, match=r"Handler Shop/gives: the result: .*Opaque"):
        _registered(gives)
    assert isinstance(_registered(takes, input_serde=BytesSerde()).input_serde, BytesSerde)


@pytest.mark.parametrize("name", ["has-dash", "has.dot", "1st", "_", "__x", "a b", "é", "a\n"])
def test_names_that_the_runtime_refuses(name: str) -> None:
    """A handler's name is checked here, not at discovery."""

    async def place(ctx: durably.Context) -> None: ...

    with pytest.raises(RegistrationError, match="cannot be a handler's name"):
        _registered(place, name=name)


def test_lambdas_need_a_name() -> None:
    """A lambda has no name that could be used; with one given it is a handler."""
    with pytest.raises(RegistrationError, match="name='…'"):
        _registered(lambda ctx: None)
    assert _registered(lambda ctx: None, name="nothing").name == "nothing"


async def _other(ctx: durably.Context) -> None: ...
