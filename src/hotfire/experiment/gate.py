"""Somebody who says when a fault may be fired: everything is shown first, nothing is armed yet."""

from hotfire.chaos.armed import tell
from hotfire.chaos.blast import Proof
from hotfire.chaos.plan import Plan
from hotfire.errors import HarnessError
from hotfire.experiment.document import Experiment
from hotfire.experiment.traffic import Traffic
from hotfire.profile import TargetProfile
from hotfire.rundir import RunDirectory
from hotfire.waiting import until

READY = "ready-to-fire"
_GO = "journals/go"
_LONGEST_SECONDS = 3600.0
_POLL_SECONDS = 0.25


def give_go(run: RunDirectory) -> None:
    """Let the fault that waits be fired."""
    run.write_text(_GO, "")


def await_go(
    run: RunDirectory,
    profile: TargetProfile,
    experiment: Experiment,
    plan: Plan,
    proofs: list[Proof],
    load: Traffic,
) -> None:
    """Tell what would be hit, how it is undone and what it may cost, and wait for the word.

    Raises:
        HarnessError: nobody gave it within an hour, or the load ended.
    """
    fault, limits = experiment.fault, experiment.budgets(profile)
    load.wait_started()
    tell(
        run,
        READY,
        source="driver",
        experiment=experiment.id,
        kind="phase",
        data={
            "statement": experiment.title,
            "hits": [str(target) for target in plan.targets],
            "by": [str(step) for step in fault.steps],
            "for_seconds": fault.hold_seconds,
            "radius": [f"{proof.name}: {proof.detail}" for proof in proofs],
            "repaired_by": fault.repaired_by,
            "over_when": str(fault.gone),
            "may_cost": limits.model_dump(exclude_none=True),
        },
    )

    def given() -> bool:
        if not load.alive():
            raise HarnessError(f"the load process ended; see {load.log}")
        return run.path(_GO).exists()

    until(
        given,
        within_seconds=_LONGEST_SECONDS,
        what="the word to fire",
        poll_seconds=_POLL_SECONDS,
    )
    run.path(_GO).unlink()
