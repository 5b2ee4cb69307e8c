"""A part of a running load stands for a load of its own, and is judged by itself."""

from pathlib import Path

import pytest

from hotfire.measure import history
from hotfire.measure.history import Request
from hotfire.traffic.record import part
from hotfire.traffic.record.files import Ended, Measured, Spell, spells
from hotfire.traffic.record.gates import GateResult, Instrument
from hotfire.traffic.runner.launch import RunningLoad
from hotfire.traffic.runner.part import LoadPart
from hotfire.traffic.workload.limits import GateLimits
from hotfire.waiting import until
from tests.engine_process import EngineProcess
from tests.test_load import started

SECOND = 1_000_000_000
T0 = 1_000 * SECOND


def requests(count: int = 100) -> list[Request]:
    """Return ten requests a second that all were sent."""
    stamps = [T0 + number * SECOND // 10 for number in range(count)]
    return [Request(seq=n, sched_ns=at, send_ns=at, end_ns=at) for n, at in enumerate(stamps)]


def measured(**values: float) -> Measured:
    figures = dict.fromkeys(
        [name for name, kind in Measured.model_fields.items() if kind.is_required()], 0.0
    )
    told = {"dispatched": 10, "nice": 0, "throttled_seconds": 0.0, "steal_ratio": 0.0}
    return Measured.model_validate(figures | told | values)


def told(
    second: int, *, worker: int = 0, lags_beyond: int = 0, late: int = 0, **values: float
) -> Spell:
    return Spell(
        from_ns=T0 + second * SECOND,
        to_ns=T0 + (second + 1) * SECOND,
        worker=worker,
        measured=measured(**values),
        lags=100,
        lags_beyond=lags_beyond,
        lateness_beyond=late,
    )


def tripped(spells: list[Spell], rows: list[Request] | None = None, workers: int = 1) -> list[str]:
    results, _ = part.judge(rows or requests(), spells, GateLimits(), workers=workers)
    return [gate.name for gate in results if not gate.holds]


def test_a_fit_part_trips_no_gate() -> None:
    assert tripped([told(second) for second in range(10)]) == []


def test_trouble_before_and_after_it_is_no_trouble_of_a_part() -> None:
    before = [told(second, cpu_ratio=1.0, lags_beyond=100) for second in range(-60, 0)]
    after = [told(second, gc_pause_max_seconds=1.0) for second in range(11, 60)]

    assert tripped([*before, *(told(second) for second in range(10)), *after]) == []


@pytest.mark.parametrize(
    ("gate", "values"),
    [
        ("cpu_ratio", {"cpu_ratio": 0.9}),
        ("gc_pause_max_seconds", {"gc_pause_max_seconds": 0.2}),
        ("throttled_seconds", {"throttled_seconds": 0.01}),
        ("steal_ratio", {"steal_ratio": 0.9}),
        ("clock_step_seconds", {"clock_step_seconds": 1.0}),
        ("lag_beyond_limit_ratio", {"lags_beyond": 20}),
        ("lateness_beyond_limit_ratio", {"late": 2}),
    ],
)
def test_trouble_within_it_trips_its_gate(gate: str, values: dict[str, int]) -> None:
    spells = [told(second) for second in range(9)] + [told(9, **values)]

    assert tripped(spells) == [gate]


def test_one_sample_in_a_hundred_may_be_beyond_the_limit() -> None:
    spells = [told(second) for second in range(9)] + [told(9, lags_beyond=10, late=1)]

    assert tripped(spells) == []


def test_a_process_that_stood_still_did_not_measure() -> None:
    assert tripped([told(0), told(1), told(8), told(9)]) == ["silent_seconds"]


def test_every_worker_must_have_told() -> None:
    spells = [told(second) for second in range(10)]

    assert tripped(spells, workers=2) == ["silent_seconds"]
    assert tripped(spells + [told(second, worker=1) for second in range(10)], workers=2) == []


def test_a_request_without_a_row_is_missed() -> None:
    rows = requests()
    del rows[50]

    assert tripped([told(second) for second in range(10)], rows) == ["rows_recorded"]


def test_an_empty_part_is_not_fit() -> None:
    results, found = part.judge([], [told(0)], GateLimits())

    assert not results[0].holds
    assert found is None


# Of a real load


def rows_of(load: LoadPart | RunningLoad, count: int) -> None:
    until(lambda: len(load.rows()) >= count, within_seconds=60, what=f"{count} rows")


def gates_of(one: LoadPart) -> dict[str, GateResult]:
    instrument = Instrument.model_validate_json(one.files.instrument.read_bytes())
    return {gate.name: gate for gate in instrument.gates}


def test_parts_follow_each_other_under_one_load(engine: EngineProcess, tmp_path: Path) -> None:
    load = started(engine, tmp_path, duration_seconds=600, process="constant")
    try:
        rows_of(load, 20)
        with LoadPart(load, tmp_path / "h" / "one.jsonl", since_ns=None) as first:
            rows_of(first, 20)
            live = history.load(first.files.history)
        since_ns = history.load(first.files.history)[10].sched_ns
        with LoadPart(load, tmp_path / "h" / "two.jsonl", since_ns=since_ns) as second:
            rows_of(second, 40)

        assert load.alive()
    finally:
        load.stop()
    one, two = history.load(first.files.history), history.load(second.files.history)
    assert live
    assert [row.seq for row in one] == list(range(len(one)))
    assert [row.seq for row in two] == list(range(len(two)))
    assert two[0].sched_ns == since_ns
    assert gates_of(second)["rows_recorded"].holds
    assert gates_of(second)["silent_seconds"].holds
    assert Ended.model_validate_json(second.files.ended.read_bytes()).received == len(two)
    assert spells(second.files.fitness)


def test_a_part_of_a_dead_load_is_not_fit(engine: EngineProcess, tmp_path: Path) -> None:
    load = started(engine, tmp_path, duration_seconds=600, process="constant")
    with LoadPart(load, tmp_path / "h" / "one.jsonl", since_ns=None) as one:
        load.wait_started()
        load.kill()

    assert not one.alive()
    assert not all(gate.holds for gate in gates_of(one).values())
