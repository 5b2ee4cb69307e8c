"""One item as a case of a requirement: which one, what its phases found, what that amounts to."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from pydantic import TypeAdapter, ValidationError

from hotfire.errors import TargetNotReady
from hotfire.evidence import Evidence, redact
from hotfire.requirement import Requirement
from hotfire.rundir import BudgetRow, Result, RunDirectory
from hotfire.shown import shown
from hotfire.verdict import Verdict, merge

UNIT_FOLDERS: dict[str, Literal["check", "fault"]] = {"suites": "check", "experiments": "fault"}
_REASON_CHARACTERS = 300
_BUDGETS = TypeAdapter(tuple[BudgetRow, ...])

Finding = tuple[Verdict, str]


@dataclass(slots=True, kw_only=True)
class Case:
    """One item and what its phases have said so far.

    ``unit`` is the file it is about, relative to its root: a suite file or an experiment's.
    """

    requirement: Requirement
    unit: Path
    nodeid: str
    findings: list[Finding] = field(default_factory=list)
    seconds: float = 0.0
    evidence: Evidence | None = None
    unclaimed: frozenset[str] = frozenset()
    skipped_by_operator: bool = False

    @property
    def name(self) -> str:
        """The test's name with its parameters."""
        return self.nodeid.partition("::")[2]

    @property
    def area(self) -> str:
        """The folder below suites/ or experiments/."""
        return self.unit.parts[1] if len(self.unit.parts) > 2 else self.unit.stem

    @property
    def is_fault(self) -> bool:
        """Whether it breaks something, and is no check."""
        return UNIT_FOLDERS[self.unit.parts[0]] == "fault"

    @property
    def names(self) -> set[str]:
        """What ``--only`` may call it."""
        return {self.requirement.id.casefold(), self.area.casefold()}

    def result(self, run: RunDirectory | None = None) -> Result:
        """Return the verdict of all phases together, with the reason of the one that decided."""
        verdict = merge(found for found, _ in self.findings)
        reasons = [reason for found, reason in self.findings if found is verdict]
        claim = self.requirement
        return Result(
            id=claim.id,
            level=claim.level,
            statement=claim.statement,
            rationale=claim.rationale,
            source=claim.source,
            features=claim.features,
            cncf=claim.cncf,
            kind=UNIT_FOLDERS[self.unit.parts[0]],
            area=self.area,
            case=self.name,
            nodeid=self.nodeid,
            verdict=verdict,
            reason=reasons[0] if reasons else "no phase reported anything",
            seconds=round(self.seconds, 3),
            evidence=_links(self.evidence, run),
            figures=self.evidence.figures if self.evidence else {},
            budgets=_budgets(self.evidence),
            skipped_by_operator=self.skipped_by_operator,
        )

    def not_run(self, reason: str, *, by_operator: bool = False) -> Result:
        """Return the result of a case that never ran to its end."""
        self.findings = [(Verdict.INCONCLUSIVE, reason)]
        self.skipped_by_operator = by_operator
        return self.result()


def _links(evidence: Evidence | None, run: RunDirectory | None) -> tuple[str, ...]:
    if evidence is None or run is None:
        return ()
    return tuple(run.relative(path) for path in evidence.files())


def _budgets(evidence: Evidence | None) -> tuple[BudgetRow, ...]:
    """Return what a case recorded as ``budgets``; anything of another shape stays evidence only."""
    recorded = evidence.observations.get("budgets", ()) if evidence else ()
    try:
        return _BUDGETS.validate_python(recorded)
    except ValidationError:
        return ()


def unit_roots(config: pytest.Config) -> list[Path]:
    """Return what holds folders of units: the root, and what ``--suites`` names."""
    own = config.getoption("suites")
    return [config.rootpath, *([own.resolve()] if own else [])]


def below_units(path: Path, roots: Iterable[Path]) -> Path | None:
    """Return a path relative to its root if it lies in a unit folder of one."""
    below = [path.relative_to(root) for root in roots if path.is_relative_to(root)]
    return next((one for one in below if one.parts and one.parts[0] in UNIT_FOLDERS), None)


def finding(
    case: Case, report: pytest.TestReport, error: BaseException | None, roots: Sequence[Path]
) -> Finding | None:
    """Return what one phase says about the target; None if it says nothing.

    ``error`` is what the case itself or a fixture of its own raised.
    """
    if error is None:
        return _finding_of_quiet_phase(case, report)
    excinfo = pytest.ExceptionInfo.from_exception(error)
    reason = one_line(error)
    if isinstance(error, pytest.skip.Exception):
        if case.unclaimed:
            return Verdict.NOT_APPLICABLE, reason
        case.skipped_by_operator = True
        return Verdict.INCONCLUSIVE, f"skipped: {reason}"
    if report.when == "call" and _blames_target(excinfo, roots):
        return Verdict.FAILED, reason
    if report.when != "teardown" and isinstance(error, TargetNotReady):
        return Verdict.FAILED, reason
    phase = "" if report.when == "call" else f"{report.when}: "
    return Verdict.INCONCLUSIVE, f"{phase}{excinfo.typename}: {reason}"


def _blames_target(excinfo: pytest.ExceptionInfo[BaseException], roots: Sequence[Path]) -> bool:
    """Return whether an ``assert`` of a unit spoke; one of a library is our trouble."""
    spoke_in = Path(excinfo.traceback[-1].path)
    return excinfo.errisinstance(AssertionError) and below_units(spoke_in, roots) is not None


def _finding_of_quiet_phase(case: Case, report: pytest.TestReport) -> Finding | None:
    if report.when != "call":
        return None
    if not report.passed:
        return Verdict.INCONCLUSIVE, "marked xfail: a target is judged, not excused"
    seen = len(case.evidence.observations) if case.evidence else 0
    if not seen:
        return Verdict.INCONCLUSIVE, "vacuous: passed without recorded evidence"
    return Verdict.PASSED, f"as stated, {seen} observation{'s'[: seen > 1]}"


def one_line(error: BaseException) -> str:
    """Return the first line of what an exception says, for a report."""
    text = getattr(error, "msg", None) or str(error)
    line = next((line.strip() for line in str(text).splitlines() if line.strip()), "no message")
    return shown(str(redact(line)))[:_REASON_CHARACTERS]
