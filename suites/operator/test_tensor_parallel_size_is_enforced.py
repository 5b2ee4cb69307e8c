"""`tensorParallelSize` = `replicas` x `gpusPerPod` is enforced, on create and on update.

An engine that is to compute on eight accelerators and gets twelve leaves four idle for ever; with
fewer than eight it never starts, and holds what it has. Nothing of that is an error of any pod:
whoever does not refuse it at once pays for it. An update is where such numbers drift apart.
"""

from dataclasses import dataclass

import pytest

from fixtures.denials import Gatekeepers, gatekeepers
from fixtures.engine_groups import Groups
from hotfire import Evidence, Level, requirement
from hotfire.cluster import Answer
from hotfire.errors import HarnessError

pytestmark = requirement(
    "OPR-002",
    Level.MUST,
    __doc__,
    source="https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#validatingadmissionwebhook",
    features={"engine-groups", "tensor-parallel-shapes"},
)


@dataclass(frozen=True, slots=True)
class Shape:
    """The numbers of one engine: pods, accelerators of each, and on how many it computes."""

    pods: int
    accelerators: int
    parallel: int

    def __str__(self) -> str:
        return f"{self.pods} x {self.accelerators} for {self.parallel}"

    @property
    def values(self) -> dict[str, object]:
        return {
            "group_size": self.pods,
            "gpus_per_pod": self.accelerators,
            "tensor_parallel_size": self.parallel,
        }


FITTING, OTHER, MISFIT = Shape(2, 4, 8), Shape(8, 1, 8), Shape(3, 4, 8)


@pytest.fixture
def keepers(groups: Groups) -> Gatekeepers:
    return gatekeepers(groups.cluster, groups.fields.kind, groups.fields.api_version)


def test_numbers_that_contradict_are_denied_also_as_an_update(
    groups: Groups, keepers: Gatekeepers, evidence: Evidence
) -> None:
    fitting = {str(one): groups.would_admit(**one.values) for one in (FITTING, OTHER)}
    misspelt = groups.would_admit(**{**FITTING.values, "tensor_parallel_size": "eight"})
    denials = {"new": groups.would_admit(**MISFIT.values)}
    # An engine that nobody wants an instance of costs nothing, and can be changed.
    groups.create(instances=0, **FITTING.values)
    denials["update"] = groups.would_change(**MISFIT.values)
    evidence.record("fitting", {shape: told(one) for shape, one in fitting.items()})
    evidence.record("contradicting", {when: told(one) for when, one in denials.items()})
    evidence.record("misspelt", told(misspelt))
    # May be denied, too: some let nobody change the shape of an engine that is there.
    evidence.record("update_to_another", told(groups.would_change(**OTHER.values)))

    for shape, answer in fitting.items():
        assert answer.accepted, f"{shape} is denied: {answer.message}"
    for when, answer in denials.items():
        assert not answer.accepted, f"{MISFIT} would be accepted as {when}"
        assert keepers.denied(answer), f"no webhook's and no rule's word: {answer.message}"
    # Negative control: what the schema refuses is no merit of a rule.
    if misspelt.accepted or keepers.denied(misspelt):
        raise HarnessError(f"the schema of {groups.fields.kind} was to refuse: {told(misspelt)}")


def told(answer: Answer) -> str:
    return f"{answer.status} {answer.message}".strip()
