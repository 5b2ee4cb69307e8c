"""The knee of a queue whose capacity is known is found, and said with its confidence."""

import heapq
import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import scipy

from hotfire.errors import InstrumentError, ProfileError
from hotfire.measure.history import Request
from hotfire.profile import Budgets
from hotfire.traffic.capacity.knee import Effort, Knee, find_knee, knee_trials, search
from hotfire.traffic.capacity.trial import judged, trial_seconds
from hotfire.traffic.workload.plan import LoadPlan, schedule
from hotfire.verdict import Verdict

BUDGETS = Budgets(ttft_p95_seconds=0.5, error_ratio=0.01)
NANO = 10**9


def queue(
    *, slots: int, service_seconds: float, process: str = "constant"
) -> Callable[[float, int], list[Request]]:
    """Return a first-come-first-served queue's rows at a rate: arrivals against a heap of slots."""

    def measure(rate: float, length: int) -> list[Request]:
        fields = {"url": "http://a", "model": "m", "process": process, "seed": length}
        plan = LoadPlan.model_validate(
            fields | {"rate_per_second": rate, "duration_seconds": length * max(60, 400 / rate)}
        )
        free = [0] * slots
        rows = []
        for arrival in schedule(plan):
            first = max(heapq.heappop(free), arrival.offset_ns) + NANO // 100
            end = first + round(service_seconds * NANO)
            heapq.heappush(free, end)
            rows.append(served(arrival.seq, arrival.offset_ns, first_ns=first, end_ns=end))
        return rows

    return measure


def served(seq: int, sched_ns: int, *, first_ns: int, end_ns: int) -> Request:
    return Request(
        seq=seq, sched_ns=sched_ns, send_ns=sched_ns, headers_ns=first_ns, first_ns=first_ns,
        last_ns=end_ns, end_ns=end_ns, n_out=10, status=200,
    )  # fmt: skip


def knee_of(
    measure: Callable[[float, int], Sequence[Request]], *, first: float = 2, most: float = math.inf
) -> Knee:
    effort = Effort(most_per_second=most)
    return find_knee(search(measure, BUDGETS, first_per_second=first, effort=effort))


@pytest.mark.parametrize(("slots", "service_seconds"), [(4, 0.1), (1, 0.09), (16, 2.0)])
def test_the_capacity_of_even_arrivals_is_found(slots: int, service_seconds: float) -> None:
    knee = knee_of(queue(slots=slots, service_seconds=service_seconds))

    assert knee.rate_per_second == pytest.approx(slots / (service_seconds + 0.01), rel=0.1)
    assert knee.broken_at_per_second is not None
    assert knee.rate_per_second < knee.broken_at_per_second <= 1.05 * knee.rate_per_second


def test_random_arrivals_cost_capacity() -> None:
    measure = {
        name: queue(slots=1, service_seconds=0.2, process=name) for name in ("constant", "poisson")
    }

    even, random_ = (knee_of(measure[name], first=0.5) for name in measure)

    # Lindley's recursion over 200,000 arrivals: a wait of 0.49 s has 5 % at 54 % of capacity.
    assert random_.rate_per_second / even.rate_per_second == pytest.approx(0.54, rel=0.1)


def test_a_first_rate_above_the_knee_is_halved() -> None:
    knee = knee_of(queue(slots=4, service_seconds=0.1), first=300)

    assert knee.rate_per_second == pytest.approx(4 / 0.11, rel=0.1)


def test_a_knee_above_the_highest_rate_is_said_to_be_above() -> None:
    knee = knee_of(queue(slots=100, service_seconds=0.1), most=50)

    assert (knee.rate_per_second, knee.broken_at_per_second) == (50, None)
    assert "above 50/s" in knee.statement


def test_a_target_that_never_holds_has_no_knee() -> None:
    knee = knee_of(queue(slots=1, service_seconds=1e3))

    assert knee.rate_per_second == 0
    assert len(knee.trials) == 7
    assert "no rate down to 0.03125/s held" in knee.statement


def test_an_instrument_that_gives_out_ends_the_search_with_what_is_known() -> None:
    sound = queue(slots=100, service_seconds=0.1)

    def measure(rate: float, length: int) -> list[Request]:
        if rate > 10:
            raise InstrumentError("cpu_ratio 0.9 of 0.6")
        return sound(rate, length)

    knee = knee_of(measure)

    assert knee.rate_per_second == 8
    assert "at 16/s the instrument gave out: cpu_ratio" in knee.statement


def test_below_the_sample_floor_nothing_is_concluded() -> None:
    knee = knee_of(lambda rate, _: queue(slots=4, service_seconds=0.1)(rate, 1)[:99])

    assert knee.rate_per_second == 0
    assert "was inconclusive" in knee.statement


def slow(count: int, of: int) -> list[Request]:
    places = set(random.Random(1).sample(range(of), count))  # noqa: S311 - reproducible
    return [
        served(seq, 0, first_ns=NANO if seq in places else 1, end_ns=2 * NANO) for seq in range(of)
    ]


@pytest.mark.parametrize(("count", "of"), [(5, 300), (14, 300), (16, 300), (40, 300)])
def test_confidence_is_that_of_the_exact_binomial_test(count: int, of: int) -> None:
    trial = judged(1.0, slow(count, of), Budgets(ttft_p95_seconds=0.5))

    side = "less" if count <= 15 else "greater"
    assert trial.verdict is (Verdict.PASSED if count <= 15 else Verdict.FAILED)
    expected = 1 - scipy.stats.binomtest(count, of, 0.05, alternative=side).pvalue
    assert trial.confidence == pytest.approx(expected, abs=1e-9)


def test_a_trial_lasts_until_a_slight_excess_shows() -> None:
    # 5 % too much for 60 s makes 3 s of queue, the budget.
    assert trial_seconds(Budgets(ttft_p95_seconds=3), 100, precision_ratio=0.05) == 60
    assert trial_seconds(Budgets(tpot_p99_seconds=1), 10, precision_ratio=0.05) == 300


@pytest.mark.parametrize(
    ("fields", "budgets"),
    [({"mode": "closed"}, BUDGETS), ({}, Budgets(recovery_seconds=3))],
)
def test_what_has_no_knee_is_refused(
    fields: dict[str, str], budgets: Budgets, tmp_path: Path
) -> None:
    plan = LoadPlan.model_validate({"url": "http://a", "model": "m"} | fields)

    with pytest.raises(ProfileError):
        knee_trials(plan, budgets, tmp_path)
