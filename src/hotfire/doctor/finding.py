"""One line of what the doctor says: what is so, and what to do about it."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

_IDS: Final = 2


class Mark(StrEnum):
    """How bad it is."""

    FINE = "ok"
    NOTE = ".."
    """Something is left out, as the target file wants it."""
    LACKING = "--"
    """Some requirements would be inconclusive."""
    IMPOSSIBLE = "no"
    """No run would come to a verdict."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    mark: Mark
    about: str
    """In a word or two."""
    seen: str
    remedy: str = ""
    ids: frozenset[str] = frozenset()
    """Requirements and faults that it keeps from a verdict; empty: none, or all."""
    of_target: bool = False
    """Whether it is what the target does, for the checks to judge, and no word to be mended."""

    def told(self) -> str:
        """Return the line."""
        remedy = f"; {self.remedy}" if self.remedy else ""
        keeps = f" [{in_short(self.ids)}]" if self.ids else ""
        return f"{self.mark}  {self.about:<12} {self.seen}{remedy}{keeps}"


def in_short(ids: Iterable[str]) -> str:
    """Return the first of some ids, and how many more there are."""
    ordered = sorted(ids)
    more = len(ordered) - _IDS
    named = ", ".join(ordered[:_IDS])
    return named if more <= 0 else f"{named} and {more} more"


def fine(about: str, seen: str) -> Finding:
    """Return that nothing is wrong there."""
    return Finding(mark=Mark.FINE, about=about, seen=seen)
