"""Background tasks that survive a crash: `DurableBackgroundTasks`, and `@durably.task` for what they may run.

    @durably.task
    async def send_receipt(address: str, order_id: int, mailer: Annotated[Mailer, Depends(get_mailer)]) -> None: ...

    @app.post("/orders")
    async def place(order: Order, tasks: DurableBackgroundTasks) -> Receipt:
        tasks.add_task(send_receipt, order.address, order_id=order.id)

Rules
1. Only a registered function runs, found by its name: nothing that was stored decides what code is imported.
2. Arguments are checked when they are added, and stored as JSON.
3. Tasks are stored before the first byte of the answer leaves, in the order they were added, and not at all when the
   endpoint raises. If one cannot be stored, the caller gets a 503; those before it stay.
4. They run beside each other, with retries. A result is dropped.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from inspect import Parameter, Signature
from typing import Annotated, Any, Final

from fastapi import Depends
from pydantic import BaseModel, ConfigDict, ValidationError, create_model
from starlette.requests import HTTPConnection

from durably import Context, Service, SyncContext
from durably.authoring.handlers import Handler
from durably.errors import RegistrationError, UsageError
from durably_fastapi.analysis import Declared, Role, describe_call, read_parameters
from durably_fastapi.client import current_outgoing
from durably_fastapi.host import Host
from durably_fastapi.markers import only_outside

__all__ = ["DurableBackgroundTasks", "Task", "TaskList", "make_task", "open_task_list"]


_ATTRIBUTE: Final = "__durably_task__"
_NO_EXTRAS: Final = ConfigDict(extra="forbid", arbitrary_types_allowed=False)


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """A function that may run in the background.

    Attributes:
        host: The application that it was registered with.
        handler: What runs it.
        payload: Its arguments, one field each.
        arguments: The signature that calls are checked against: without dependencies and context.
    """

    host: Host
    handler: Handler
    payload: type[BaseModel]
    arguments: Signature

    def packed(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bytes:
        """Check the arguments of a call, and give them as JSON.

        Raises:
            UsageError: They do not fit the function.
        """
        name = self.handler.name
        try:
            bound = self.arguments.bind(*args, **kwargs)
            return self.payload(**bound.arguments).model_dump_json().encode()
        except (TypeError, ValidationError, ValueError) as error:
            raise UsageError(f"The task {name!r} cannot be added: {error}.") from error


class TaskList:
    """The tasks of one request; `DurableBackgroundTasks` injects it."""

    def __init__(self) -> None:
        """Begin without tasks."""
        self._tasks: list[tuple[Task, bytes]] = []
        self._is_closed = False

    def add_task(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Run `func` in the background once the answer is decided, whatever happens to this process.

        Its dependencies and its context are left out here, which no type can say.

        Raises:
            UsageError: `func` was not registered with `@durably.task`, the arguments do not fit it, or the answer has
                left already.
        """
        task: Task | None = getattr(func, _ATTRIBUTE, None)
        if task is None:
            raise UsageError(
                f"{describe_call(func)} is no durable task.",
                hint="Put @durably.task above it, so that it can be found by name after a restart.",
            )
        if self._is_closed:
            raise UsageError("The answer has left: no durable task can be added any more.")
        self._tasks.append((task, task.packed(args, kwargs)))

    async def send(self) -> None:
        """Store the tasks.

        Raises:
            DurablyError: One could not be stored; those before it are.
        """
        self._is_closed = True
        for task, payload in self._tasks:
            handler = task.handler
            await task.host.link.client().generic_send(handler.service_name, handler.name, payload)

    def drop(self) -> None:
        """Forget the tasks."""
        self._is_closed = True
        self._tasks.clear()


@only_outside(
    "DurableBackgroundTasks is for ordinary endpoints. Here, call the function as a step with ctx.run_typed, or make a"
    " handler of it and send to that with ctx.service_send."
)
async def open_task_list(connection: HTTPConnection) -> AsyncGenerator[TaskList, None]:
    """Give the tasks of a request; they are stored before its answer leaves, unless the endpoint raised."""
    tasks = TaskList()
    current_outgoing(connection).before_answer(tasks.send)
    try:
        yield tasks
    except BaseException:
        tasks.drop()
        raise


