"""Every experiment below this folder: each breaks the target and judges what users saw of it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from hotfire.chaos.agent_client import AgentClient
from hotfire.chaos.lease import RunLease
from hotfire.chaos.plan import World
from hotfire.cluster import Cluster
from hotfire.errors import HarnessError
from hotfire.evidence import Evidence
from hotfire.experiment import Experiment, Stage, conduct
from hotfire.profile import TargetProfile
from hotfire.requirement import requirement
from hotfire.rundir import RunDirectory
from hotfire.traffic.runner.launch import RunningLoad
from hotfire.verdict import Verdict


def case(path: Path) -> object:
    experiment = Experiment.load(path)
    fault = experiment.fault
    mark = requirement(
        fault.id,
        fault.level,
        experiment.prose,
        source=fault.source,
        features=fault.features,
        cncf=fault.cncf,
        scope=fault.scope,
    )
    return pytest.param(experiment, marks=mark, id=path.stem)


@pytest.fixture
def stage(
    cluster: Cluster, agent: AgentClient, profile: TargetProfile, stack: object,
    run: RunDirectory, lease: RunLease,
) -> Stage:  # fmt: skip
    """The target, and the Lease of this session."""
    world = World(cluster=cluster, agent=agent, profile=profile)
    return Stage(world=world, run=run, lease=lease)


@pytest.mark.parametrize(
    "experiment", [case(path) for path in sorted(Path(__file__).parent.glob("*/*.yaml"))]
)
def test_target_withstands(
    experiment: Experiment,
    stage: Stage,
    load: Callable[..., RunningLoad],
    evidence: Evidence,
    request: pytest.FixtureRequest,
) -> None:
    if request.config.getoption("--sham"):
        experiment = experiment.sham(stage.run.path("shams"))
    judgement = conduct(
        experiment, stage, load=lambda name: load(name=name), observer=evidence.record
    )
    if judgement.stop:
        # A target left broken is never fed the next fault.
        request.session.shouldstop = f"{experiment.id}: {judgement.reason}"
    if judgement.verdict is Verdict.INCONCLUSIVE:
        raise HarnessError(judgement.reason)
    assert judgement.verdict is Verdict.PASSED, judgement.reason
