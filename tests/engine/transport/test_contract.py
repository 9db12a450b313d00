"""The values that transports hand over."""

from __future__ import annotations

from durably.engine.transport.contract import FailureKind, HttpVersionError, ResponseHead, TransportError


def test_the_first_of_doubled_headers_is_given():
    """A head is read by lower-case name; what is not there is None."""
    head = ResponseHead(200, (("x-restate-server", "a/1"), ("x-restate-server", "b/2")))
    assert (head.server, head.header("retry-after")) == ("a/1", None)


def test_failures_say_what_to_do():
    """The text is the message and its hint; a wrong version of HTTP has a code for the registration."""
    failure = HttpVersionError("Not HTTP/2.", discovery_code="META0014", hint="Set use_http_11.")
    assert str(failure) == "Not HTTP/2. Set use_http_11."
    assert (failure.kind, failure.counts, failure.is_refused) == (FailureKind.UNAVAILABLE, True, False)
    assert not TransportError("x", kind=FailureKind.WRONG_VERSION).counts
