"""Paths of the ingress: which operation they mean, and how keys are decoded."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durably.engine.events import IdempotentSelector, InvocationSelector, WorkflowSelector
from durably.engine.ingress.paths import (
    AwakeableRoute,
    HealthRoute,
    InvokeRoute,
    ResultRoute,
    Route,
    TargetAction,
    TargetRoute,
    decode_key,
    parse_path,
)
from durably.engine.ingress.refusals import RefusedError

ID = "inv_1gdJBtdVEcM942bjcDmb1c1khoaJe11Hbz"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/Svc/go", InvokeRoute("Svc", ("go",))),
        ("//Svc/go//", InvokeRoute("Svc", ("go",))),
        ("/Svc/go/send", InvokeRoute("Svc", ("go", "send"))),
        ("/restate/call/Svc/go", InvokeRoute("Svc", ("go",), False)),
        ("/restate/send/Obj/k/go", InvokeRoute("Obj", ("k", "go"), True)),
        ("/restate/scope/s/call/Obj/k/go", InvokeRoute("Obj", ("k", "go"), False, "s")),
        (f"/restate/attach/{ID}", ResultRoute(True, InvocationSelector(ID))),
        (f"/restate/output/{ID}", ResultRoute(False, InvocationSelector(ID))),
        (f"/restate/invocation/{ID}/attach", ResultRoute(True, InvocationSelector(ID))),
        (f"/restate/invocation/{ID}/output", ResultRoute(False, InvocationSelector(ID))),
        ("/restate/invocation/Svc/go/i/output", ResultRoute(False, None, "Svc", ("go", "i"))),
        ("/restate/workflow/Flow/k%2F1/attach", ResultRoute(True, WorkflowSelector("Flow", "k/1"))),
        ("/restate/attach", TargetRoute(TargetAction.ATTACH)),
        ("/restate/lookup", TargetRoute(TargetAction.LOOKUP)),
        ("/restate/awakeables/sign_1x/resolve", AwakeableRoute("sign_1x", True)),
        ("/restate/a/sign_1x/reject", AwakeableRoute("sign_1x", False)),
        ("/restate/health/", HealthRoute()),
    ],
)
def test_each_path_means_one_operation(path: str, expected: Route) -> None:
    """The whole route table, with slashes at both ends ignored."""
    assert parse_path(path) == expected


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 400),
        ("/Svc", 400),
        ("/openapi", 400),
        ("/restate", 400),
        ("/Svc%2Fgo", 400),
        ("/a/b/c/d/e/f/g/h", 400),
        ("/restate/call/Svc", 400),
        ("/restate/scope/s/foo/Svc/go", 400),
        ("/restate/workflow/Flow/attach", 400),
        ("/restate/workflow/Flow/%ff/attach", 400),
        (f"/restate/invocation/{ID}", 400),
        (f"/restate/invocation/{ID}/foo", 404),
        ("/restate/awakeables/x", 400),
        ("/restate/awakeables/x/foo", 404),
        ("/restate/foo", 404),
        ("/restate/foo/bar", 404),
    ],
)
def test_other_paths_are_refused(path: str, status: int) -> None:
    """With the status that the real server gives."""
    with pytest.raises(RefusedError) as refused:
        parse_path(path)
    assert refused.value.status == status


@pytest.mark.parametrize(
    ("path", "keyed", "expected"),
    [
        ("/Svc/go", False, ("", "go", False)),
        ("/Svc/go/send", False, ("", "go", True)),
        ("/Svc/send", False, ("", "send", False)),
        ("/Svc/send/send", False, ("", "send", True)),
        ("/Obj/k/go", True, ("k", "go", False)),
        ("/Obj/k/send", True, ("k", "send", False)),
        ("/Obj/k/go/send", True, ("k", "go", True)),
        ("/Obj//go", True, ("", "go", False)),
        ("/restate/send/Obj/k/send", True, ("k", "send", True)),
        ("/restate/call/Svc/go", False, ("", "go", False)),
    ],
)
def test_the_kind_of_service_settles_what_segments_are(path: str, keyed: bool, expected: tuple[str, str, bool]) -> None:
    """`send` may be the name of a handler, and a key may be empty."""
    route = parse_path(path)
    assert isinstance(route, InvokeRoute)
    assert route.of_service(keyed=keyed) == expected


@pytest.mark.parametrize(
    ("path", "keyed"),
    [
        ("/Svc/k/go", False),
        ("/Obj/go", True),
        ("/Svc/a/b/c", False),
        ("/restate/call/Svc/go/send", False),
        ("/restate/call/Obj/go", True),
    ],
)
def test_segments_that_do_not_fit_the_service_are_refused(path: str, keyed: bool) -> None:
    """A plain service has no key, an object has one."""
    route = parse_path(path)
    assert isinstance(route, InvokeRoute)
    with pytest.raises(RefusedError, match="bad path"):
        route.of_service(keyed=keyed)


def test_an_idempotency_key_in_the_path_is_decoded_once() -> None:
    """Clients encode it as any other segment."""
    route = parse_path("/restate/invocation/Obj/k%2F1/go/a%2Fb%2520c/attach")
    assert isinstance(route, ResultRoute)
    assert route.of_service(keyed=True) == IdempotentSelector("Obj", "k/1", "go", "a/b%20c")
    with pytest.raises(RefusedError, match="bad path"):
        route.of_service(keyed=False)


@pytest.mark.parametrize(
    ("raw", "key"),
    [
        ("a%2Fb%3Fc%23d", "a/b?c#d"),
        ("..", ".."),
        ("%2e%2e", ".."),
        ("%252F", "%2F"),
        ("%00", "\0"),
        ("%0d%0a", "\r\n"),
        ("a+b", "a+b"),
        ("%zz", "%zz"),
        ("%", "%"),
        ("%E2%82%AC", "€"),
        ("x;y=1", "x;y=1"),
    ],
)
def test_keys_are_opaque(raw: str, key: str) -> None:
    """One decode, and nothing else happens to them."""
    assert decode_key(raw) == key


@pytest.mark.parametrize("raw", ["%ff", "%C0%AF", "%ED%A0%80", "a%80"])
def test_keys_that_are_no_utf8_are_refused(raw: str) -> None:
    """Overlong forms and halves of surrogate pairs too."""
    with pytest.raises(RefusedError) as refused:
        decode_key(raw)
    assert refused.value.status == 400


@given(st.text(min_size=1))
def test_every_text_can_be_a_key(key: str) -> None:
    """Encoded once by a client it arrives as it was."""
    try:
        encoded = quote(key, safe="")
    except UnicodeEncodeError:  # half of a surrogate pair has no UTF-8
        return
    route = parse_path(f"/Obj/{encoded}/go")
    assert isinstance(route, InvokeRoute)
    assert route.of_service(keyed=True) == (key, "go", False)


@given(st.text(alphabet="/%.abcrestlookupv01", max_size=60))
def test_any_path_is_read_or_refused(path: str) -> None:
    """Nothing but a refusal comes out of a path from the network."""
    status = 200
    try:
        parse_path(path)
    except RefusedError as refused:
        status = refused.status
    assert status in (200, 400, 404)
