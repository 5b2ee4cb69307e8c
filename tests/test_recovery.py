"""Recovery is found where it was put, and nowhere else."""

import math
import re
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import scipy
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hotfire.measure import bands as banding
from hotfire.measure import recovery
from hotfire.measure.bands import Bands
from hotfire.measure.comparison import Before
from hotfire.measure.history import FailureClass, Request
from hotfire.measure.recovery import Recovery
from hotfire.measure.search import wilson_lower
from hotfire.profile import Budgets, Measurement
from hotfire.verdict import Verdict

T0 = 1_800_000_000 * 10**9
S = 10**9
RATE = 5
MEASUREMENT = Measurement(
    baseline_seconds=60, baseline_requests=300, window_seconds=30, window_requests=100,
    hold_seconds=60,
)  # fmt: skip
BUDGETS = Budgets(error_ratio=0.01, ttft_p95_seconds=1.0, tpot_p95_seconds=0.1)


def served(seq: int, *, ttft: float = 0.2, tpot: float = 0.02) -> Request:
    sched = T0 + seq * S // RATE
    first = sched + round(ttft * S)
    last = first + round(tpot * 10 * S)
    return Request(
        seq=seq, sched_ns=sched, send_ns=sched, headers_ns=sched, first_ns=first, last_ns=last,
        end_ns=last, n_out=11, gaps_us=(round(tpot * 1e6),) * 10,
    )  # fmt: skip


def failing(seq: int) -> Request:
    sched = T0 + seq * S // RATE
    return Request(seq=seq, sched_ns=sched, end_ns=sched + 1, error_class=FailureClass.HTTP_503)


def at(seconds: float) -> int:
    return T0 + round(seconds * S)


def history(seconds: int, *, down: tuple[float, float] = (0, 0)) -> list[Request]:
    """Return a load of so many seconds that fails in one interval of scheduled time."""
    rows = range(seconds * RATE)
    return [failing(i) if down[0] <= i / RATE < down[1] else served(i) for i in rows]


def bands() -> Bands:
    return Bands.from_baseline(history(60), BUDGETS, MEASUREMENT)


@cache
def before() -> Before:
    return Before.of(history(60), BUDGETS, MEASUREMENT)


def recovered(rows: list[Request], injected: float, cleared: float | None) -> Recovery:
    return recovery.recover(
        rows,
        injected_ns=at(injected),
        cleared_ns=None if cleared is None else at(cleared),
        before=before(),
    )


@given(st.integers(0, 200), st.integers(1, 200))
def test_wilson_agrees_with_scipy(successes: int, trials: int) -> None:
    successes = min(successes, trials)
    interval = scipy.stats.binomtest(successes, trials).proportion_ci(0.95, method="wilson")

    assert wilson_lower(successes, trials) == pytest.approx(interval.low, abs=1e-12)


def test_a_window_without_failures_holds_though_its_wilson_bound_is_below_the_budget() -> None:
    rows = history(30)[:100]

    assert wilson_lower(100, 100) < 0.99
    assert bands().violations(rows) == []


@pytest.mark.parametrize(("failures", "holds"), [(1, True), (2, False)])
def test_one_failure_in_a_hundred_holds_and_two_do_not(failures: int, *, holds: bool) -> None:
    rows = [failing(i) if i < failures else served(i) for i in range(100)]

    assert (bands().violations(rows) == []) is holds


def test_a_generous_error_budget_does_not_widen_the_band_after_the_fault() -> None:
    lenient = Bands.from_baseline(history(60), Budgets(error_ratio=0.2), MEASUREMENT)

    assert lenient.success_ratio == pytest.approx(0.99)


def test_a_zero_error_budget_asks_for_every_request() -> None:
    strict = Bands.from_baseline(history(60), Budgets(error_ratio=0.0), MEASUREMENT)

    assert strict.success_ratio == 1.0


@pytest.mark.parametrize(
    ("baseline", "budget", "limit"),
    [
        (0.4, None, 0.5),  # 1.25 times the baseline
        (0.004, None, 0.054),  # the floor above a very fast one
        (0.4, 0.45, 0.45),  # never more than the budget
    ],
)
def test_ttft_band(baseline: float, budget: float | None, limit: float) -> None:
    rows = [served(i, ttft=baseline) for i in range(300)]

    limits = Bands.from_baseline(rows, Budgets(ttft_p95_seconds=budget), MEASUREMENT)

    assert limits.ttft_p95_seconds == pytest.approx(limit)
    assert limits.problems == ()


def test_a_flat_baseline_is_steady() -> None:
    assert banding.steady(history(60), bands())


