"""What `durably doctor` found, and how it says so."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from durably.cli.output import say

__all__ = ["Finding", "Verdict", "fail", "ok", "show_findings", "warn"]


class Verdict(enum.StrEnum):
    """How good it is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check's outcome.

    Attributes:
        check: What was looked at; the same words every time.
        verdict: How good it is.
        text: What was found.
        remedy: What to do, or None.
    """

    check: str
    verdict: Verdict
    text: str
    remedy: str | None = None


def ok(check: str, text: str) -> Finding:
    """All is well."""
    return Finding(check, Verdict.OK, text)


def warn(check: str, text: str, remedy: str) -> Finding:
    """It works, and may not."""
    return Finding(check, Verdict.WARN, text, remedy)


def fail(check: str, text: str, remedy: str) -> Finding:
    """It does not work."""
    return Finding(check, Verdict.FAIL, text, remedy)


def show_findings(findings: Sequence[Finding]) -> None:
    """Write them for people."""
    width = max((len(each.check) for each in findings), default=0)
    for each in findings:
        say(f"{each.verdict.value:4}  {each.check:{width}}  {each.text}")
        if each.remedy is not None:
            say(f"      {'':{width}}  -> {each.remedy}")
