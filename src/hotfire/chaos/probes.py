"""What experiment files name to look: each probe returns a bool, or raises when it cannot tell."""

import time
from typing import Final

from hotfire.chaos.armed import Shot, tell
from hotfire.chaos.plan import names
from hotfire.chaos.sighting import Sighting, SightingWord
from hotfire.errors import FaultNotInjected, HarnessError
from hotfire.measure import bands, history, recovery
from hotfire.waiting import of_target

_SECOND_NS: Final = 1_000_000_000


def slo_is_met() -> bool:
    """Return whether users are served as in the baseline, which ended where this first ran.

    Before the fault the load's whole history is the baseline and judged as such; later the last
    window is held against its bands.
    """
    shot = Shot.from_environment()
    rows = recovery.settled(history.load(shot.armed.history))
    injected_ns = _event_ns(shot, "injected") or time.time_ns()
    baseline = [row for row in rows if row.sched_ns < injected_ns]
    measurement = shot.profile.measurement
    limits = bands.Bands.from_baseline(baseline, shot.profile.budgets, measurement)
    later = [row for row in rows if row.sched_ns >= injected_ns]
    window_ns = time.time_ns() - round(measurement.window_seconds * _SECOND_NS)
    recent = [row for row in later if row.sched_ns >= window_ns] if later else baseline
    steady = bands.steady(recent, limits)
    tell(
        shot.run,
        "steady-state",
        source="the load's history",
        experiment=shot.plan.experiment,
        kind="phase",
        data={"holds": steady.holds, "reason": steady.reason, "requests": len(recent)},
    )
    return steady.holds


def seen() -> bool:
    """Wait for the fault's effect and write when it was seen; False if it did not come in time.

    Raises:
        HarnessError: nobody could look, so that it is not known.
    """
    shot = Shot.from_environment()
    try:
        seen, words = _looked_for(shot, shot.fault.seen, over=False)
    except FaultNotInjected as error:
        seen, words = False, str(error)
    shot.tell("took-effect" if seen else "no-effect", source=shot.fault.seen.word, seen=words)
    return seen


def gone() -> bool:
    """Wait for the end of the fault and write when it was seen; False if it was seen to last.

    Raises:
        HarnessError: nobody could look, so that it is not known.
    """
    shot = Shot.from_environment()
    over, words = _looked_for(shot, shot.fault.gone, over=True)
    shot.tell("verified-healed" if over else "not-healed", source=shot.fault.gone.word, seen=words)
    return over


def _looked_for(shot: Shot, word: SightingWord, *, over: bool) -> tuple[bool, str]:
    """Wait for the target; return whether it came, and what was seen last.

    Time in which the API server let nobody look is not the target's.

    Raises:
        HarnessError: at the deadline it was still unknown.
    """
    scene, looks = shot.scene(), [Sighting("unknown", "nobody has looked yet")]

    def is_so() -> bool:
        looks.append(word.look(scene))
        return looks[-1].seen == "yes"

    found = of_target(
        is_so,
        within_seconds=word.within_seconds(shot.profile, over=over),
        what=f"{word} of {names(shot.plan.targets)}",
        excused_seconds=shot.cluster.silent_seconds,
    )
    last = looks[-1]
    if last.seen == "unknown":
        raise HarnessError(f"{found}: {last.words}")
    return last.seen == "yes", last.words


def _event_ns(shot: Shot, what: str) -> int | None:
    mine = [one for one in shot.run.events() if one.experiment == shot.plan.experiment]
    return next((one.at_ns for one in reversed(mine) if one.what == what), None)
