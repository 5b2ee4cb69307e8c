"""A load as an experiment sees it."""

from pathlib import Path
from typing import Protocol

from hotfire.measure.history import Request


class Traffic(Protocol):
    """A load under which faults are fired: one of its own, or part of a longer one."""

    @property
    def log(self) -> Path:
        """What the load process said."""

    def wait_started(self) -> None:
        """Wait until requests are sent."""

    def alive(self) -> bool:
        """Return whether they still are."""

    def rows(self) -> list[Request]:
        """Return what has ended so far, numbered from 0."""

    def stop(self) -> object:
        """Close the record of it."""
