"""A closed loop keeps its slots busy, and no more than its slots."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hotfire.measure import history
from hotfire.measure.history import FailureClass, Request
from hotfire.traffic.runner import launch
from hotfire.traffic.workload.plan import LoadPlan
from tests.engine_process import EngineProcess, running_engine
from tests.patience import PATIENT


@pytest.fixture(scope="module")
def process() -> Iterator[EngineProcess]:
    with running_engine("--ttft-seconds", "0.05", "--tpot-seconds", "0.01") as engine:
        yield engine


def rows(engine: EngineProcess, tmp_path: Path, **values: Any) -> list[Request]:  # noqa: ANN401
    fields = {"url": engine.url, "model": "tiny", "gates": PATIENT, "mode": "closed"}
    plan = LoadPlan.model_validate(fields | {"duration_seconds": 3} | values)
    load = launch.start(plan, history=tmp_path / "load.jsonl", log=tmp_path / "load.log")
    report = load.wait_finished(90)
    assert report.valid, report.instrument
    return history.load(load.files.history)


def at_once(requests: list[Request]) -> int:
    """Return the most requests that were scheduled and not ended at any moment."""
    edges = [(r.sched_ns, 1) for r in requests] + [(r.end_ns or 0, -1) for r in requests]
    most = now = 0
    for _, step in sorted(edges):
        now += step
        most = max(most, now)
    return most


def test_slots_are_busy_all_the_time(engine: EngineProcess, tmp_path: Path) -> None:
    seen = rows(engine, tmp_path, concurrency=4, max_tokens=6)

    # 50 ms and 5 gaps of 10 ms: each of 4 slots turns 30 times in 3 s where nothing is in the way.
    assert len(seen) <= 124
    assert at_once(seen) == 4
    assert sorted(r.seq for r in seen) == list(range(len(seen)))
    # Each request but the first four takes the place of another at the moment of its end.
    due, freed = sorted(r.sched_ns for r in seen), sorted(r.end_ns or 0 for r in seen)
    assert due[4:] == freed[:-4]
    assert busy_ratio(engine, slots=4) > 0.5


def busy_ratio(engine: EngineProcess, *, slots: int) -> float:
    """Return how much of the slots' time the engine itself says it was answering in."""
    records = engine.truth()["records"]
    began, ended = (
        np.array([record[name] for record in records]) for name in ("arrival_ns", "end_ns")
    )
    return float((ended - began).sum() / (slots * (ended.max() - began.min())))


def test_a_request_is_due_when_its_slot_became_free(engine: EngineProcess, tmp_path: Path) -> None:
    seen = rows(engine, tmp_path, concurrency=1)

    pairs = zip(seen[1:], seen[:-1], strict=True)
    assert all(later.sched_ns == earlier.end_ns for later, earlier in pairs)


@pytest.fixture(scope="module")
def spread(process: EngineProcess, tmp_path_factory: pytest.TempPathFactory) -> list[Request]:
    """Return the rows of a load of two tenants whose streams start one after the other."""
    tenants = [{"name": "a"}, {"name": "b"}]
    folder = tmp_path_factory.mktemp("spread")
    return rows(process, folder, concurrency=5, start_spread_seconds=0.5, tenants=tenants)


def test_streams_start_together_or_spread(
    engine: EngineProcess, tmp_path: Path, spread: list[Request]
) -> None:
    together = rows(engine, tmp_path, concurrency=5, duration_seconds=1)

    first = {r.seq: r.sched_ns for r in together}
    assert len({first[seq] for seq in range(5)}) == 1
    starts = sorted(r.sched_ns for r in spread)
    assert starts[0] + 95_000_000 <= starts[1]


def test_a_target_that_refuses_is_not_asked_in_a_spin(
    engine: EngineProcess, tmp_path: Path
) -> None:
    engine.script(misbehaviour="refuse")
    seen = rows(engine, tmp_path, concurrency=2)

    assert {r.error_class for r in seen} == {FailureClass.HTTP_503}
    assert 10 <= len(seen) <= 62


def test_two_workers_share_the_slots(engine: EngineProcess, tmp_path: Path) -> None:
    seen = rows(engine, tmp_path, concurrency=3, workers=2)

    assert at_once(seen) == 3
    assert {r.seq % 2 == r.worker for r in seen} == {True}
    assert at_once([r for r in seen if r.worker == 1]) == 1


def test_rows_name_their_tenants(spread: list[Request]) -> None:
    assert {r.tenant for r in spread} == {"a", "b"}
