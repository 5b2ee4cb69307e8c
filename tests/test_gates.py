"""Each gate can trip, and a tripped gate is the instrument's fault."""

import math
from pathlib import Path

import pytest

from hotfire.errors import InstrumentError
from hotfire.traffic.record import gates
from hotfire.traffic.record.files import ClockAnchor, Ended, Measured
from hotfire.traffic.workload.limits import GateLimits

FIT = {
    "dispatched": 1000,
    "lag_p50_seconds": 0.001,
    "lag_p99_seconds": 0.004,
    "lag_max_seconds": 0.1,
    "lateness_p50_seconds": 0.001,
    "lateness_p99_seconds": 0.009,
    "lateness_max_seconds": 0.1,
    "cpu_ratio": 0.5,
    "gc_pause_max_seconds": 0.001,
    "nice": 0,
}


def ended(
    *,
    planned: int = 1000,
    censored: int = 0,
    not_sent: int = 0,
    drift_ns: int = 0,
    **changed: float | None,
) -> Ended:
    return Ended(
        planned_until_stop=planned,
        received=1000 - censored,
        censored=censored,
        not_sent=not_sent,
        stopped_at_ns=2,
        t0_ns=1,
        anchor=ClockAnchor(epoch_ns=1, monotonic_ns=1, drift_ns=drift_ns),
        measured=Measured.model_validate(FIT | changed),
    )


def tripped(end: Ended, *, rows: int = 1000, limits: GateLimits | None = None) -> list[str]:
    results = gates.judge(end, limits or GateLimits(), rows=rows)
    return [gate.name for gate in results if not gate.holds]


def test_a_fit_instrument_trips_nothing() -> None:
    assert tripped(ended(censored=3)) == []


@pytest.mark.parametrize(
    ("end", "name"),
    [
        (ended(lag_p99_seconds=0.006), "lag_p99_seconds"),
        (ended(lag_p99_seconds=math.nan), "lag_p99_seconds"),
        (ended(lateness_p99_seconds=0.011), "lateness_p99_seconds"),
        (ended(dispatched=989), "achieved_ratio"),
        (ended(cpu_ratio=0.61), "cpu_ratio"),
        (ended(gc_pause_max_seconds=0.06), "gc_pause_max_seconds"),
        (ended(throttled_seconds=0.001), "throttled_seconds"),
        (ended(steal_ratio=0.06), "steal_ratio"),
        (ended(clock_step_seconds=0.06), "clock_step_seconds"),
        (ended(drift_ns=-150_000_000), "clock_drift_seconds"),
        (ended(not_sent=1), "held_back_by_client_cap"),
    ],
)
def test_each_gate_trips_alone(end: Ended, name: str) -> None:
    assert tripped(end) == [name]


def test_rows_that_are_missing_trip() -> None:
    assert tripped(ended(), rows=999) == ["rows_recorded"]
    assert tripped(ended(planned=1001), rows=1001) == ["rows_accounted_for"]


def test_a_wide_tpot_budget_allows_more_lag() -> None:
    limits = GateLimits(tpot_budget_seconds=0.2)

    assert tripped(ended(lag_p99_seconds=0.009), limits=limits) == []


def test_a_load_that_planned_nothing_is_not_valid() -> None:
    assert "achieved_ratio" in tripped(ended(planned=0, dispatched=0), rows=0)


def test_check_raises_with_the_reason() -> None:
    with pytest.raises(InstrumentError, match=r"cpu_ratio 0\.7 of 0\.6"):
        gates.check(gates.judge(ended(cpu_ratio=0.7), GateLimits(), rows=1000))


def test_no_gate_at_all_is_no_proof() -> None:
    with pytest.raises(InstrumentError):
        gates.check([])


def test_what_was_measured_is_kept_whether_the_gates_hold_or_not(tmp_path: Path) -> None:
    end = ended(cpu_ratio=0.7)
    gates.write(tmp_path / "i.json", gates.judge(end, GateLimits(), rows=1000), end.measured)

    kept = gates.Instrument.model_validate_json((tmp_path / "i.json").read_bytes())

    assert kept.measured == end.measured
    assert [gate.name for gate in kept.gates if not gate.holds] == ["cpu_ratio"]
    assert len(kept.gates) > 7
