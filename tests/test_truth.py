"""The instrument and the engine agree on every field, whatever the engine does to the stream."""

from pathlib import Path

from hotfire import history
from hotfire.engine import scripted
from hotfire.traffic import launch
from hotfire.traffic.plan import GateLimits, LoadPlan
from tests.engine_process import running_engine
from tests.truth import CLASSES, disagreements

PATIENT = GateLimits(lag_p99_seconds=60, lateness_p99_seconds=60, achieved_ratio=0.01, cpu_ratio=1)
# A shared machine may stand still for a moment; how exact the times are is measured in bench.
LATE_NS = 1_000_000_000


def test_every_misbehaviour_has_a_class() -> None:
    assert set(CLASSES) == set(scripted.MIXED)


def test_truth_and_instrument_agree_on_every_field(tmp_path: Path) -> None:
    timing = ("--ttft-seconds", "0.02", "--tpot-seconds", "0.005", "--stall-seconds", "0.3")
    with running_engine(*timing, "--misbehaviour", "mixed") as engine:
        plan = LoadPlan(
            url=engine.url, model="tiny", rate_per_second=100, duration_seconds=10, max_tokens=8,
            ttft_seconds=2, stall_seconds=2, deadline_seconds=5, gates=PATIENT, nonce="truth",
        )  # fmt: skip
        load = launch.start(plan, history=tmp_path / "load.jsonl", log=tmp_path / "log")
        report = load.wait_finished(60)
        records = engine.truth()["records"]

    rows = history.load(load.files.history)
    assert report.valid, report.instrument
    assert len(rows) > 800
    assert list(disagreements(plan, rows, records, late_ns=LATE_NS)) == []
