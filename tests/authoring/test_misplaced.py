"""Contexts that something takes for data."""

from __future__ import annotations

from typing import Any

import pydantic
import pytest

from durably import Context, ObjectContext, SyncContext, SyncWorkflowContext
from durably.errors import RegistrationError


@pytest.mark.parametrize("context", [Context, ObjectContext, SyncContext, SyncWorkflowContext])
def test_a_context_is_no_data(context: type[Any]):
    """A framework that asks pydantic for its form is told how a function gets one."""
    with pytest.raises(RegistrationError, match=rf"A {context.__name__} is no data .*@durably\.endpoint"):
        pydantic.TypeAdapter(context)


def test_objects_may_hold_a_context():
    """A model that allows objects of any class checks its class, and nothing else."""

    class Holder(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(arbitrary_types_allowed=True)
        ctx: Context

    with pytest.raises(pydantic.ValidationError, match="instance of Context"):
        Holder(ctx=1)  # type: ignore[arg-type]
