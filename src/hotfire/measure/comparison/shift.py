"""One figure of a stretch of requests beside the same figure of the baseline. Pure."""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from hotfire.measure.columns import Columns


class Figure(StrEnum):
    """What is compared."""

    FAILURES = "failures"
    SLOW = "requests not served well"
    TTFT = "TTFT"
    TPOT = "TPOT"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """How one figure of a stretch compares with the baseline: seconds, or shares (0-1)."""

    figure: Figure
    before: float
    after: float
    chance: float
    """How far chance alone carries it, at the declared chance of a false alarm."""
    limit: float
    """What it must exceed to be worse: never below chance, nor below the factor."""

    @property
    def worse(self) -> bool:
        """Whether it is shown to be worse."""
        return self.after > self.limit

    def __str__(self) -> str:
        if math.isinf(self.after):
            return f"{self.figure} not told any more, {self.before:.4g} s before"
        if self.figure in (Figure.TTFT, Figure.TPOT):
            times, chance, limit = (
                value / self.before for value in (self.after, self.chance, self.limit)
            )
            return (
                f"{self.figure} {self.after:.4g} s, {times:.2f} times what it was"
                f" (chance {chance:.2f}, limit {limit:.2f})"
            )
        return (
            f"{self.after:.1%} {self.figure}, {self.before:.1%} before"
            f" (chance {self.chance:.1%}, limit {self.limit:.1%})"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """The requests scheduled between two moments."""

    rows: Columns
    start_ns: int
    end_ns: int

    @classmethod
    def cut(cls, rows: Columns, start_ns: int, end_ns: int) -> Self:
        """Return what was scheduled between two moments, the second left out."""
        part = rows.part(rows.place(start_ns), rows.place(end_ns))
        return cls(rows=part, start_ns=start_ns, end_ns=end_ns)

    @classmethod
    def whole(cls, rows: Columns) -> Self:
        """Return all of some requests; the last one stands for the mean gap after it."""
        if not len(rows):
            return cls(rows=rows, start_ns=0, end_ns=0)
        first, last = int(rows.sched_ns[0]), int(rows.sched_ns[-1])
        gap = (last - first) // max(1, len(rows) - 1)
        return cls(rows=rows, start_ns=first, end_ns=last + gap)
