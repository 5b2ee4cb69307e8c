"""``hotfire judge``: the verdicts of a recorded run, by the rules of this version."""

import typer

from hotfire.cli.project import find_run
from hotfire.cli.verdicts import print_verdicts
from hotfire.experiment import judge_run
from hotfire.outcome import statement
from hotfire.rundir import Result, RunDirectory
from hotfire.verdict import EXIT_CODES, Verdict


def judge(name: str) -> int:
    """Judge a run again, replace its results and return the exit code they stand for."""
    run = find_run(name)
    before = run.results()
    faults = judge_run(run)
    after = [_judged_again(result, faults, run) for result in before]
    run.replace_results(after)
    stated = statement(after, planned=run.planned())
    info = run.update_info(conformance=stated)
    changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    for old, new in changed:
        typer.echo(f"{new.id} {new.case}: {old.verdict} -> {new.verdict}: {new.reason}")
    print_verdicts(info, after)
    return EXIT_CODES[stated]


def _judged_again(
    result: Result, faults: dict[str, tuple[Verdict, str]], run: RunDirectory
) -> Result:
    """Return a fault's new judgement; a check's stands as long as its evidence does."""
    if result.skipped_by_operator:
        return result
    if result.kind == "fault" and result.id in faults:
        verdict, reason = faults[result.id]
        return result.model_copy(update={"verdict": verdict, "reason": reason})
    missing = [name for name in result.evidence if not run.path(name).exists()]
    if result.verdict is Verdict.PASSED and (missing or not result.evidence):
        reason = f"its evidence is missing: {', '.join(missing) or 'none was recorded'}"
        return result.model_copy(update={"verdict": Verdict.INCONCLUSIVE, "reason": reason})
    return result
