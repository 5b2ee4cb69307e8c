"""The instrument's error is what it measures less what the engine really did."""

from pathlib import Path

import numpy as np
import pytest

from hotfire.errors import InstrumentError
from hotfire.measure.history import Request
from hotfire.traffic.capacity.calibrate import calibrate, compare
from hotfire.traffic.record import calibration
from hotfire.traffic.record.calibration import Calibration, Host
from hotfire.traffic.workload.plan import LoadPlan
from hotfire.traffic.workload.texts import Texts
from tests.patience import PATIENT

PLAN = LoadPlan(url="http://127.0.0.1:1", model="tiny", rate_per_second=50, duration_seconds=4)
S = 10**9
T0 = 10**18


def recorded(count: int, *, late_ns: int) -> Calibration:
    """Compare rows whose first token is stamped so much too late, and whose last is not."""
    texts = Texts(PLAN)
    rows, truths = [], {}
    for seq in range(count):
        sched = T0 + seq * S
        first, last = sched + S // 5, sched + S // 5 + 15 * S // 100
        rows.append(Request(seq=seq, sched_ns=sched, first_ns=first + late_ns, last_ns=last,
                            n_out=16, prompt_id=seq))  # fmt: skip
        key = texts.prompt(seq)[:80]
        truths[key] = {"first_ns": first, "last_ns": last, "tokens": 16}
    return compare(PLAN, rows, truths, fit=True)


def test_the_error_is_found_where_it_was_put() -> None:
    found = recorded(150, late_ns=3_000_000)

    assert found.ttft.mean_seconds == pytest.approx(0.003)
    assert found.tpot.mean_seconds == pytest.approx(-0.003 / 15)
    assert found.e2e.p95_seconds == pytest.approx(0)
    assert found.true_ttft_seconds == pytest.approx(0.2)


def test_too_few_requests_calibrate_nothing() -> None:
    with pytest.raises(InstrumentError, match="99 requests"):
        recorded(99, late_ns=0)


def test_a_real_load_is_compared_with_what_a_real_engine_did() -> None:
    plan = PLAN.model_copy(update={"gates": PATIENT})

    found = calibrate(plan, engine_ttft=0.5, engine_tpot=0.005)

    assert found.fit
    assert found.requests > 100
    # The engine is never quicker than its script, and slower by what a shared machine stood still.
    assert 0.499 < found.true_ttft_seconds < 0.7
    assert np.isfinite([found.ttft.mean_seconds, found.tpot.p95_seconds]).all()
    # Its stamp is older than its write, so the error is late; at most a tenth of what it measures.
    assert found.ttft.mean_seconds > 0
    assert found.ttft.p50_seconds < 0.1 * found.true_ttft_seconds


def test_a_calibration_of_another_machine_is_not_this_ones(tmp_path: Path) -> None:
    path = tmp_path / "instrument.json"
    found = recorded(150, late_ns=0)
    calibration.remember(found, path)
    assert calibration.remembered(path) == found

    host = Host.this().model_copy(update={"cores": 999})
    calibration.remember(found.model_copy(update={"host": host}), path)

    assert calibration.remembered(path) is None


def test_no_calibration_and_a_broken_one_are_none(tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text("{")

    assert calibration.remembered(tmp_path / "broken.json") is None
    assert calibration.remembered(tmp_path / "none.json") is None
