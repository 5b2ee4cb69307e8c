"""What the fault did not touch: where it was slower too, it may have been the machine. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from hotfire.measure.columns import Columns
from hotfire.measure.comparison.before import Before
from hotfire.measure.comparison.shift import Stretch
from hotfire.measure.variation import Values, Variation

CONTROL_FALSE_ALARM: Final = 0.05
"""Of a control, over a hold: it is cheaper to doubt a failure than to blame the innocent."""
_PRESSURE_FLOOR: Final = 0.05
"""Rise of the waiting time that explains nothing."""


class Control(Protocol):
    """What the fault does not touch and that shares the target's machine: it tells its noise."""

    @property
    def names(self) -> frozenset[str]:
        """Servers, as ``served_by`` has them, whose answers are the control's."""

    def moved(self, start_ns: int, end_ns: int) -> list[str]:
        """Return how it was slower between two moments than before, in words; empty: it was not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlGroup:
    """Servers beside the target."""

    names: frozenset[str]
    before: Before
    rows: Columns
    """All that they served, in scheduled order."""

    def moved(self, start_ns: int, end_ns: int) -> list[str]:
        """Return how they were slower between two moments than before the fault."""
        shifts = self.before.over_hold(Stretch.cut(self.rows, start_ns, end_ns))
        who = ", ".join(sorted(self.names))
        return [f"{who}: {shift}" for shift in shifts if shift.worse]


@dataclass(frozen=True, slots=True, kw_only=True)
class MachinePressure:
    """How long processes of the target's machine waited for a CPU, as a share of the time (0-1).

    Only where the load runs on that machine. Source: Linux, Documentation/accounting/psi.rst.
    """

    at_ns: NDArray[np.int64]
    share: Values
    """Since the sample before."""
    before: Variation
    false_alarm: float
    names: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls, samples: Sequence[tuple[int, float]], *, injected_ns: int, false_alarm: float
    ) -> Self | None:
        """Return the pressure of (moment, share) samples; None where too few are of before."""
        ordered = sorted(samples)
        at_ns = np.array([at for at, _ in ordered], np.int64)
        share = np.array([each for _, each in ordered], np.float64)
        variation = Variation.of(share[at_ns < injected_ns])
        if variation is None:
            return None
        return cls(at_ns=at_ns, share=share, before=variation, false_alarm=false_alarm)

    def moved(self, start_ns: int, end_ns: int) -> list[str]:
        """Return how much longer they waited between two moments than before the fault."""
        inside = self.share[(self.at_ns >= start_ns) & (self.at_ns < end_ns)]
        if not len(inside):
            return []
        chance = self.before.chance(len(inside), false_alarm=self.false_alarm)
        after = float(inside.mean())
        if after - self.before.mean <= max(chance, _PRESSURE_FLOOR):
            return []
        return [
            f"processes of the machine waited for a CPU {after:.0%} of the time,"
            f" {self.before.mean:.0%} before (chance {self.before.mean + chance:.0%})"
        ]