@pytest.mark.parametrize(
    ("rows", "word"),
    [
        (history(60)[:299], "requests of 300"),
        ([served(i, ttft=2.0) for i in range(300)], "p95 ttft"),
        (history(60, down=(10, 12)), "success"),
        ([served(i, ttft=0.1 + i / 1000) for i in range(300)], "drifts"),
        ([], "no requests"),
        ([failing(i) for i in range(300)], "no request of the baseline was complete"),
    ],
    ids=["short", "slow", "errors", "drifting", "empty", "dead"],
)
def test_a_bad_baseline_is_not_steady(rows: list[Request], word: str) -> None:
    limits = Bands.from_baseline(rows, BUDGETS, MEASUREMENT)

    result = banding.steady(rows, limits)

    assert not result
    assert word in result.reason


BATCH = 20


def drifting(strength: float, count: int) -> tuple[list[Request], np.ndarray]:
    """Return a baseline of so many batches, and their TTFT.

    Its slope is so many times its own standard error; all requests of a batch are alike.
    """
    times = np.arange(count)
    line = np.vander(times, 2)
    noise = np.where(times % 3, 0.3, -0.6)
    noise = noise - line @ np.linalg.lstsq(line, noise)[0]
    error = np.sqrt((noise @ noise) / (count - 2) / ((times - times.mean()) ** 2).sum())
    drift = strength * error * times
    ttfts = 1 + drift - drift.min() + noise
    return [served(i, ttft=float(ttfts[i // BATCH])) for i in range(count * BATCH)], ttfts


@given(st.floats(-3, 3), st.integers(8, 20))
def test_a_slope_is_certain_where_its_t_interval_leaves_out_zero(
    strength: float, count: int
) -> None:
    assume(abs(abs(strength) - scipy.stats.t.ppf(0.975, count - 2)) > 1e-3)
    rows, ttfts = drifting(strength, count)
    line = scipy.stats.linregress(np.arange(count), ttfts)
    drift = line.slope * (count - 1)

    problems = Bands.from_baseline(rows, Budgets(), MEASUREMENT).problems

    certain = line.pvalue < 0.05 and abs(drift) > 0.25 * np.median(ttfts)
    assert any("drifts" in problem for problem in problems) is bool(certain)


def test_few_batches_make_a_slope_less_certain_than_the_normal_distribution_says() -> None:
    problems = Bands.from_baseline(drifting(2.0, 8)[0], Budgets(), MEASUREMENT).problems

    assert not any("drifts" in problem for problem in problems)


def test_a_machine_that_wanders_back_and_forth_does_not_drift() -> None:
    # A slow wave: request by request its slope would be certain beyond all doubt.
    wave = [0.2 * (1 + 0.6 * math.sin(i / RATE / 60 * 3.6 * math.pi)) for i in range(60 * RATE)]
    rows = [served(i, ttft=ttft) for i, ttft in enumerate(wave)]
    line = scipy.stats.linregress(np.arange(len(wave)), wave)
    assert line.pvalue < 1e-6

    problems = Bands.from_baseline(rows, Budgets(), MEASUREMENT).problems

    assert not any("drifts" in problem for problem in problems)


def test_a_baseline_without_usage_bands_no_tpot() -> None:
    rows = [
        Request(seq=r.seq, sched_ns=r.sched_ns, first_ns=r.first_ns, last_ns=r.last_ns)
        for r in history(60)
    ]

    assert Bands.from_baseline(rows, Budgets(), MEASUREMENT).tpot_p95_seconds is None


def test_recovery_starts_where_the_outage_ends() -> None:
    result = recovered(history(260, down=(70, 100)), injected=65, cleared=95)

    assert result.recovered_from_injection_seconds == pytest.approx(35)
    assert result.recovered_from_clearing_seconds == pytest.approx(5)
    assert result.censored_after_seconds is None
    assert result.first_error_seconds == pytest.approx(5)
    assert result.outage_seconds == 30
    assert result.lost_requests == 150
    assert result.judge(10)[0] is Verdict.PASSED
    assert result.judge(4)[0] is Verdict.FAILED


def test_without_any_effect_recovery_is_immediate() -> None:
    result = recovered(history(260), injected=65, cleared=95)

    assert result.recovered_from_injection_seconds == 0
    assert result.recovered_from_clearing_seconds == 0
    assert result.first_error_seconds is None
    assert result.outage_seconds == 0


def test_a_relapse_within_the_hold_time_moves_the_recovery_behind_it() -> None:
    rows = history(300, down=(70, 80))
    relapse = {i for i in range(len(rows)) if 120 <= i / RATE < 122}
    rows = [failing(i) if i in relapse else row for i, row in enumerate(rows)]

    result = recovered(rows, injected=65, cleared=None)

    # One failure in a window of 150 is within 1 %, so its first seconds may touch the relapse.
    assert result.recovered_from_injection_seconds == pytest.approx(57, abs=1)


def test_clearing_that_disturbs_counts_from_clearing() -> None:
    rows = history(400, down=(200, 210))

    result = recovered(rows, injected=65, cleared=199)

    assert result.recovered_from_injection_seconds == 0
    assert result.recovered_from_clearing_seconds == pytest.approx(11, abs=1)


def test_a_history_that_ends_before_the_hold_time_is_censored() -> None:
    result = recovered(history(180, down=(70, 100)), injected=65, cleared=95)

    assert result.recovered_from_clearing_seconds is None
    assert result.censored_after_seconds == pytest.approx(85, abs=1)
    assert result.judge(60)[0] is Verdict.INCONCLUSIVE


def test_never_recovering_fails_once_the_limit_has_been_watched() -> None:
    result = recovered(history(300, down=(70, 300)), injected=65, cleared=95)

    verdict, reason = result.judge(120)

    assert verdict is Verdict.FAILED
    assert "failures" in reason


def test_never_recovering_is_open_before_the_limit_has_been_watched() -> None:
    result = recovered(history(150, down=(70, 150)), injected=65, cleared=95)

    assert result.judge(120)[0] is Verdict.INCONCLUSIVE


def test_a_slow_rate_widens_the_window_to_its_sample_floor() -> None:
    rows = [row for row in history(400, down=(70, 100)) if row.seq % 5 == 0]

    result = recovered(rows, injected=65, cleared=95)

    assert {window.requests for window in result.windows} == {100}


def test_an_empty_history_recovers_nothing() -> None:
    result = recovered([], injected=65, cleared=95)

    assert result.recovered_from_clearing_seconds is None
    assert result.judge(10)[0] is Verdict.INCONCLUSIVE


def test_slow_is_not_recovered() -> None:
    rows = [served(i, ttft=0.6 if 70 <= i / RATE < 110 else 0.2) for i in range(300 * RATE)]

    result = recovered(rows, injected=65, cleared=95)

    assert result.lost_requests == 0
    assert result.violating_requests == 40 * RATE
    # The p95 of a window lets a few be slow, yet the fault's last requests are no recovery.
    assert result.recovered_from_clearing_seconds == pytest.approx(15)


def test_rows_after_the_first_censored_one_are_not_believed() -> None:
    rows = history(260)
    end = Request(seq=500, sched_ns=rows[500].sched_ns, censored=True)
    rows[500] = end

    result = recovered(rows, injected=65, cleared=95)

    assert result.censored_after_seconds == pytest.approx(5, abs=1)


def test_a_full_outage_counts_seconds_without_arrivals_inside_it() -> None:
    rows = [row for row in history(200, down=(70, 80)) if not 73 <= row.seq / RATE < 76]

    assert recovered(rows, injected=65, cleared=95).outage_seconds == 10


def test_what_fails_after_the_recovery_is_no_cost_of_the_fault() -> None:
    rows = history(400, down=(70, 80))
    later = {i for i, _ in enumerate(rows) if 300 <= i / RATE < 310}
    rows = [failing(i) if i in later else row for i, row in enumerate(rows)]
    slow = range(320 * RATE, 330 * RATE)
    rows = [served(i, ttft=0.9) if i in slow else row for i, row in enumerate(rows)]

    result = recovered(rows, injected=65, cleared=75)

    assert (result.violating_requests, result.lost_requests, result.outage_seconds) == (50, 50, 10)


def test_an_outage_begins_with_the_first_whole_second() -> None:
    result = recovered(history(260, down=(70.4, 74.4)), injected=70.4, cleared=71)

    assert result.outage_seconds == 3


seconds_of = st.lists(
    st.lists(st.booleans(), max_size=3).map(tuple), min_size=1, max_size=40
)  # of each second, which of its requests are complete


@given(seconds_of)
def test_outage_seconds_are_runs_of_seconds_without_a_complete_request(
    seconds: list[tuple[bool, ...]],
) -> None:
    fates = [(second, fate) for second, fates in enumerate(seconds) for fate in fates]
    rows = [
        Request(seq=seq, sched_ns=at(second), error_class=None if fate else FailureClass.CONNECT)
        for seq, (second, fate) in enumerate(fates)
    ]
    told = "".join("-" if not fates else "o" if any(fates) else "x" for fates in seconds)

    seen = recovered(rows, injected=0, cleared=None).outage_seconds

    assert seen == sum(len(run) for run in re.findall("x(?:-*x)*", told))


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 100)), max_size=20))
def test_the_first_error_is_the_first_end_of_a_failure_since_the_injection(
    failures: list[tuple[int, int]],
) -> None:
    rows = [replace(failing(i), sched_ns=at(s), end_ns=at(s + t)) for i, (s, t) in
            enumerate(failures)]  # fmt: skip
    ends = np.array([start + took for start, took in failures])
    later = ends[ends >= 65] - 65

    seen = recovered(rows, injected=65, cleared=None).first_error_seconds

    assert seen == (pytest.approx(later.min()) if later.size else None)


