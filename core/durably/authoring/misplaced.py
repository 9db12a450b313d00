"""Contexts where a framework looks for data: in the parameters of a route that is not durable.

Owns what pydantic, which such frameworks ask for the form of a parameter, is told about a context.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from durably.errors import RegistrationError

__all__ = ["context_schema"]


def context_schema(context: type[Any], source: Any, describe: Callable[[Any], Any]) -> Any:
    """Give pydantic's schema of a context, where objects of any class are allowed.

    Args:
        context: The class.
        source: What is to be described, as pydantic gives it.
        describe: What would describe it by itself.

    Raises:
        RegistrationError: Only data is allowed; says how a function gets a context.
    """
    from pydantic.errors import PydanticSchemaGenerationError

    try:
        return describe(source)
    except PydanticSchemaGenerationError as error:
        raise RegistrationError(
            f"A {context.__name__} is no data that a request could hold; only durable functions are given one.",
            hint="Make the function durable: with FastAPI, write @durably.endpoint below the decorator of the route.",
        ) from error
