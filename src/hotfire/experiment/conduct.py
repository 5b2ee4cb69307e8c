"""The life of a fault, from the plan to the verdict: the one algorithm, whoever asks for it."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import Any

from hotfire.chaos.blast import prove, resolve
from hotfire.chaos.lease import RunLease
from hotfire.chaos.plan import World
from hotfire.experiment.document import Experiment
from hotfire.experiment.judgement import Judgement
from hotfire.experiment.traffic import Traffic
from hotfire.experiment.trial import Trial
from hotfire.rundir import RunDirectory

Observer = Callable[[str, Any], object]
"""Hears what happens, by a name and a value that JSON can hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Where faults are fired, and by which run."""

    world: World
    run: RunDirectory
    lease: RunLease

    def arm(self, experiment: Experiment, observer: Observer) -> Trial:
        """Return a fault whose targets are resolved and whose blast radius is proven.

        Raises:
            HarnessError: a condition does not hold; nothing was changed.
        """
        plan = resolve(self.world, experiment.fault)
        observer("targets", [str(target) for target in plan.targets])
        proofs = prove(self.world, experiment.fault, plan)
        observer("blast_radius", [proof.model_dump() for proof in proofs])
        return Trial(experiment, self.world, self.run, plan, lease=self.lease)


def conduct(
    experiment: Experiment,
    stage: Stage,
    *,
    load: Callable[[str], AbstractContextManager[Traffic]],
    observer: Observer,
) -> Judgement:
    """Fire a fault at a target under load, heal it, watch users recover, and judge.

    Args:
        experiment: What is done.
        stage: Where, and under whose Lease.
        load: The rated load by the name of its history; it is entered and left within.
        observer: Hears the plan, the proofs and the figures.

    Raises:
        HarnessError: it could not be carried through; what was broken is healed.
    """
    # Left in the other order: what was broken is healed before anything else is put in order.
    with load(experiment.id) as traffic, stage.arm(experiment, observer) as trial:
        trial.await_baseline(traffic)
        trial.fire()
        observer("healed", trial.heal().detail)
        trial.await_recovery(traffic)
        traffic.stop()
        judgement = trial.judge()
        for name, value in judgement.figures.items():
            observer(name, value)
        observer("budgets", [asdict(budget) for budget in judgement.budgets])
        observer("reason", judgement.reason)
        return judgement
