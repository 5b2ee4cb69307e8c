"""An evicted worker makes its job restart whole and resume from a checkpoint.

Workers that step together wait for the one that is gone: if nobody replaces it, the rest hold
their accelerators for ever and compute nothing; and a job that begins anew each time a node is
drained never ends. The job is a toy without accelerators, run by the target as any other.
"""

from dataclasses import asdict

import pytest

from fixtures.scratch import Scratch
from fixtures.training import Step, Training
from hotfire import Evidence, Level, TargetProfile, requirement
from hotfire.cluster import Cluster
from hotfire.errors import HarnessError
from hotfire.waiting import of_target

pytestmark = requirement(
    "SCH-011",
    Level.SHOULD,
    __doc__,
    source="https://kubernetes.io/docs/concepts/workloads/controllers/job/",
    features={"restartable-jobs"},
)

# So far, there is a checkpoint, and more has been done since.
BEFORE, ON = 12, 10
# Kubernetes makes the first replacement after ten seconds.
RESUMED_SECONDS = 90.0


@pytest.fixture
def training(cluster: Cluster, profile: TargetProfile, scratch: Scratch) -> Training:
    """A job that has started."""
    made = Training(cluster, profile, scratch)
    made.start()
    return made


def test_job_restarts_whole_and_goes_on_from_its_last_checkpoint(
    profile: TargetProfile, cluster: Cluster, training: Training, evidence: Evidence
) -> None:
    first = training.reached(BEFORE, within_seconds=profile.waits.pod_ready_seconds)
    began_with = {pod.uid for pod in training.workers()}
    # Negative control: nobody was evicted yet, and nothing restarts.
    before = training.reached(first.step + ON, within_seconds=profile.waits.pod_ready_seconds)
    stayed = {pod.uid for pod in training.workers()}
    evidence.record("undisturbed", {"first": asdict(first), "last": asdict(before)})
    assert before.run == first.run, f"undisturbed, it was run {first.run} and became {before.run}"
    assert stayed == began_with, f"undisturbed, workers {began_with} became {stayed}"

    victim = training.workers()[-1]
    answer = cluster.evict(victim)
    if not answer.accepted:
        raise HarnessError(f"the eviction of {victim.name} was refused: {answer.message}")
    came_back = of_target(
        lambda: run_after(training, before) or training.given_up(),
        within_seconds=RESUMED_SECONDS,
        what=f"the job going on after {victim.name} was evicted",
        excused_seconds=cluster.silent_seconds,
    )
    again, left = run_after(training, before), [pod.name for pod in training.workers()]
    evidence.record("evicted", {"worker": victim.name, "workers": left})
    evidence.record("resumed", [asdict(one) for one in again[:3]])

    assert again, f"{came_back}; {left} wait for it"
    assert again[0].step >= before.kept, (
        f"it began again with step {again[0].step}, though {before.kept} was kept"
    )


def run_after(training: Training, last: Step) -> list[Step]:
    """Return the steps that were taken since everybody joined again."""
    return [one for one in training.steps() if one.run > last.run]
