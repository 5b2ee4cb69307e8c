"""What was found, and where: a value without its place is a rumour."""

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Said(Generic[T]):
    """One value of the target file."""

    value: T
    where: str
    """Where it was found, or why it was guessed."""
    guessed: bool = False


def guess(value: T, why: str) -> Said[T]:
    """Return a value that nothing in the cluster vouches for."""
    return Said(value, why, guessed=True)
