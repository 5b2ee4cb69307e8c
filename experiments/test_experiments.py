"""Every experiment below this folder, and below one's own of ``--suites``: each breaks the target.

What users saw of it is judged.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from fixtures.replicas import enough_replicas
from fixtures.stack import Stack
from hotfire.cluster import Cluster
from hotfire.errors import HarnessError
from hotfire.evidence import Evidence
from hotfire.experiment import Campaign, Experiment, Stage, conduct
from hotfire.experiment.footprint import footprint
from hotfire.profile import TargetProfile
from hotfire.requirement import requirement
from hotfire.verdict import Verdict

ORDER = (
    "pods", "engine", "gpu", "network", "gateway", "dependencies", "storage", "load", "canary",
    "node", "control-plane", "found",
)  # fmt: skip
"""Areas from narrow to wide: what may cost a node, or the API, comes last."""


def case(experiment: Experiment, number: int) -> object:
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
    name = experiment.path.stem + (f"-r{number}" if number > 1 else "")
    return pytest.param(experiment, marks=mark, id=name)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every fault in each round; a round is whole before the next one begins."""
    found = sorted(map(Experiment.load, _files(metafunc.config)), key=_order)
    rounds = range(1, metafunc.config.getoption("--repeat") + 1)
    metafunc.parametrize("experiment", [case(one, number) for number in rounds for one in found])


def _files(config: pytest.Config) -> Iterator[Path]:
    own = config.getoption("suites")
    folders = [Path(__file__).parent, *([own.resolve() / "experiments"] if own else [])]
    return (path for folder in folders for path in folder.glob("*/*.yaml"))


def _order(experiment: Experiment) -> tuple[int, str]:
    """Return when it comes; an area of somebody's own comes last, whatever it may cost."""
    known = experiment.area in ORDER
    return ORDER.index(experiment.area) if known else len(ORDER), experiment.id


@pytest.fixture
def enough_engines(
    experiment: Experiment,
    stack: Stack,
    profile: TargetProfile,
    connection: Cluster,
    campaign: Campaign,
) -> Iterator[None]:
    """As many as the fault needs, where the stack is ours; anybody else's has what it has."""
    needed = experiment.fault.targets.engines_needed
    if not profile.stack.deploy or stack.replicated().replicas >= needed:
        yield
        return
    with enough_replicas(stack, connection, needed):
        campaign.begin_anew()
        yield
    campaign.begin_anew()


@pytest.mark.usefixtures("enough_engines")
def test_target_withstands(
    experiment: Experiment,
    stage: Stage,
    campaign: Campaign,
    evidence: Evidence,
    request: pytest.FixtureRequest,
) -> None:
    if request.config.getoption("--sham"):
        experiment = experiment.sham(stage.run.path("shams"))
    if (name := stage.run.unused_name(experiment.id)) != experiment.id:
        # Another round, or the first one was cut short.
        experiment = experiment.named(stage.run.path("rounds"), name)
        evidence.record("record", name)
    asks = request.config.getoption("--ask")
    judgement = conduct(experiment, stage, load=campaign.part, observer=evidence.record, asks=asks)
    campaign.rest(judgement)
    if request.config.getoption("--repeat") > 1:
        # What nobody could look at is missing in a table; that is no doubt about the fault.
        with suppress(HarnessError):
            for figure, value in footprint(stage.world).items():
                evidence.record(figure, value)
    if judgement.stop:
        # A target left broken is never fed the next fault.
        request.session.shouldstop = f"{experiment.id}: {judgement.reason}"
    if judgement.verdict is Verdict.INCONCLUSIVE:
        raise HarnessError(judgement.reason)
    assert judgement.verdict is Verdict.PASSED, judgement.reason
