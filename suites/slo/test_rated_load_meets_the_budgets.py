"""At the declared load TTFT, TPOT, end-to-end latency and errors meet their budgets.

The budgets are what users were promised; they are measured from the scheduled arrival at the
client, and a request that never completes counts as infinitely late.
"""

from collections.abc import Callable
from dataclasses import asdict

import pytest

from fixtures.dialects import Spoken
from fixtures.stack import CANARY
from hotfire import Evidence, Level, Scope, TargetProfile, Verdict, requirement
from hotfire.errors import HarnessError
from hotfire.measure.budgets import judge_budgets
from hotfire.measure.crosscheck import Agreement
from hotfire.measure.history import Request
from hotfire.measure.slo import summarise
from hotfire.prometheus import Prometheus
from hotfire.traffic.runner.launch import RunningLoad
from hotfire.traffic.witnesses.witness import compared, prometheus_at

pytestmark = requirement(
    "SLO-001",
    Level.MUST,
    __doc__,
    source="https://docs.mlcommons.org/inference_policies/#scenarios",
    scope=Scope.CORE,
)

WARMUP_SECONDS = 5.0
LATENCIES = ("ttft_p95_seconds", "tpot_p95_seconds", "e2e_p95_seconds")


@pytest.fixture
def measured(
    profile: TargetProfile,
    load: Callable[..., RunningLoad],
    prometheus: Prometheus | None,
    spoken: Spoken,
    evidence: Evidence,
) -> list[Request]:
    """The rows of one rated load after its warm-up; an unfit instrument makes it inconclusive."""
    wanted = profile.measurement.slo_requests
    seconds = WARMUP_SECONDS + wanted * 1.1 / profile.load.rate_per_second
    dialect = spoken.dialect
    witness = prometheus_at(prometheus, dialect) if prometheus else None
    before = witness() if witness else None
    running = load(name="SLO-001", duration_seconds=seconds, warmup_seconds=WARMUP_SECONDS)
    report = running.wait_finished(seconds + profile.load.deadline_seconds + 60)
    report.check()
    if witness:
        found = compared(running, witness, before, unheard=frozenset({CANARY}), dialect=dialect)
        evidence.record("engines_say", found.model_dump(mode="json"))
        if found.agreement is Agreement.MEASURING_FAULT:
            raise HarnessError(found.reason)
    rows = [row for row in running.rows() if row.phase != "warmup"]
    evidence.record("requests", len(rows))
    if len(rows) < wanted:
        raise HarnessError(f"{len(rows)} requests after warm-up, {wanted} are needed")
    return rows


def test_budgets_hold_and_could_be_broken(
    profile: TargetProfile, measured: list[Request], evidence: Evidence
) -> None:
    results = judge_budgets(measured, profile.budgets)
    summary = summarise(measured, profile.budgets)
    evidence.record("streamed", summary.streamed_told)
    for name, value in summary.figures().items():
        evidence.record(name, value)
    evidence.record("budgets", [asdict(result) for result in results])

    assert results, "the target file promises nothing under `budgets`"
    broken = [result for result in results if result.verdict is Verdict.FAILED]
    assert not broken, "; ".join(result.reason for result in broken)
    unsure = [result for result in results if result.verdict is not Verdict.PASSED]
    if unsure:
        raise HarnessError("; ".join(result.reason for result in unsure))

    # Negative control: the same rows against half of what was measured must fail every latency.
    halves = {r.name: r.measured / 2 for r in results if r.name in LATENCIES and r.measured}
    tight = judge_budgets(measured, profile.budgets.model_copy(update=halves))
    passed = [r.name for r in tight if r.name in halves and r.verdict is not Verdict.FAILED]
    if passed or not halves:
        raise HarnessError(f"half the measured value as budget did not fail: {passed}")
