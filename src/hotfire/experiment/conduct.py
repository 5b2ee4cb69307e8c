"""The life of a fault, from the plan to the verdict: the one algorithm, whoever asks for it."""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass
from typing import Any

from hotfire.chaos.blast import Proof, prove, resolve
from hotfire.chaos.lease import RunLease
from hotfire.chaos.plan import Plan, World
from hotfire.experiment.document import Experiment
from hotfire.experiment.gate import await_go
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
        plan, proofs = self.plan(experiment)
        observer("targets", [str(target) for target in plan.targets])
        observer("blast_radius", [proof.model_dump() for proof in proofs])
        return Trial(experiment, self.world, self.run, plan, lease=self.lease)

    def plan(self, experiment: Experiment) -> tuple[Plan, list[Proof]]:
        """Return whom a fault would hit now, and why nobody else would be.

        Raises:
            HarnessError: a condition does not hold; nothing was changed.
        """
        plan = resolve(self.world, experiment.fault)
        return plan, prove(self.world, experiment.fault, plan)


def conduct(
    experiment: Experiment,
    stage: Stage,
    *,
    load: Callable[[str], AbstractContextManager[Traffic]],
    observer: Observer,
    asks: bool = False,
) -> Judgement:
    """Fire a fault at a target under load, heal it, watch users recover, and judge.

    Args:
        experiment: What is done.
        stage: Where, and under whose Lease.
        load: The rated load by the name of its history; it is entered and left within.
        observer: Hears the plan, the proofs and the figures.
        asks: Whether somebody must give the word first, by ``gate.give_go``.

    Raises:
        HarnessError: it could not be carried through; what was broken is healed.
    """
    # Left in the other order: what was broken is healed before anything else is put in order.
    with ExitStack() as held:
        traffic = held.enter_context(load(experiment.id))
        if asks:
            await_go(stage.run, stage.world.profile, experiment, *stage.plan(experiment), traffic)
        # Planned anew: the platform may have changed while somebody thought.
        trial = held.enter_context(stage.arm(experiment, observer))
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
