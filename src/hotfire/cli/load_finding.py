"""What one load found: its verdict, what speaks against believing it, and how it is told."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.text import Text

from hotfire.cli.load_view import (
    print_budgets,
    print_cross_check,
    print_instrument,
    print_summary,
)
from hotfire.measure.budgets import BudgetResult
from hotfire.measure.crosscheck import Agreement, CrossCheck
from hotfire.measure.slo import Summary
from hotfire.rundir import RunDirectory
from hotfire.traffic.record import calibration
from hotfire.traffic.runner.launch import LoadReport
from hotfire.traffic.witnesses.vllm_bench import Compared
from hotfire.verdict import Verdict, merge


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One load, measured and judged."""

    run: RunDirectory
    summary: Summary
    """What users experienced."""
    examples: Mapping[str, str]
    """What the first failure of each class looked like."""
    report: LoadReport
    cross_check: CrossCheck | None
    """None: there was nobody to ask, or no time for it."""
    bench: Sequence[Compared]
    """Another tool's figures beside ours; empty if it was not asked."""
    budgets: Sequence[BudgetResult]
    interrupted: bool

    @property
    def verdict(self) -> Verdict:
        """The worst of the budgets, unless the instrument decides otherwise."""
        return (
            Verdict.INCONCLUSIVE
            if self.doubts
            else merge([Verdict.PASSED, *(one.verdict for one in self.budgets)])
        )

    @property
    def doubts(self) -> list[str]:
        """Why nothing may be concluded, whatever was measured."""
        found = [gate.reason for gate in self.report.instrument if not gate.holds]
        if self.cross_check and self.cross_check.agreement is Agreement.MEASURING_FAULT:
            found.append(self.cross_check.reason)
        if not self.summary.complete and not self.budgets:
            found.append("no request was complete")
        found += [f"vllm bench serve: {one.told()}" for one in self.bench if one.doubtful]
        if self.interrupted:
            found.append("interrupted by the operator")
        return found


def tell(found: Finding, console: Console) -> None:
    """Print a finding: figures, budgets, the instrument, other witnesses, the verdict."""
    print_summary(console, found.summary, found.examples)
    print_budgets(console, found.budgets)
    print_instrument(console, found.report.instrument, calibration.remembered())
    if not found.interrupted:
        print_cross_check(console, found.cross_check)
    for one in found.bench:
        console.print(Text(f"vllm bench {one.told()}"), soft_wrap=True)
    why = f": {'; '.join(found.doubts)}" if found.doubts else ""
    word = found.verdict if found.budgets or found.doubts else "measured; no budget was given"
    console.print(Text(f"{word}{why}"), soft_wrap=True)


def document(found: Finding) -> dict[str, Any]:
    """Return the finding as JSON has it; what is infinite is told as text."""
    known, summary = calibration.remembered(), found.summary
    return {
        "verdict": found.verdict,
        "doubts": found.doubts,
        "figures": {name: _finite(value) for name, value in summary.figures().items()},
        "streamed": summary.streamed,
        "failures": summary.failures,
        "deviations": summary.deviations,
        "budgets": [_budget(one) for one in found.budgets],
        "gates": [gate.model_dump() for gate in found.report.instrument],
        "calibration": known.model_dump(mode="json") if known else None,
        "cross_check": found.cross_check.model_dump() if found.cross_check else None,
        "vllm_bench": [one.document() for one in found.bench],
        "history": "history/load.jsonl",
        "run": str(found.run.root),
    }


def _budget(one: BudgetResult) -> dict[str, Any]:
    return {
        "name": one.name,
        "limit": one.limit,
        "measured": _finite(one.measured),
        "verdict": one.verdict,
        "reason": one.reason,
    }


def _finite(value: float | None) -> float | str | None:
    """Return a number as JSON can say it: ``"inf"`` is what falls among failed requests."""
    return value if value is None or math.isfinite(value) else str(value)
