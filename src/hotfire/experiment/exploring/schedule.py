"""Which faults are there at a time, in which order and for how long: drawn by chance. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from hotfire.chaos.fault import Fault

_HOW_MANY: Final = (1, 2, 3)
_HOW_OFTEN: Final = (1, 4, 1)
"""Two tell most: what takes three is rare, and what takes one is known by its own experiment."""
_LAGS: Final = (0.0, 1.0, 3.0)
_SHARES: Final = (0.0, 0.5, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One fault of a schedule."""

    fault: str
    """Its id."""
    after_seconds: float = 0.0
    """How long after the one before it begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Faults that begin one after the other, are held together, and end in the other order."""

    parts: tuple[Part, ...]
    hold_seconds: float

    @property
    def faults(self) -> tuple[str, ...]:
        """Their ids, in the order in which they begin."""
        return tuple(part.fault for part in self.parts)

    def __str__(self) -> str:
        first, *others = self.parts
        later = [f"{part.after_seconds:g} s later {part.fault}" for part in others]
        return ", ".join([first.fault, *later]) + f"; held for {self.hold_seconds:g} s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """For how long a fault may be held."""

    least: float
    most: float

    @classmethod
    def of(cls, fault: Fault) -> "Hold":
        """Return up to as long as its file says; a target that must repair it has that long."""
        own = fault.hold_seconds
        return cls(least=own if fault.repaired_by == "target" else 0.0, most=own)

    @classmethod
    def together(cls, holds: Sequence["Hold"]) -> "Hold":
        """Return for how long faults may be held that overlap: none shorter than it needs."""
        return cls(least=max(one.least for one in holds), most=max(one.most for one in holds))

    def share(self, part: float) -> float:
        """Return a whole number of seconds between the least (0) and the most (1)."""
        return float(round(self.least + part * (self.most - self.least)))


def draw(
    seed: int,
    number: int,
    holds: Mapping[str, Hold],
    fits: Callable[[tuple[str, ...]], bool],
) -> Schedule:
    """Return the schedule of a number; the same for the same seed and faults.

    Args:
        seed: What the operator gave.
        number: Which of the schedules; each is drawn without those before it.
        holds: The faults that the target can take.
        fits: Whether faults may be there at a time.
    """
    dice = Random(f"{seed}/{number}")  # noqa: S311 - repeatable is what it must be
    [wanted] = dice.choices(_HOW_MANY, _HOW_OFTEN)
    chosen: tuple[str, ...] = ()
    for fault in dice.sample(sorted(holds), len(holds)):
        if len(chosen) < wanted and (not chosen or fits((*chosen, fault))):
            chosen = (*chosen, fault)
    lags = [0.0, *(dice.choice(_LAGS) for _ in chosen[1:])]
    parts = [Part(fault=one, after_seconds=lag) for one, lag in zip(chosen, lags, strict=True)]
    hold = Hold.together([holds[one] for one in chosen])
    return Schedule(parts=tuple(parts), hold_seconds=hold.share(dice.choice(_SHARES)))
