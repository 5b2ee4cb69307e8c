"""Hysteresis and cooldown keep the fleet from swinging with its demand.

An engine takes minutes to load what it is taken away with at once. Where each breath of the demand
takes one away, users wait for its return, and the machine works for loading only.
"""

import math
from dataclasses import dataclass, field
from itertools import pairwise
from time import monotonic

from fixtures.autoscaling import Autoscaler
from fixtures.demand import Demand
from hotfire import Evidence, Level, requirement
from hotfire.errors import HarnessError
from hotfire.waiting import eventually

pytestmark = requirement(
    "SCA-004",
    Level.MUST,
    __doc__,
    source="https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#flapping",
    features={"autoscaling"},
)

# Where less is declared: shorter than this, a metric every five seconds hides the swing.
LEAST_COOLDOWN_SECONDS = 30.0
# An autoscaler looks every fifteen seconds by default, and its window counts back from a look: what
# happened since the oldest one in it is all that it is sure to hold. The metric is older than that.
LOOK_SECONDS, METRIC_SECONDS = 15.0, 5.0
ACROSS = 3
"""How often the demand ends and returns; an autoscaler that is slow to look may miss one end."""
# Of the cooldown. A load takes some seconds to start anew, and the metric's way makes an end look
# longer by as much as it takes: by half a cooldown the demand would be missed for a whole one.
SWING_RATIO = 0.4
# Of the cooldown, too: by what is shorter it is clearly not kept, and not by what is longer. Looks
# are some time apart, the load needs a moment to start anew, and the metric takes its way.
CLEARLY_RATIO = 0.75


@dataclass(slots=True, kw_only=True)
class Watch:
    """How many engines were wanted, whenever that changed."""

    autoscaler: Autoscaler
    seconds: float
    """Of one look."""
    wanted: list[int] = field(default_factory=list)
    changed: list[float] = field(default_factory=list)
    """When each of them was first seen (monotonic)."""
    strayed: bool = False
    """Whether by the autoscaler's own reading another number was ever due."""

    def go_on(self) -> None:
        """Look for so long."""
        eventually(self._look, within_seconds=self.seconds, poll_seconds=0.5)

    def _look(self) -> None:
        now, readings = self.autoscaler.replicas(), self.autoscaler.readings()
        self.strayed |= any(one.above or one.spares_one_of(now) for one in readings)
        if not self.wanted or self.wanted[-1] != now:
            self.wanted.append(now)
            self.changed.append(monotonic())

    @property
    def actions(self) -> int:
        return max(0, len(self.wanted) - 1)

    def quickest_seconds(self) -> float:
        """Return the shortest time between two actions; infinite: there was no second one."""
        return min((later - one for one, later in pairwise(self.changed[1:])), default=math.inf)


def swing_inside(demand: Demand, watch: Watch, engines: int, in_flight: int) -> int:
    """Have now more, now fewer in flight for as many engines; return how many more."""
    more = demand.at_target(engines) - in_flight
    if more > 0:
        load = demand.streams(more, grace_seconds=0.5)
        watch.go_on()
        load.stop()
        watch.go_on()
    return max(0, more)


def swing_across(demand: Demand, watch: Watch, in_flight: int) -> float:
    """Have none in flight, and all again, as often as ``ACROSS`` says; return the longest pause."""
    longest = 0.0
    for _ in range(ACROSS):
        ended = monotonic()
        demand.end()
        watch.go_on()
        demand.hold(in_flight)
        longest = max(longest, monotonic() - ended)
        watch.go_on()
    return longest


def longest_pause_seconds(declared_seconds: float) -> float:
    """Return for how long the demand may be away while nobody is right to act upon it."""
    if declared_seconds < LEAST_COOLDOWN_SECONDS:
        return CLEARLY_RATIO * LEAST_COOLDOWN_SECONDS
    sure = declared_seconds - LOOK_SECONDS - METRIC_SECONDS
    return min(CLEARLY_RATIO * declared_seconds, sure)


def test_swings_shorter_than_the_cooldown_change_nothing(
    autoscaler: Autoscaler, demand: Demand, evidence: Evidence
) -> None:
    calm, declared = autoscaler.calm(), autoscaler.window_seconds()
    cooldown = max(declared, LEAST_COOLDOWN_SECONDS)
    raised = demand.raise_above_target(calm)
    grown = autoscaler.grown(max(calm + 1, autoscaler.replicas()))
    # Negative control: demand that lasts is followed.
    if not grown:
        raise HarnessError(f"{grown}: nothing scales at all; {raised.told}; SCA-001 judges that")
    seconds = SWING_RATIO * cooldown
    inside, across = (Watch(autoscaler=autoscaler, seconds=seconds) for _ in range(2))
    more = swing_inside(demand, inside, autoscaler.replicas(), raised.in_flight)
    pause = swing_across(demand, across, raised.in_flight)
    quickest = across.quickest_seconds()
    evidence.record("cooldown_seconds", cooldown)
    evidence.record("demand", {**raised.document(), "more_for_as_many_engines": more})
    evidence.record("longest_pause_seconds", round(pause, 1))
    evidence.record("engines_wanted", {"inside": inside.wanted, "across": across.wanted})
    evidence.record("between_two_actions_seconds", str(round(quickest, 1)))

    too_quick = quickest < CLEARLY_RATIO * cooldown
    if too_quick and pause > longest_pause_seconds(declared):
        raise HarnessError(
            f"the demand was away for {pause:.1f} s, which a window of {declared:g} s need not"
            f" bridge where looks are {LOOK_SECONDS:g} s apart: declare a longer one, or try again"
        )
    assert not too_quick, (
        f"{across.wanted} engines in turn, {quickest:.1f} s apart within a cooldown of"
        f" {cooldown:g} s, while the demand ended {ACROSS} times for {pause:.1f} s at most"
    )
    if inside.actions and inside.strayed:
        raise HarnessError(
            f"{more} requests more were to be within one step, and read as beyond it"
        )
    assert not inside.actions, f"{inside.wanted} engines in turn for demand within one step"
