"""What a run amounts to, requirement by requirement, and in one sentence. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from hotfire.requirement import Level, Scope
from hotfire.rundir import Result, RunDirectory, RunInfo
from hotfire.verdict import Conformance, Verdict, conformance, merge


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One requirement with all of its cases; the worst of them decides."""

    cases: tuple[Result, ...]

    @property
    def first(self) -> Result:
        """Any case, for what all of them share: id, level, statement, source, area."""
        return self.cases[0]

    @property
    def verdict(self) -> Verdict:
        """The most significant verdict of the cases."""
        return merge(case.verdict for case in self.cases)

    @property
    def decisive(self) -> Result:
        """The case that decided: the first one with the requirement's verdict."""
        return next(case for case in self.cases if case.verdict is self.verdict)

    @property
    def is_run(self) -> bool:
        """Whether this is about the run itself and no requirement."""
        return self.first.kind == "run"

    @property
    def skipped(self) -> bool:
        """Whether the operator kept every case from running."""
        return all(case.skipped_by_operator for case in self.cases)

    @property
    def word(self) -> str:
        """What it came to, for a reader: its verdict, or that the operator left it out."""
        return "left out" if self.skipped else self.verdict.value

    @property
    def settled(self) -> bool:
        """Whether nobody has to look at it: it passed, does not apply, or was left out."""
        return self.skipped or self.verdict in {Verdict.PASSED, Verdict.NOT_APPLICABLE}

    @property
    def seconds(self) -> float:
        """Time all cases took."""
        return sum(case.seconds for case in self.cases)


def outcomes(results: Iterable[Result]) -> list[Outcome]:
    """Return one outcome per requirement, worst first, within a verdict by level and id.

    A case that ran twice counts as it ended last.
    """
    cases = {result.nodeid: result for result in results}
    by_id: dict[str, list[Result]] = {}
    for result in cases.values():
        by_id.setdefault(result.id, []).append(result)
    found = [Outcome(cases=tuple(cases)) for cases in by_id.values()]
    return sorted(found, key=_order)


def _order(outcome: Outcome) -> tuple[int, bool, bool, str]:
    first = outcome.first
    return -outcome.verdict.weight, outcome.skipped, first.level is not Level.MUST, first.id


def statement(results: Iterable[Result], *, planned: Iterable[str] = ()) -> Conformance:
    """Return the conformance that these results add up to.

    A run that was planned (by nodeid) to have more results than it has is inconclusive at best.
    """
    latest = {result.nodeid: result for result in results}
    found = conformance((r.level, r.verdict, r.skipped_by_operator) for r in latest.values())
    if found is Conformance.CONFORMANT and not latest.keys() >= set(planned):
        return Conformance.INCONCLUSIVE
    return found


def judged(run: RunDirectory, found: Iterable[Outcome]) -> RunInfo:
    """Return a run's facts with the statement that its results add up to, if it was judged at all.

    What a run once said of itself is never believed against its own results.
    """
    info = run.info()
    results = [case for outcome in found for case in outcome.cases]
    if info.conformance is None or not results:
        return info
    return info.model_copy(update={"conformance": statement(results, planned=run.planned())})


def extent(info: RunInfo, found: Iterable[Outcome]) -> str:
    """Return which scope was judged, and how much of everything that is known.

    What the operator left out is not counted, and makes it part of its scope.
    """
    asked = [outcome for outcome in found if not outcome.is_run]
    taken = [outcome for outcome in asked if not outcome.skipped]
    faults = sum(outcome.first.kind == "fault" for outcome in taken)
    scope = f"{info.scope}" if len(taken) == len(asked) else f"part of {info.scope}"
    if info.faults_known is None:
        return f"{scope}: {len(taken)} of {info.requirements_known} requirements and faults"
    checks = info.requirements_known - info.faults_known
    return (
        f"{scope}: {len(taken) - faults} of {checks} requirements"
        f" and {faults} of {info.faults_known} faults"
    )


def qualifier(info: RunInfo, found: Iterable[Outcome]) -> str:
    """Return what a statement is restricted to; empty where everything was asked."""
    return "" if info.scope is Scope.FULL else f" ({extent(info, found)})"


def headline(info: RunInfo, found: Iterable[Outcome]) -> str:
    """Return one sentence: the target, the statement, and the counts and ids behind it."""
    rows = list(found)
    within = qualifier(info, rows)
    found = [outcome for outcome in rows if not outcome.is_run]
    groups = [
        _group(found, Verdict.FAILED, "failed", named=True),
        _group(found, Verdict.INCONCLUSIVE, "inconclusive", named=True),
        _group(found, Verdict.PASSED, "passed", named=False),
        _group(found, Verdict.NOT_APPLICABLE, "not applicable", named=False),
    ]
    skipped = sum(outcome.skipped for outcome in found)
    if skipped:
        groups.insert(2, f"{skipped} left out by the operator")
    if len(found) < len(rows):
        groups.insert(0, "the run itself was in trouble")
    counted = ", ".join(group for group in groups if group) or "no requirement was judged"
    return f"{info.target_name} is {info.conformance or 'not judged'}{within}: {counted}"


def _group(found: list[Outcome], verdict: Verdict, word: str, *, named: bool) -> str:
    members = [o.first.id for o in found if o.verdict is verdict and not o.skipped]
    if not members:
        return ""
    return f"{len(members)} {word}" + (f" ({', '.join(members)})" if named else "")
