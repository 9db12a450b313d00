"""Management commands as programs call them."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import Any

from django.core.management import call_command
from django.core.management.base import CommandError

__all__ = ["Outcome", "run"]


@dataclass(frozen=True)
class Outcome:
    """How a command ended.

    Attributes:
        out: What it wrote.
        said: What it wrote beside that; with the text of the error that ended it.
        code: What the process would exit with.
    """

    out: str
    said: str
    code: int

    @property
    def json(self) -> Any:
        """The result, which is JSON and nothing else."""
        return json.loads(self.out)


def run(*arguments: str) -> Outcome:
    """Run `manage.py` with arguments, in this process."""
    out, said, code = io.StringIO(), io.StringIO(), 0
    try:
        call_command(*arguments, stdout=out, stderr=said, no_color=True)
    except CommandError as error:
        said.write(str(error))
        code = error.returncode
    return Outcome(out.getvalue(), said.getvalue(), code)
