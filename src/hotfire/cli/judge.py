"""``hotfire judge``: the verdicts of a recorded run, by the rules of this version."""

from collections.abc import Iterator
from dataclasses import asdict

import typer

from hotfire.cli.project import find_run, of_a_run
from hotfire.cli.verdicts import print_verdicts
from hotfire.experiment import Judgement, judge_run, same_service
from hotfire.experiment.cascade import cascades
from hotfire.outcome import statement
from hotfire.rundir import BudgetRow, Result, RunDirectory
from hotfire.shown import one_line
from hotfire.verdict import EXIT_CODES, Conformance, Verdict

# Reasons are cut; this much of one tells it from any other.
_TOLD_CHARACTERS = 100


def judge(name: str) -> int:
    """Judge a run again, replace its results and return the exit code they stand for."""
    run = find_run(name)
    with of_a_run(run.root):
        return _judge(run)


def _judge(run: RunDirectory) -> int:
    before = run.results()
    faults = judge_run(run)
    judged = [_judged_again(result, faults, run) for result in before]
    fired = cascades(run.events())
    after = [same_service.judged_again(result, judged, fired) for result in judged]
    after += _beyond_results(run, before)
    run.replace_results(after)
    stated = statement(after, planned=run.planned())
    info = run.update_info(conformance=stated)
    # What was added has no former verdict.
    for old, new in zip(before, after, strict=False):
        if old.verdict is new.verdict:
            continue
        told = f"{new.id} {new.case}: {old.verdict} -> {new.verdict}: {new.reason}"
        typer.echo(one_line(told))
    print_verdicts(info, after)
    return EXIT_CODES[stated]


def _beyond_results(run: RunDirectory, results: list[Result]) -> Iterator[Result]:
    """Yield the run's trouble that no result tells of, which nobody can judge again."""
    info = run.info()
    if statement(results, planned=run.planned()) is not Conformance.CONFORMANT:
        return
    if info.finished_at is None:
        yield Result.of_run("end", "it never came to its end")
    elif info.conformance is not Conformance.CONFORMANT:
        notes = "; ".join(info.notes) or "nothing tells why"
        yield Result.of_run("end", f"it was {info.conformance}, beyond its results: {notes}")


def _judged_again(result: Result, faults: dict[str, Judgement], run: RunDirectory) -> Result:
    """Return a fault's new judgement; a check's stands as long as its evidence does."""
    if result.skipped_by_operator:
        return result
    if result.kind == "fault" and result.record in faults:
        return _with(result, faults[result.record])
    missing = [name for name in result.evidence if not run.path(name).exists()]
    if result.verdict is Verdict.PASSED and (missing or not result.evidence):
        reason = f"its evidence is missing: {', '.join(missing) or 'none was recorded'}"
        return result.model_copy(update={"verdict": Verdict.INCONCLUSIVE, "reason": reason})
    return result


def _with(result: Result, judgement: Judgement) -> Result:
    """Return a fault's result as this judgement has it, its budgets and figures included."""
    told = {"reason": judgement.reason} if "reason" in result.figures else {}
    verdict, reason = judgement.verdict, judgement.reason
    if _in_trouble_beyond(result) and verdict is not Verdict.FAILED:
        verdict, reason = result.verdict, result.reason
    changes = {
        "verdict": verdict,
        "reason": reason,
        "figures": result.figures | judgement.figures | told,
        "budgets": tuple(BudgetRow(**asdict(one)) for one in judgement.budgets),
    }
    return result.model_copy(update=changes)


def _in_trouble_beyond(result: Result) -> bool:
    """Return whether something other than its judgement left a fault undecided, as at its end.

    A fault keeps its judgement's reason among its figures; nothing else can be judged again.
    """
    told = str(result.figures.get("reason") or "").strip().partition("\n")[0][:_TOLD_CHARACTERS]
    return result.verdict is Verdict.INCONCLUSIVE and not (told and told in result.reason)
