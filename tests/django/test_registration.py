"""What cannot be a durable view is refused where it is decorated."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from durably import Context, ObjectContext, SyncContext
from durably.errors import RegistrationError, UsageError
from durably_django import durable
from durably_django.values import from_json, to_json


def test_generators_are_refused():
    """A generator streams its answer."""

    def view(request: Any) -> Iterator[bytes]:
        yield b""

    with pytest.raises(RegistrationError, match="is a generator"):
        durable(view)


def test_contexts_must_fit():
    """A `def` view cannot take the context of an `async def` one, nor a plain view an object's."""

    def wrong_colour(request: Any, ctx: Context) -> None: ...

    async def wrong_kind(request: Any, ctx: ObjectContext) -> None: ...

    for view in (wrong_colour, wrong_kind):
        with pytest.raises(RegistrationError, match="Context"):
            durable(view)


def test_keys_must_be_parameters():
    """A key that the view does not have, and shared=True without one, are refused."""

    def view(request: Any, number: int, ctx: SyncContext) -> None: ...

    with pytest.raises(RegistrationError, match="none of its parameters"):
        durable(key="name")(view)
    with pytest.raises(RegistrationError, match="shared=True"):
        durable(shared=True)(view)


def test_unknown_options_are_refused():
    """An option that no handler has is named."""

    def view_with_option(request: Any) -> None: ...

    with pytest.raises(RegistrationError, match="unknown_option"):
        durable(unknown_option=1)(view_with_option)


def test_names_clash_visibly():
    """Two views of one name in one module are told to take another service."""

    def twin(request: Any) -> None: ...

    durable(service="twins")(twin)
    with pytest.raises(RegistrationError, match="already"):
        durable(service="twins")(twin)


def test_values_of_routes_survive():
    """Each type that Django's converters give comes back as it was; others are refused with a hint."""
    import datetime
    import decimal
    import uuid

    for value in (1, "é", None, uuid.uuid4(), decimal.Decimal("1.10"), datetime.date(2020, 2, 29), datetime.time(1, 2)):
        assert from_json(to_json(value)) == value
    with pytest.raises(UsageError, match="cannot be stored"):
        to_json(object())
    with pytest.raises(ValueError, match="unknown type"):
        from_json({"durably:type": "module", "value": "os"})
