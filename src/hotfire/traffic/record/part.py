"""Was the load generator fit while a part of a long load ran? Nothing beyond that part counts."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from hotfire.measure.history import Request
from hotfire.traffic.record import gates
from hotfire.traffic.record.files import Measured, Spell
from hotfire.traffic.record.fitness import worst
from hotfire.traffic.record.gates import GateResult
from hotfire.traffic.workload.limits import GateLimits

SILENT_SECONDS = 5.0
"""A process tells of itself every second; one that does not for so long stood still."""
_ONE_IN_A_HUNDRED = 0.01
_NANO = 1e-9


def judge(
    rows: Sequence[Request], told: Sequence[Spell], limits: GateLimits, *, workers: int = 1
) -> tuple[list[GateResult], Measured | None]:
    """Return the gates of a part of an open loop, and the worst of what was measured in it.

    Args:
        rows: Every request of the part, in scheduled order; all of them have ended.
        told: What the processes said of themselves, of the whole load.
        limits: The plan's.
        workers: Processes of the load.
    """
    if not rows:
        return [gates.dead("no request was recorded")], None
    start_ns, end_ns = rows[0].sched_ns, rows[-1].sched_ns
    inside = [one for one in told if one.to_ns > start_ns and one.from_ns <= end_ns]
    measured = worst([one.measured for one in inside]) if inside else None
    found = [_told_of(inside, workers, start_ns, end_ns), *_recorded(rows)]
    return ([*found, *_fit(inside, measured, limits)] if measured else found), measured


def _fit(inside: Sequence[Spell], most: Measured, limits: GateLimits) -> Iterator[GateResult]:
    """Yield the gates of the processes; a 99th percentile holds where 1 % at most are beyond."""
    lags = sum(one.lags_beyond for one in inside), sum(one.lags for one in inside)
    late = (
        sum(one.lateness_beyond for one in inside),
        sum(one.measured.dispatched for one in inside),
    )
    yield _share("lag_beyond_limit_ratio", *lags)
    yield _share("lateness_beyond_limit_ratio", *late)
    yield gates.at_most("cpu_ratio", most.cpu_ratio, limits.cpu_ratio)
    yield gates.at_most("gc_pause_max_seconds", most.gc_pause_max_seconds, limits.gc_pause_seconds)
    held = [one.measured.throttled_seconds for one in inside]
    yield from gates.if_told(
        "throttled_seconds", None if None in held else sum(filter(None, held)),
        limits.throttled_seconds,
    )  # fmt: skip
    yield from gates.if_told("steal_ratio", _steal(inside), limits.steal_ratio)
    yield gates.at_most("clock_step_seconds", most.clock_step_seconds, limits.clock_step_seconds)


def _steal(inside: Sequence[Spell]) -> float | None:
    """Return the share of the machine's time that others got, each spell by its length."""
    told = [(one.measured.steal_ratio, one.to_ns - one.from_ns) for one in inside]
    if any(share is None for share, _ in told):
        return None
    return sum((share or 0.0) * length for share, length in told) / max(1, sum(n for _, n in told))


def _share(name: str, beyond: int, samples: int) -> GateResult:
    return gates.at_most(name, beyond / samples if samples else 0.0, _ONE_IN_A_HUNDRED)


def _told_of(inside: Sequence[Spell], workers: int, start_ns: int, end_ns: int) -> GateResult:
    """Return whether every process told of itself all the time."""
    longest = max(_silence(inside, number, start_ns, end_ns) for number in range(workers))
    return gates.at_most("silent_seconds", longest * _NANO, SILENT_SECONDS)


def _silence(inside: Sequence[Spell], worker: int, start_ns: int, end_ns: int) -> int:
    """Return the longest time (ns) of which a process did not tell in time."""
    ends = sorted(one.to_ns for one in inside if one.worker == worker)
    marks = [start_ns, *(end for end in ends if end > start_ns), end_ns]
    return max(later - earlier for earlier, later in pairwise(marks))


def _recorded(rows: Sequence[Request]) -> Iterator[GateResult]:
    """Yield whether every arrival of the part has its row, and the client held none back."""
    numbers = {row.seq for row in rows}
    planned = max(numbers) - min(numbers) + 1
    yield gates.equal("rows_recorded", len(numbers), planned)
    held_back = sum(1 for row in rows if not row.sent and not row.censored)
    yield gates.at_most("held_back_by_client_cap", held_back, 0)
