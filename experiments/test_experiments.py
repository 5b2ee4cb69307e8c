"""Every experiment below this folder: each breaks the target and judges what users saw of it."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from hotfire.chaos.agent_client import AgentClient
from hotfire.chaos.blast import Plan, World, prove, resolve
from hotfire.chaos.lease import RunLease
from hotfire.cluster import Cluster
from hotfire.errors import HarnessError
from hotfire.evidence import Evidence
from hotfire.experiment import Experiment, Trial
from hotfire.profile import TargetProfile
from hotfire.requirement import requirement
from hotfire.rundir import RunDirectory
from hotfire.traffic.runner.launch import RunningLoad
from hotfire.verdict import Verdict


def case(path: Path) -> object:
    experiment = Experiment.load(path)
    claim = experiment.claim
    mark = requirement(
        claim.id,
        claim.level,
        experiment.prose,
        source=claim.source,
        features=claim.features,
        cncf=claim.cncf,
    )
    return pytest.param(experiment, marks=mark, id=path.stem)


@pytest.fixture
def world(cluster: Cluster, agent: AgentClient, profile: TargetProfile, stack: object) -> World:
    return World(cluster=cluster, agent=agent, profile=profile)


@pytest.fixture
def arm(world: World, run: RunDirectory, lease: RunLease) -> Callable[[Experiment, Plan], Trial]:
    """Prepare a trial under the Lease of this session."""
    return lambda experiment, plan: Trial(experiment, world, run, plan, lease=lease)


@pytest.mark.parametrize(
    "experiment", [case(path) for path in sorted(Path(__file__).parent.glob("*/*.yaml"))]
)
def test_target_withstands(
    experiment: Experiment,
    world: World,
    arm: Callable[[Experiment, Plan], Trial],
    load: Callable[..., RunningLoad],
    evidence: Evidence,
    request: pytest.FixtureRequest,
) -> None:
    plan = resolve(world, experiment.id, experiment.claim.blast_radius)
    evidence.record("targets", [str(target) for target in plan.targets])
    evidence.record("blast_radius", [proof.model_dump() for proof in prove(world, plan)])
    with arm(experiment, plan) as trial:
        traffic = load(name=experiment.id)
        trial.await_baseline(traffic)
        trial.fire()
        evidence.record("healed", trial.heal().detail)
        trial.await_recovery(traffic)
        traffic.stop()
        judgement = trial.judge()
        for name, value in judgement.figures.items():
            evidence.record(name, value)
        evidence.record("budgets", [asdict(budget) for budget in judgement.budgets])
        evidence.record("reason", judgement.reason)
        if judgement.stop:
            # A target left broken is never fed the next fault.
            request.session.shouldstop = f"{experiment.id}: {judgement.reason}"
        if judgement.verdict is Verdict.INCONCLUSIVE:
            raise HarnessError(judgement.reason)
        assert judgement.verdict is Verdict.PASSED, judgement.reason