DurableBackgroundTasks = Annotated[TaskList, Depends(open_task_list)]
"""Background tasks that survive a crash: `tasks: DurableBackgroundTasks`, then `tasks.add_task(func, …)`."""


def make_task(
    function: Callable[..., Any], host: Host, service: str | None, name: str | None, options: Mapping[str, Any]
) -> Task:
    """Register `function` as the handler of a service of tasks.

    Raises:
        RegistrationError: A parameter cannot work, or the name is taken.
    """
    declared = read_parameters(function)
    for each in declared:
        _check(each)
    values = [each for each in declared if each.role is Role.REQUEST]
    fields: dict[str, Any] = {each.name: _field(each) for each in values}
    payload: type[BaseModel] = create_model(
        _camel(function.__name__), __config__=_NO_EXTRAS, __module__=function.__module__, **fields
    )
    owner = _service(host, service or f"{function.__module__.rpartition('.')[2].strip('_')}_tasks")
    handler_name = name or function.__name__
    run = _runner(function, payload, declared)
    owner.handler(handler_name, **options)(run)
    task = Task(
        host,
        owner.handlers[handler_name],
        payload,
        Signature([each.parameter for each in values]),
    )
    setattr(function, _ATTRIBUTE, task)
    return task


def _check(declared: Declared) -> None:
    if declared.role is Role.CONNECTION:
        raise RegistrationError(
            f"{declared}: a task runs without a request.", hint="Pass what it needs of the request as an argument."
        )
    if declared.role is Role.REQUEST and declared.parameter.annotation is Parameter.empty:
        raise RegistrationError(
            f"{declared} has no annotation, so its value cannot be stored and read back.", hint="Annotate it."
        )


def _field(declared: Declared) -> tuple[Any, Any]:
    return declared.parameter.annotation, (declared.parameter.default if declared.has_default else ...)


def _service(host: Host, name: str) -> Service:
    found = host.endpoint.services.get(name)
    if found is None:
        found = Service(name)
        host.endpoint.bind(found)
    if not isinstance(found, Service):
        raise RegistrationError(f"{name!r} is no plain service.", hint="Give the task another service='…'.")
    return found


def _runner(function: Callable[..., Any], payload: type[BaseModel], declared: tuple[Declared, ...]) -> Any:
    """Give what the handler calls: context, payload, and the dependencies for the binder."""
    is_async = inspect.iscoroutinefunction(function)
    values = [each.name for each in declared if each.role is Role.REQUEST]
    contexts = [each.name for each in declared if each.role is Role.CONTEXT]

    def arguments(ctx: Any, given: BaseModel, dependencies: Mapping[str, Any]) -> dict[str, Any]:
        return {
            **{name: getattr(given, name) for name in values},
            **dict.fromkeys(contexts, ctx),
            **dependencies,
        }

    run: Any
    if is_async:

        async def run_async(ctx: Any, given: Any, **dependencies: Any) -> None:
            await function(**arguments(ctx, given, dependencies))

        run = run_async
    else:

        def run_blocking(ctx: Any, given: Any, **dependencies: Any) -> None:
            function(**arguments(ctx, given, dependencies))

        run = run_blocking
    by_name = [each.parameter.replace(kind=Parameter.KEYWORD_ONLY) for each in declared if each.role is Role.DEPENDENCY]
    context: Any = next((each.type for each in declared if each.role is Role.CONTEXT), None)
    context = context or (Context if is_async else SyncContext)
    first = Parameter("ctx", Parameter.POSITIONAL_OR_KEYWORD, annotation=context)
    second = Parameter("given", Parameter.POSITIONAL_OR_KEYWORD, annotation=payload)
    run.__signature__ = Signature([first, second, *by_name], return_annotation=None)
    run.__name__, run.__qualname__, run.__module__ = function.__name__, function.__qualname__, function.__module__
    run.__doc__ = function.__doc__
    run.__annotations__ = {each.name: each.annotation for each in run.__signature__.parameters.values()}
    return run


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_")) + "Arguments"
