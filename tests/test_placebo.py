"""A fault that did nothing is never called one, and a service that is worse afterwards is found.

The rates themselves are in `python -m bench.placebo`; these are few holds, of fixed seeds.
"""

import random
from collections import Counter
from dataclasses import replace
from functools import cache

import pytest

from bench.placebo import EFFECTS, MACHINES, T0_NS, Machine, S, simulated, slower, verdict
from hotfire.lab.cluster.target import MEASUREMENT, RATE_PER_SECOND
from hotfire.measure.columns import Columns
from hotfire.measure.comparison import Before, Control, ControlGroup, MachinePressure
from hotfire.measure.history import Request
from hotfire.measure.recovery import Recovery, recover
from hotfire.profile import PRESETS, Measurement
from hotfire.verdict import Verdict

LAB = Measurement.model_validate(MEASUREMENT)
CALM = replace(
    MACHINES["lab"], speed_spread=0.03, request_spread=0.2, hiccup_every_seconds=1e9,
    failure_ratio=0.0,
)  # fmt: skip
SPAN_SECONDS = 150.0
START_NS = T0_NS + 60 * S


@cache
def load(seed: int, *, rate: float = RATE_PER_SECOND, machine: Machine = CALM) -> list[Request]:
    chance = random.Random(seed)  # noqa: S311 - reproducible, not secret
    return simulated(machine, rate, SPAN_SECONDS, chance)


def judged(effect: str, seeds: range) -> Counter[str]:
    return Counter(
        verdict(load(seed), start_ns=START_NS, effect=EFFECTS[effect], measurement=LAB, seed=seed)
        for seed in seeds
    )


def test_a_placebo_on_a_calm_machine_passes() -> None:
    assert judged("nothing (placebo)", range(20)) == {"passed": 20}


@pytest.mark.parametrize("effect", ["TPOT + 60 %", "TPOT + 100 %", "2 % errors"])
def test_a_service_that_stays_worse_fails(effect: str) -> None:
    assert judged(effect, range(10)) == {"failed": 10}


def found(
    rows: list[Request], *, measurement: Measurement = LAB, controls: tuple[Control, ...] = ()
) -> Recovery:
    baseline = [row for row in rows if row.sched_ns < START_NS]
    return recover(
        rows, injected_ns=START_NS, cleared_ns=START_NS, controls=controls,
        before=Before.of(baseline, PRESETS["lab"], measurement),
    )  # fmt: skip


def changed(rows: list[Request], tpot: float, first: float, last: float) -> list[Request]:
    """Return the rows with a TPOT so many times higher between two moments after the start."""
    chance, harm = random.Random(0), slower(tpot=tpot, ttft=tpot)  # noqa: S311
    begin, end = (START_NS + round(at * S) for at in (first, last))
    return [harm(row, chance) if begin <= row.sched_ns < end else row for row in rows]


def test_noise_that_hides_an_effect_worth_finding_is_inconclusive() -> None:
    wild = replace(CALM, speed_spread=0.6, speed_memory_seconds=4.0)

    verdict, reason = found(load(3, machine=wild)).judge(10)

    assert verdict is not Verdict.FAILED
    assert "too noisy to judge" in reason
    assert "measure longer" in reason


def test_too_few_requests_to_see_two_percent_of_failures_is_inconclusive() -> None:
    few = LAB.model_copy(update={"window_requests": 10, "band_floor_tpot_seconds": 0.02})

    verdict, reason = found(load(4, rate=3.0), measurement=few).judge(10)

    assert verdict is Verdict.INCONCLUSIVE
    assert "raise load.rate_per_second or hold_seconds" in reason


def test_a_slow_spell_after_a_good_recovery_is_not_the_fault_s_for_sure() -> None:
    verdict, reason = found(changed(load(5), 4.0, 15, 35)).judge(10)

    assert verdict is Verdict.INCONCLUSIVE
    assert "another cause" in reason


def test_a_service_slow_up_to_the_limit_and_beyond_recovered_too_late() -> None:
    result = found(changed(load(6), 6.0, 0, 14))

    assert result.recovered_from_clearing_seconds == pytest.approx(14, abs=0.5)
    assert result.judge(10)[0] is Verdict.FAILED
    assert result.judge(15)[0] is Verdict.PASSED


def test_one_hiccup_of_a_second_moves_no_verdict() -> None:
    assert found(changed(load(7), 5.0, 11, 12)).judge(10)[0] is Verdict.PASSED


def canary(rows: list[Request], slow: float) -> ControlGroup:
    beside = [replace(row, served_by="canary") for row in changed(rows, slow, 0, 200)]
    before = Before.of(
        [row for row in beside if row.sched_ns < START_NS], PRESETS["lab"], LAB, false_alarm=0.05
    )
    return ControlGroup(names=frozenset({"canary"}), before=before, rows=Columns.of(beside))


@pytest.mark.parametrize(("slow", "expected"), [(1.0, Verdict.FAILED), (2.0, Verdict.INCONCLUSIVE)])
def test_a_control_group_that_was_slower_too_points_at_the_machine(
    slow: float, expected: Verdict
) -> None:
    rows = changed(load(8), 2.0, 0, 200)

    verdict, reason = found(rows, controls=(canary(load(9), slow),)).judge(10)

    assert verdict is expected
    assert ("canary: TPOT" in reason) is (expected is Verdict.INCONCLUSIVE)


@pytest.mark.parametrize(
    ("after", "expected"), [(0.3, Verdict.FAILED), (0.7, Verdict.INCONCLUSIVE)]
)
def test_pressure_on_the_machine_that_rose_points_at_the_machine(
    after: float, expected: Verdict
) -> None:
    samples = [(T0_NS + at * S, (0.3 if at < 60 else after) + 0.01 * (at % 3)) for at in range(150)]
    pressure = MachinePressure.of(samples, injected_ns=START_NS, false_alarm=0.05)
    assert pressure is not None

    result = found(changed(load(8), 2.0, 0, 200), controls=(pressure,))

    assert result.judge(10)[0] is expected


def test_a_target_that_stops_telling_its_usage_does_not_serve_as_before() -> None:
    rows = [replace(row, n_out=None) if row.sched_ns >= START_NS else row for row in load(15)]

    verdict, reason = found(rows).judge(10)

    assert verdict is Verdict.FAILED
    assert "TPOT not told any more" in reason


def test_failures_have_no_excuse() -> None:
    rows = changed(load(10), 2.0, 0, 200)
    chance = random.Random(0)  # noqa: S311
    broken = EFFECTS["2 % errors"]
    rows = [broken(row, chance) if row.sched_ns >= START_NS else row for row in rows]

    verdict, reason = found(rows, controls=(canary(load(9), 3.0),)).judge(10)

    assert verdict is Verdict.FAILED
    assert "failures" in reason


def test_quiet_stretches_of_the_run_sharpen_the_limits() -> None:
    rows = [row for row in load(11) if row.sched_ns < START_NS]

    alone = Before.of(rows[:130], PRESETS["lab"], LAB)
    together = Before.of(rows[:130], PRESETS["lab"], LAB, quiet=[load(12), load(13)])

    assert alone.noise()
    assert not together.noise()
