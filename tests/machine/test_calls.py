"""Calling other handlers and attaching to invocations."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from durably.errors import LocalProtocolError, UnsupportedFeatureError
from durably.machine import Failure, IdempotentTarget, Machine, Progress, WorkflowTarget
from durably.protocol import messages
from durably.protocol.messages import MessageType
from durably.protocol.versions import ProtocolVersion
from tests.machine.wire import V5, V6, V7, VERSIONS, feed, notification, only, opened

T = MessageType


@pytest.mark.parametrize("version", VERSIONS)
def test_core_call(version: ProtocolVersion):
    """A call takes two ids, the invocation's first, and both are delivered as they come."""
    machine = opened(version=version)
    id_handle, handle = machine.sys_call(
        "S", "h", b"p", key="k", idempotency_key="i", headers=[("a", "1"), ("b", "")], name="label"
    )
    assert (id_handle, handle) == (1, 2)
    assert only(machine, T.CALL) == messages.CallCommand(
        service_name="S",
        handler_name="h",
        parameter=b"p",
        key="k",
        idempotency_key="i",
        headers=[messages.Header(key="a", value="1"), messages.Header(key="b")],
        invocation_id_notification_idx=1,
        result_completion_id=2,
        name="label",
    )
    feed(
        machine,
        notification(T.CALL_INVOCATION_ID_COMPLETION, 1, "inv_child"),
        notification(T.CALL_COMPLETION, 2, Failure(404, "gone")),
    )
    assert machine.progress(handle) is Progress.READY
    assert machine.take(handle) == Failure(404, "gone")
    assert machine.take(id_handle) == "inv_child"


def test_core_send():
    """A one-way call takes one id and has a time."""
    machine = opened()
    handle = machine.sys_send("S", "h", b"p", key="k", invoke_time_ms=12345, headers=[("a", "1")], name="label")
    command = only(machine, T.ONE_WAY_CALL)
    assert (command.invoke_time, command.invocation_id_notification_idx, command.name) == (12345, 1, "label")
    assert not command.HasField("idempotency_key")
    assert machine.sys_sleep(1) == handle + 1


def test_scopes_and_limit_keys():
    """V7 calls carry them."""
    machine = opened(version=V7)
    machine.sys_call("S", "h", b"", scope="s", limit_key="l")
    call = only(machine, T.CALL)
    assert (call.scope, call.limit_key) == ("s", "l")
    machine.sys_send("S", "h", b"", scope="s")
    send = only(machine, T.ONE_WAY_CALL)
    assert send.scope == "s"
    assert not send.HasField("limit_key")


CALLS: dict[str, Callable[..., object]] = {
    "call": lambda machine, **more: machine.sys_call("S", "h", b"", **more),
    "send": lambda machine, **more: machine.sys_send("S", "h", b"", **more),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("what", ["idempotency_key", "scope", "limit_key"])
@pytest.mark.parametrize("version", VERSIONS)
def test_core_empty_keys_are_refused(call: str, what: str, version: ProtocolVersion):
    """An empty key is no key: leave it out."""
    machine = opened(version=version)
    with pytest.raises(LocalProtocolError, match="empty"):
        CALLS[call](machine, **{what: ""})
    assert only(machine, T.ERROR).code == 500


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("what", ["scope", "limit_key"])
@pytest.mark.parametrize("version", [V5, V6])
def test_core_scopes_need_v7(call: str, what: str, version: ProtocolVersion):
    """Older versions have no scopes and limit keys."""
    machine = opened(version=version)
    with pytest.raises(UnsupportedFeatureError):
        CALLS[call](machine, **{what: "x"})
    assert only(machine, T.ERROR).code == 573


def test_a_limit_key_needs_a_scope():
    """A limit key alone limits nothing."""
    machine = opened(version=V7)
    with pytest.raises(LocalProtocolError, match="without a scope"):
        machine.sys_call("S", "h", b"", limit_key="l")
    assert only(machine, T.ERROR).code == 500


ATTACHING: dict[str, tuple[Callable[..., int], MessageType]] = {
    "attach": (Machine.sys_attach, T.ATTACH_INVOCATION),
    "output": (Machine.sys_get_output, T.GET_INVOCATION_OUTPUT),
}


@pytest.mark.parametrize("name", ATTACHING)
def test_core_attach_and_output(name: str):
    """Invocations are named by id, by workflow, or by idempotency key."""
    call, kind = ATTACHING[name]
    machine = opened(version=V7)
    assert call(machine, "inv_other", "label") == 1
    command = only(machine, kind)
    assert (command.invocation_id, command.result_completion_id, command.name) == ("inv_other", 1, "label")
    call(machine, WorkflowTarget("W", "k", scope="s"))
    workflow = messages.WorkflowTarget(workflow_name="W", workflow_key="k", scope="s")
    assert only(machine, kind).workflow_target == workflow
    call(machine, IdempotentTarget("S", "h", "i", key="k"))
    request = only(machine, kind).idempotent_request_target
    assert request == messages.IdempotentRequestTarget(
        service_name="S", service_key="k", handler_name="h", idempotency_key="i"
    )
    assert call(machine, IdempotentTarget("S", "h", "i")) == 4


@pytest.mark.parametrize("name", ATTACHING)
@pytest.mark.parametrize("target", [WorkflowTarget("W", "k", ""), IdempotentTarget("S", "h", "i", scope="")])
def test_core_empty_scopes_of_targets_are_refused(name: str, target: WorkflowTarget | IdempotentTarget):
    """A target's scope may not be empty."""
    machine = opened(version=V7)
    with pytest.raises(LocalProtocolError):
        ATTACHING[name][0](machine, target)
    assert only(machine, T.ERROR).code == 500


@pytest.mark.parametrize("name", ATTACHING)
def test_core_scopes_of_targets_need_v7(name: str):
    """A target's scope exists since V7."""
    machine = opened(version=V6)
    with pytest.raises(UnsupportedFeatureError):
        ATTACHING[name][0](machine, WorkflowTarget("W", "k", "s"))
    assert only(machine, T.ERROR).code == 573


def test_output_of_an_unfinished_invocation():
    """None says that there is no output yet."""
    machine = opened()
    handle = machine.sys_get_output("inv")
    feed(machine, notification(T.GET_INVOCATION_OUTPUT_COMPLETION, handle, None))
    assert machine.progress(handle) is Progress.READY
    assert machine.take(handle) is None