def walked(dips: list[tuple[int, int]], origin: int, until: float) -> float | None:
    """Return seconds from the origin to the recovery, by walking from dip to dip.

    Served as before is who meets no dip in the 60 s of the hold nor in the 30 s of the window that
    begins at its end. Windows begin on whole seconds after the origin.
    """
    good = origin
    for start, end in dips:
        if end > good and start < good + 90:
            good = end
    return float(good - origin) if good + 60 + 30 <= until else None


@settings(max_examples=40)
@given(
    lengths=st.lists(st.integers(1, 15), min_size=1, max_size=4),
    pauses=st.lists(st.integers(5, 50) | st.integers(100, 130), min_size=4, max_size=4),
    cleared=st.none() | st.integers(66, 200),
    tail=st.integers(60, 130),
)
def test_who_relapses_within_the_hold_had_not_recovered_and_who_was_not_watched_is_censored(
    lengths: list[int], pauses: list[int], cleared: int | None, tail: int
) -> None:
    dips, clock = [], 70
    for length, pause in zip(lengths, pauses, strict=False):
        dips.append((clock, clock + length))
        clock += length + pause
    total = max(dips[-1][1] + tail, 280)
    rows = [
        failing(i) if any(start <= i / RATE < end for start, end in dips) else served(i)
        for i in range(total * RATE + 1)
    ]

    result = recovered(rows, injected=65, cleared=cleared)

    origin = 65 if cleared is None else cleared
    truth = walked(dips, origin, total)
    assert result.recovered_from_injection_seconds == approximately(walked(dips, 65, total))
    assert result.recovered_from_clearing_seconds == approximately(truth)
    watched = None if truth is not None else total - origin
    assert result.censored_after_seconds == approximately(watched)


