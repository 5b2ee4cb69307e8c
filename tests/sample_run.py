"""A small recorded run with every verdict in it and one fault, for the tests of its readers."""

import json
from pathlib import Path

from hotfire.evidence import Evidence
from hotfire.measure.history import FailureClass, Request, to_row
from hotfire.requirement import Level
from hotfire.rundir import BudgetRow, ClusterFacts, Event, NodeFacts, Result, RunDirectory, RunInfo
from hotfire.verdict import Conformance, Verdict

T0 = 1_760_000_000_000_000_000
SECOND = 1_000_000_000
FAULT = (T0 + 60 * SECOND, T0 + 90 * SECOND)
INSTRUMENT = {
    "gates": [
        {
            "name": "lateness_p99_seconds",
            "measured": 0.013151,
            "limit": 0.01,
            "holds": False,
            "reason": "lateness_p99_seconds 0.01315 of 0.01",
        }
    ],
    "measured": {
        "lateness_p50_seconds": 0.000719,
        "lateness_p99_seconds": 0.013151,
        "lateness_max_seconds": 0.031307999999999996,
    },
}
HOSTILE = "<script>alert(1)</script> | a & b \x00"


def result(
    id_: str,
    verdict: Verdict,
    *,
    case: str = "test_it",
    level: Level = Level.MUST,
    reason: str = "",
) -> Result:
    """Return one case, of a fault if its id begins with FLT."""
    fault = id_.startswith("FLT")
    area = "pods" if fault else id_.partition("-")[0].lower()
    return Result(
        id=id_,
        level=level,
        statement=f"The target does what {id_} says.",
        rationale="Users depend on it.",
        source="https://example.org/clause",
        kind="fault" if fault else "check",
        area=area,
        case=case,
        nodeid=f"{'experiments' if fault else 'suites'}/{area}/test_{id_}.py::{case}",
        verdict=verdict,
        reason=reason or f"because of {verdict}",
        seconds=1.5,
        skipped_by_operator=reason == "not selected",
    )


def requests() -> list[Request]:
    """Return 150 s of five requests a second, the second minute's first half going wrong."""
    rows = []
    for seq in range(750):
        at = T0 + seq * SECOND // 5
        broken = FAULT[0] <= at < FAULT[1]
        if broken and seq % 3 == 0:
            error = FailureClass.CONNECT if seq % 2 else FailureClass.RESET_MIDSTREAM
            rows.append(Request(seq=seq, sched_ns=at, send_ns=at, end_ns=at + 1, error_class=error))
            continue
        first = at + (SECOND if broken else SECOND // 10)
        rows.append(
            Request(
                seq=seq,
                sched_ns=at,
                send_ns=at,
                headers_ns=first,
                first_ns=first,
                first_output_ns=first,
                last_ns=first + SECOND // 5,
                end_ns=first + SECOND // 5,
                n_out=3,
                finish_reason="stop",
                status=200,
                gaps_us=(100_000, 100_000),
            )
        )
    return rows


def write_sample_run(runs: Path) -> RunDirectory:
    """Write a whole run below a folder and return it."""
    words = ("hotfire", "certify", "--target", "/root/secret-home/target.yaml")
    info = RunInfo.begin(command=words, target_name="acme", tool_version="0.1.0")
    nodes = (NodeFacts(name="n1", accelerators=2, rack="r1"), NodeFacts(name="cp1"))
    info = info.model_copy(
        update={
            "cluster": ClusterFacts(
                version="v1.36.3", nodes=nodes, engine="2 engines of vllm/vllm-openai:v0.11"
            ),
            "conformance": Conformance.NONCONFORMANT,
            "finished_at": info.started_at,
            "notes": ("a note",),
        }
    )
    run = RunDirectory.create(runs, info)
    run.append_result(result("API-001", Verdict.PASSED))
    run.append_result(result("API-001", Verdict.FAILED, case="test_other[x]", reason="assert 404"))
    run.append_result(result("GPU-001", Verdict.INCONCLUSIVE, reason=HOSTILE))
    run.append_result(result("SCH-002", Verdict.PASSED))
    run.append_result(result("GPU-005", Verdict.NOT_APPLICABLE, level=Level.SHOULD))
    lost = f"HarnessError: the last line of {run.log_path('load.log')} is: x"
    run.append_result(result("LIF-001", Verdict.INCONCLUSIVE, level=Level.SHOULD, reason=lost))
    run.append_result(result("LIF-002", Verdict.INCONCLUSIVE, reason="not selected"))
    _write_fault(run)
    return run


def _write_fault(run: RunDirectory) -> None:
    name = "FLT-POD-001"
    evidence = Evidence(run.evidence_dir(name, "test_it"))
    budget = BudgetRow(
        name="error_ratio", limit=0.02, measured=0.0125, verdict=Verdict.PASSED, reason="2 of 160"
    )
    evidence.record("budgets", [budget.model_dump()])
    files = tuple(run.relative(path) for path in evidence.files())
    figures = {"recovery_seconds": float("inf"), "n": 3}
    row = result(name, Verdict.PASSED).model_copy(
        update={"evidence": files, "figures": figures, "budgets": (budget,)}
    )
    run.append_result(row)
    lines = [json.dumps(to_row(request)) for request in requests()]
    run.history_path(name).write_text("\n".join(lines) + "\n")
    run.write_text(f"history/{name}.instrument.json", json.dumps(INSTRUMENT))
    for at, what in ((-5, "injected"), (0, "took-effect"), (30, "verified-healed")):
        run.append_event(
            Event(
                at_ns=FAULT[0] + at * SECOND,
                kind="fault",
                what=what,
                source="watch",
                experiment=name,
                data={"pod": "vllm-0"},
            )
        )
    for at, ready in ((-30, 2), (0, 1), (25, 2)):
        stamp = FAULT[0] + at * SECOND
        run.append_event(
            Event(
                at_ns=stamp,
                kind="watch",
                what="ready-endpoints",
                source="watch",
                data={"ready": ready},
            )
        )
