"""The search itself: draw, fire, and where a schedule fails, fire it again and shrink it. Pure.

Firing, the clock and what is written are handed in.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from hotfire.experiment.exploring.order import Order
from hotfire.experiment.exploring.schedule import Hold, Schedule, draw
from hotfire.experiment.exploring.shrink import shrink
from hotfire.verdict import Verdict

_MOST: Final = 999
"""Schedules of one run: their numbers have three digits."""


class Outcome(NamedTuple):
    """What became of a schedule that was fired."""

    verdict: Verdict
    reason: str
    stop: bool = False
    """The target is broken: nothing more may be fired at it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A schedule that the target did not withstand."""

    number: int
    drawn: Schedule
    reason: str
    smallest: Schedule
    times: int = 1
    """How often it, or a smaller one, was seen to fail."""
    whole: bool = False
    """Whether everything that is a step smaller was tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What a search is done with."""

    holds: Mapping[str, Hold]
    """The faults that the target can take."""
    fits: Callable[[tuple[str, ...]], bool]
    """Whether faults may overlap."""
    fire: Callable[[int, Schedule], Outcome]
    keep: Callable[[Finding], object]
    """Writes a finding down, at once and each time it got smaller."""
    say: Callable[[str], object]
    seconds: Callable[[], float]
    """A clock."""


@dataclass(slots=True)
class Exploration:
    """One search; what it has found so far is there whenever it ends."""

    order: Order
    world: World
    findings: list[Finding] = field(default_factory=list)
    verdicts: Counter[Verdict] = field(default_factory=Counter)
    stopped: str = ""
    """Why nothing more could be fired; empty: the time was over."""
    _began: float = 0.0

    def run(self) -> None:
        """Fire schedule after schedule until the time is over or the target stays broken."""
        self._began = self.world.seconds()
        for number in range(1, _MOST + 1):
            if self.stopped or self._spent() >= 60 * self.order.minutes:
                return
            schedule = draw(self.order.seed, number, self.world.holds, self.world.fits)
            self.world.say(f"schedule {number}: {schedule}")
            outcome = self._fire(number, schedule)
            if outcome.verdict is Verdict.FAILED:
                self._found(number, schedule, outcome)

    def _found(self, number: int, schedule: Schedule, outcome: Outcome) -> None:
        found = Finding(number=number, drawn=schedule, reason=outcome.reason, smallest=schedule)
        self._keep(found)
        until, unsure = self.world.seconds() + 60 * self.order.minutes, False

        def fails(one: Schedule) -> bool:
            nonlocal found, unsure
            if self.stopped or self.world.seconds() >= until:
                unsure = True
                return False
            self.world.say(f"schedule {number} again: {one}")
            again = self._fire(number, one)
            unsure |= again.verdict is Verdict.INCONCLUSIVE
            if failed := again.verdict is Verdict.FAILED:
                times = found.times + 1
                found = replace(found, smallest=one, reason=again.reason, times=times)
                self._keep(found)
            return failed

        if fails(schedule):
            shrink(schedule, self.world.holds, fails)
        self._keep(replace(found, whole=found.times > 1 and not unsure))

    def _fire(self, number: int, schedule: Schedule) -> Outcome:
        outcome = self.world.fire(number, schedule)
        self.verdicts[outcome.verdict] += 1
        self.world.say(f"{outcome.verdict}: {outcome.reason}")
        if outcome.stop:
            self.stopped = outcome.reason
        return outcome

    def _keep(self, finding: Finding) -> None:
        others = [one for one in self.findings if one.number != finding.number]
        self.findings = [*others, finding]
        self.world.keep(finding)

    def _spent(self) -> float:
        return self.world.seconds() - self._began
