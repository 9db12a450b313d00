"""What hostile requests can and cannot write to the log."""

from __future__ import annotations

import logging

import pytest

from durably.hosting.request_log import Refusal, RequestLog


class Clock:
    """Monotonic seconds that a test moves."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    """A clock of the test's own."""
    return Clock()


@pytest.fixture
def log(clock: Clock, caplog: pytest.LogCaptureFixture) -> RequestLog:
    """A log of the test's own, captured."""
    caplog.set_level(logging.WARNING, "durably.hosting.request_log")
    return RequestLog(clock=clock)


def refuse(log: RequestLog, kind: Refusal = Refusal.UNKNOWN_PATH, *, path: str = "/x", reason: str = "no") -> None:
    """Refuse a request from one peer."""
    log.refused(kind, status=404, path=path, peer="127.0.0.1", reason=reason)


@pytest.mark.parametrize("hostile", ["a\r\nb", "\x1b[2Jx", "\x00", "\u202eabc", "\x7f", "\ud800", "\x85\u2028"])
def test_control_characters_never_reach_the_log(log: RequestLog, caplog: pytest.LogCaptureFixture, hostile: str):
    """Line ends, terminal escapes, NUL and text direction marks arrive as printable ASCII on one line."""
    refuse(log, path=f"/{hostile}", reason=hostile)
    text = caplog.records[0].getMessage()
    assert text.isascii()
    assert text.isprintable()


def test_long_text_is_cut(log: RequestLog, caplog: pytest.LogCaptureFixture):
    """A path of a megabyte costs a few hundred bytes of log."""
    refuse(log, path="/" + "a" * 1_000_000, reason="b" * 1_000_000)
    assert len(caplog.records[0].getMessage()) < 1_000


def test_a_flood_is_ten_lines_a_second_for_each_kind(log: RequestLog, clock: Clock, caplog: pytest.LogCaptureFixture):
    """10,000 requests within a few seconds write at most ten lines a second, and another kind still gets through."""
    for index in range(10_000):
        clock.now_s = 100.0 + index * 0.0005  # five seconds in all
        refuse(log)
    refuse(log, Refusal.NOT_SIGNED)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) <= 10 * 6 + 1
    assert "kind=not_signed" in lines[-1]


def test_lines_left_out_are_counted(log: RequestLog, clock: Clock, caplog: pytest.LogCaptureFixture):
    """The first line after a flood says how many were left out, once."""
    for _ in range(25):
        refuse(log)
    clock.now_s += 1.0
    refuse(log)
    refuse(log)
    assert caplog.records[-2].getMessage().endswith("left_out=15")
    assert caplog.records[-1].getMessage().endswith("left_out=0")
