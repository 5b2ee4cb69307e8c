"""One tenant's surge leaves another's latency in budget.

A batch job that somebody starts at noon is a surge like any other. Where requests are taken first
come, first served, everybody waits behind it, and the platform keeps its promise to nobody but the
one who asks for most. What another tenant sees is compared with what he saw a moment before: no
more of his answers may come later than his own 95th percentile and its margin than agree with those
that were later than it before. Both counts are chance, so both have exact bounds, which together
call one in five thousand sound platforms wrong.
"""

from collections.abc import Sequence
from dataclasses import asdict

from fixtures.neighbours import Counted, Loads, Neighbours, ended
from hotfire import Evidence, Level, TargetProfile, requirement
from hotfire.errors import HarnessError
from hotfire.measure import later
from hotfire.measure.history import Request
from hotfire.measure.later import PERCENTILE
from hotfire.measure.percentiles import SAMPLE_FLOORS, percentile
from hotfire.measure.request_times import ttft_seconds
from hotfire.traffic.runner.launch import RunningLoad

pytestmark = requirement(
    "SLO-004",
    Level.MUST,
    __doc__,
    source="https://arxiv.org/abs/2401.00588",
    features={"tenant-limits"},
)

TIMES_THE_LIMIT = 5
WINDOWS = 3
# Of who is alone: then his answers are no measure for anything.
LOST_SHARE = 0.02


def times(rows: Sequence[Request]) -> list[float]:
    """Return the times to the first token of what was answered."""
    found = (ttft_seconds(row) for row in rows if row.complete)
    return [seconds for seconds in found if seconds is not None]


def bound_seconds(alone: Counted, profile: TargetProfile) -> float:
    """Return the time to the first token that counts as no later than alone.

    Raises:
        HarnessError: too few answers came to tell, without any surge.
    """
    seen, needed = times(alone.rows), SAMPLE_FLOORS[PERCENTILE]
    lost = len(alone.rows) - len(seen)
    if len(seen) < needed * (1 - LOST_SHARE) or lost > LOST_SHARE * len(alone.rows):
        raise HarnessError(f"without a surge {lost} of {len(alone.rows)} answers failed")
    p95, said = percentile(seen, PERCENTILE), profile.measurement
    return max(said.band_factor * p95, p95 + said.band_floor_seconds)


def timed(running: RunningLoad) -> Counted:
    """Return what became of a load whose times were taken by an instrument that was fit for it."""
    report, counted = ended(running)
    report.check()
    return counted


def share_alone(alone: Counted) -> float:
    """Return the largest share of answers later than their 95th percentile that is believable."""
    return later.share_alone(times(alone.rows))


def judge(beside: Counted, limit_seconds: float, share: float) -> later.Later:
    """Return how the answers beside a surge stand to a bound; a failed one is beyond it."""
    seen = times(beside.rows)
    return later.later_than(limit_seconds, seen, judged=len(beside.rows), share=share)


def test_another_tenants_first_token_comes_as_soon_as_before(
    neighbours: Neighbours, loads: Loads, profile: TargetProfile, evidence: Evidence
) -> None:
    other, rate = neighbours.other, loads.gentle_rate(neighbours.beside)
    seconds = max(WINDOWS * neighbours.limit.seconds, SAMPLE_FLOORS[PERCENTILE] / rate)
    alone = timed(loads.start(other, rate, duration_seconds=seconds))
    surge = loads.start(neighbours.name, TIMES_THE_LIMIT * neighbours.rate_per_second)
    beside = timed(loads.start(other, rate, duration_seconds=seconds))
    surge.stop()
    counted, limit_seconds = Counted(rows=surge.rows()), bound_seconds(alone, profile)
    share = share_alone(alone)
    found = judge(beside, limit_seconds, share)
    evidence.record("alone", {"tenant": other, **alone.summary()})
    evidence.record("beside_a_surge", {"tenant": other, **beside.summary()})
    evidence.record("surge", {"tenant": neighbours.name, **counted.summary()})
    evidence.record("first_tokens", asdict(found))

    assert not found.beyond, (
        f"{found.later} of {found.judged} first tokens of {other} came later than"
        f" {found.limit_seconds:g} s beside the surge of {neighbours.name}, as"
        f" {100 - PERCENTILE} % did alone; by chance at most {found.allowed} do"
    )
    require_surge(counted, limit_seconds, share)


def require_surge(surge: Counted, limit_seconds: float, share: float) -> None:
    """Negative control: whoever makes the surge feels it, by refusals or by waiting.

    Raises:
        HarnessError: there was room for all of it.
    """
    if not surge.refused and not judge(surge, limit_seconds, share).beyond:
        raise HarnessError(
            f"{len(surge.rows)} requests at {TIMES_THE_LIMIT} times the limit were answered at"
            " once: there is room for them, and whether tenants are kept apart was not seen"
        )
