"""The state of one object or workflow, as a test reads and seeds it.

Owns the reading and the replacement of a key's state; values are JSON unless a serde says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from durably.engine.actions import Failed
from durably.engine.events import EditState
from durably.engine.records import StateEdit
from durably.errors import UsageError
from durably.serde import DEFAULT_SERDE, Serde, resolve_serde

if TYPE_CHECKING:
    from durably.authoring.codec import CodecSource
    from durably.engine.engine import Engine

__all__ = ["BlockingObjectState", "ObjectState"]


class ObjectState:
    """The state of one key of a virtual object, or of one workflow."""

    def __init__(self, engine: Engine, codec: CodecSource, service: str, key: str) -> None:
        """Look at `service` and `key`; nothing is read yet."""
        self._engine = engine
        self._codec = codec
        self._service = service
        self._key = key

    async def get(self, name: str, serde: Serde[Any] = DEFAULT_SERDE, type_hint: Any = None) -> Any:
        """Give one value; None when it is not set."""
        value = (await self._stored()).get(name)
        return None if value is None else await self._read(value, serde, type_hint)

    async def all(self) -> dict[str, Any]:
        """Give all values, as JSON has them."""
        return {name: await self._read(value, DEFAULT_SERDE, None) for name, value in (await self._stored()).items()}

    async def set(self, name: str, value: Any, serde: Serde[Any] = DEFAULT_SERDE) -> None:
        """Set one value, and leave the others.

        Raises:
            UsageError: The service keeps no state.
        """
        await self._replace({**await self._stored(), name: await self._written(value, serde)})

    async def replace(self, values: dict[str, Any]) -> None:
        """Replace all values; `{}` clears them.

        Raises:
            UsageError: The service keeps no state.
        """
        await self._replace({name: await self._written(value, DEFAULT_SERDE) for name, value in values.items()})

    async def _stored(self) -> dict[str, bytes]:
        items = await self._engine.read(lambda reader: list(reader.state_items(self._service, self._key)))
        return {name.decode(): value for name, value in items}

    async def _replace(self, values: dict[str, bytes]) -> None:
        state = {name.encode(): value for name, value in values.items()}
        outcome = await self._engine.submit(EditState(self._service, self._key, StateEdit(state), reply=0))
        if isinstance(outcome, Failed):
            raise UsageError(f"The state of {self._service} cannot be set: {outcome.message}")

    async def _read(self, value: bytes, serde: Serde[Any], type_hint: Any) -> Any:
        codec = await self._codec.get()
        plain = value if codec is None else await codec.decode(value)
        return resolve_serde(serde, type_hint).deserialize(plain)

    async def _written(self, value: Any, serde: Serde[Any]) -> bytes:
        plain = resolve_serde(serde, None if value is None else type(value)).serialize(value)
        codec = await self._codec.get()
        return plain if codec is None else codec.encode(plain)


class BlockingObjectState:
    """`ObjectState` for tests that do not await."""

    def __init__(self, state: ObjectState, run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        """Look through `state`; `run` runs a coroutine where the engine is."""
        self._state = state
        self._run = run

    def get(self, name: str, serde: Serde[Any] = DEFAULT_SERDE, type_hint: Any = None) -> Any:
        """Give one value; None when it is not set."""
        return self._run(self._state.get(name, serde, type_hint))

    def all(self) -> dict[str, Any]:
        """Give all values, as JSON has them."""
        values: dict[str, Any] = self._run(self._state.all())
        return values

    def set(self, name: str, value: Any, serde: Serde[Any] = DEFAULT_SERDE) -> None:
        """Set one value, and leave the others."""
        self._run(self._state.set(name, value, serde))

    def replace(self, values: dict[str, Any]) -> None:
        """Replace all values; `{}` clears them."""
        self._run(self._state.replace(values))
