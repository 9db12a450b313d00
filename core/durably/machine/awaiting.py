"""Awaiting: delivering one notification at a time, and what to do when none is left.

    progress(tree):
      1  CANCEL is ready, and is to interrupt awaits        -> cancel children, CANCELLED
      2  the tree is resolved by what is ready              -> READY
      3  a notification is queued: make exactly one ready, go to 1
      4  recorded commands are left                         -> journal mismatch
      5  an awaited step waits for its execution            -> EXECUTE_RUN
      6  input can come, or an awaited step executes        -> WAIT
      7  otherwise                                          -> write Suspension, SUSPENDED

Step 3 takes one at a time because taking more would let a later completion win a race that an earlier
one has won in another attempt.

Implicit cancellation: a cancellation is delivered once per signal. Before that, each tracked child is
cancelled, in the order in which it was created; a child whose invocation id is not known yet is
awaited first, alone and without listening to further cancellations; those are delivered afterwards.

Source: service protocol, SuspensionMessage, AwaitingOnMessage, built-in signal CANCEL.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NoReturn, assert_never

from durably.errors import CommandInfo, LocalProtocolError, RemoteProtocolError
from durably.machine.mismatches import Cause
from durably.machine.options import AwaitingOnPolicy
from durably.machine.runs import Runs
from durably.machine.signals import Signals
from durably.machine.states import Event, State
from durably.machine.values import CANCEL, Handle, Progress, Result
from durably.machine.waiting import AwaitTree, Combined, Outcome, Pending, awaiting_on_of, suspension_of
from durably.protocol.messages import MessageType
from durably.protocol.versions import ProtocolVersion

__all__ = ["Awaiting"]

_PROCESSING: Final = State.PROCESSING
_REPLAYING: Final = State.REPLAYING
_READY: Final = Progress.READY
_PENDING: Final = Outcome.PENDING


class Awaiting(Runs, Signals):
    """Waiting for results; see `Machine`."""

    __slots__ = ()

    def progress(self, tree: AwaitTree) -> Progress:
        """Deliver what an await waits for, one notification at a time; then do what the answer says.

        Args:
            tree: What the handler awaits. Handles that were taken count as pending.

        Raises:
            JournalMismatchError: Recorded commands follow, but the await cannot be resolved by what
                is recorded. The attempt has failed.
            RemoteProtocolError: A child's invocation id is none. The attempt has failed.
            LocalProtocolError: See `Machine`.
        """
        if not isinstance(tree, Combined):
            return self.await_one(tree)
        self._require_open("An await")
        ready = self._ready
        queue = self._queue
        implicit = self._implicit_cancellation
        pending = Pending(tree)
        leaves = set(pending.leaves())
        while True:
            if implicit and CANCEL in ready:
                return self._cancel()
            if pending.evaluate(ready) is not _PENDING:
                return _READY
            while True:
                if not queue:
                    return self._blocked(pending, leaves, with_cancel=implicit)
                handle, result = queue.popleft()
                ready[handle] = result
                if handle in leaves or handle == CANCEL:
                    break

    def await_one(self, handle: Handle) -> Progress:
        """Do as `progress` for a single handle, faster.

        Args:
            handle: What the handler awaits.

        Raises:
            JournalMismatchError: As `progress`.
            RemoteProtocolError: As `progress`.
            LocalProtocolError: As `progress`.
        """
        if self._state is not _PROCESSING and self._state is not _REPLAYING:
            self._refuse("An await")
        ready = self._ready
        queue = self._queue
        implicit = self._implicit_cancellation
        while True:
            if implicit and CANCEL in ready:
                return self._cancel()
            if handle in ready:
                return _READY
            if not queue:
                return self._blocked(handle, (handle,), with_cancel=implicit)
            received, result = queue.popleft()
            ready[received] = result

    def is_completed(self, handle: Handle) -> bool:
        """Tell whether a result was delivered and not taken yet."""
        return handle in self._ready

    def is_resolved(self, tree: AwaitTree) -> bool:
        """Tell whether an await could continue with what was delivered so far. Delivers nothing.

        Raises:
            LocalProtocolError: Awaits are combined too deep (code 500). Nothing was written.
        """
        if not isinstance(tree, Combined):
            return tree in self._ready
        return Pending(tree).evaluate(self._ready) is not _PENDING

    def take(self, handle: Handle) -> Result:
        """Take a delivered result; afterwards the handle counts as pending.

        Returns:
            bytes for a value, None for nothing, a `Failure`, a str for an invocation id, or a tuple
            of str for state keys.

        Raises:
            LocalProtocolError: It was not delivered, or was taken before. Nothing was written and the
                machine stays usable, unless it was closed before (code 598).
        """
        try:
            result = self._ready.pop(handle)
        except KeyError:
            self._require_open("Taking a result")
            raise LocalProtocolError(f"There is no result to take for {handle!r}.") from None
        if type(result) is str and type(handle) is int and handle in self._children:
            self._children[handle] = result
        return result

    # ---- nothing is left to deliver

    def _blocked(self, awaited: Handle | Pending, leaves: Collection[Handle], *, with_cancel: bool) -> Progress:
        if self._state is _REPLAYING:
            self._refuse_await(list(awaited.leaves()) if isinstance(awaited, Pending) else [awaited])
        for handle in self._waiting_runs:
            if handle in leaves:
                self._executing_runs[handle] = self._waiting_runs.pop(handle)
                self.run_to_execute = handle
                return Progress.EXECUTE_RUN
        if self._input_closed:
            if any(handle in leaves for handle in self._executing_runs):
                return Progress.WAIT
            suspension = suspension_of(awaited, self.version, with_cancel=with_cancel)
            self._send(MessageType.SUSPENSION, suspension.SerializeToString())
            self._close(Event.SUSPENSION_WRITTEN)
            return Progress.SUSPENDED
        if self.version >= ProtocolVersion.V7 and self._reports_waiting():
            self._send(MessageType.AWAITING_ON, awaiting_on_of(awaited, with_cancel=with_cancel))
        return Progress.WAIT

    def _reports_waiting(self) -> bool:
        match self.options.awaiting_on:
            case AwaitingOnPolicy.ALWAYS:
                return True
            case AwaitingOnPolicy.WHEN_IDLE:
                return not self._executing_runs
            case AwaitingOnPolicy.WHEN_WAITING:
                return not (self._executing_runs or self._proposed_runs)
            case AwaitingOnPolicy.NEVER:
                return False
            case _:
                assert_never(self.options.awaiting_on)

    def _refuse_await(self, leaves: list[Handle]) -> NoReturn:
        # The next recorded command was written after this await had been resolved, with nothing more recorded.
        # So the handler did not wait here when it wrote that command.
        kind, payload = self._commands[-1]
        following = self._describe_recorded(kind, payload)
        awaited = ", ".join(map(self._describe_handle, leaves))
        runs = [self._waiting_runs[leaf] for leaf in leaves if isinstance(leaf, int) and leaf in self._waiting_runs]
        self._mismatch(
            f"the handler awaits {awaited}, which the journal holds no completion for, yet the journal goes on with"
            f" {following}",
            expected=following,
            found=f"await {awaited}",
            hint=Cause.ADDED_AWAIT,
            command=CommandInfo(runs[-1][0], MessageType.RUN, runs[-1][1]) if runs else None,
        )

    def _describe_handle(self, handle: Handle) -> str:
        if isinstance(handle, str):
            return f"signal {handle!r}"
        if handle == CANCEL:
            return "the cancellation"
        if handle < 0:
            return f"awakeable {-handle}"
        if handle in self._waiting_runs:
            index, name = self._waiting_runs[handle]
            return f"run {name!r} (command {index})"
        return f"completion {handle}"

    # ---- implicit cancellation

    def _cancel(self) -> Progress:
        children = self._children
        for handle, known_id in children.items():
            if known_id is None:
                invocation_id = self._await_child(handle)
                if isinstance(invocation_id, Progress):
                    return invocation_id
                children[handle] = invocation_id
        ids = [invocation_id for invocation_id in children.values() if invocation_id is not None]
        children.clear()
        for invocation_id in ids:
            self.sys_cancel(invocation_id)
        if self._further_cancellations:
            self._further_cancellations -= 1  # CANCEL stays ready for the next await
        else:
            del self._ready[CANCEL]
        return Progress.CANCELLED

    def _await_child(self, handle: int) -> str | Progress:
        """Give the invocation id of a child, or what is to be done until it is known. It stays ready."""
        ready = self._ready
        while handle not in ready:
            if not self._queue:
                return self._blocked(handle, (handle,), with_cancel=False)
            received, result = self._queue.popleft()
            if received == CANCEL:
                self._further_cancellations += 1
            ready[received] = result
        invocation_id = ready[handle]
        if not isinstance(invocation_id, str):
            self._die(RemoteProtocolError(f"Completion {handle} is to bring an invocation id, and does not."))
        return invocation_id