def approximately(seconds: float | None) -> object:
    return None if seconds is None else pytest.approx(seconds, abs=0.2)


def test_settled_stops_at_the_first_missing_row() -> None:
    rows = history(2)

    assert recovery.settled(rows[:4] + rows[5:]) == rows[:4]


def test_the_time_of_the_fault_is_summarised_with_failures_infinite() -> None:
    result = recovered(history(260, down=(70, 100)), injected=65, cleared=95)

    assert result.ttft_during.p95_seconds == math.inf


def test_users_are_shown_to_be_served_as_before_when_they_are() -> None:
    result = recovered(history(260, down=(70, 100)), injected=65, cleared=95)

    assert {one.name: one.same for one in result.same} == {"ttft": True, "tpot": True}


def test_a_slow_warm_up_does_not_make_what_is_slower_afterwards_the_same() -> None:
    cold = set(range(40))
    rows = [served(i, ttft=9.0) if i in cold else served(i) for i in range(65 * RATE)]
    rows = [replace(row, phase="warmup") if row.seq in cold else row for row in rows]
    rows += [served(i, ttft=0.245) for i in range(65 * RATE, 260 * RATE)]

    result = recovered(rows, injected=65, cleared=66)

    assert [one.ratio for one in result.same if one.name == "ttft"] == [pytest.approx(1.225)]


def test_without_recovery_nothing_is_compared() -> None:
    assert recovered(history(150, down=(70, 150)), injected=65, cleared=95).same == ()


def test_the_hold_time_is_watched_to_its_end_before_recovery_is_told() -> None:
    # Served again at 100.4 s; the windows that start up to 160.4 s end at 190.4 s.
    rows = history(260, down=(70, 100.4))

    short = recovered([r for r in rows if r.sched_ns <= at(190.2)], injected=65, cleared=95)
    whole = recovered([r for r in rows if r.sched_ns <= at(192)], injected=65, cleared=95)

    assert short.recovered_from_clearing_seconds is None
    assert whole.recovered_from_clearing_seconds == pytest.approx(5.4)
