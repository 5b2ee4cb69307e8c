"""A load beside the rated one, as a fault: whoever knows how to start loads says so here.

Loads lie in another part of hotfire, which this one does not import. What is started lives as long
as the process that fires; the kernel ends it with that.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from typing import Any, Protocol

from hotfire.chaos.plan import World
from hotfire.errors import HarnessError
from hotfire.measure.history import Request


class Load(Protocol):
    """A load that runs."""

    def alive(self) -> bool:
        """Return whether it still does."""

    def rows(self) -> Sequence[Request]:
        """Return its requests that have ended so far."""


Starter = Callable[[World, str, dict[str, Any]], AbstractContextManager[Load]]


@dataclass(slots=True)
class _Beside:
    """The loads of this process, by the entry of the fault that started them."""

    starter: Starter | None = None
    running: dict[str, tuple[ExitStack, Load]] = field(default_factory=dict)


_BESIDE = _Beside()


def provide(starter: Starter) -> None:
    """Say how a load is started: by world, name and what differs from the rated plan."""
    _BESIDE.starter = starter


def start(world: World, entry_id: str, name: str, changes: dict[str, Any]) -> Load:
    """Start a load on account of an entry.

    Raises:
        HarnessError: it does not start, or nobody has said how.
    """
    if _BESIDE.starter is None:
        raise HarnessError("this process cannot start loads; keep hotfire.experiment.control")
    held = ExitStack()
    load = held.enter_context(_BESIDE.starter(world, name, changes))
    _BESIDE.running[entry_id] = held, load
    return load


def running(entry_id: str) -> Load | None:
    """Return the load of an entry; None where this process has none, or it was ended."""
    found = _BESIDE.running.get(entry_id)
    return found[1] if found else None


def rows_so_far(entry_ids: Iterable[str]) -> list[Request]:
    """Return the requests that have ended so far, of all loads of these entries."""
    loads = [load for one in entry_ids if (load := running(one))]
    return [row for load in loads for row in load.rows()]


def end(entry_id: str) -> bool:
    """End the load of an entry; return whether there was one."""
    found = _BESIDE.running.pop(entry_id, None)
    if found is None:
        return False
    found[0].close()
    return True
