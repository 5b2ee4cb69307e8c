"""The status of an engine is a subresource, and its conditions follow reality.

Pipelines wait for Ready, alerts go by Degraded. Where Ready is what was once true, a roll-out goes
on over an engine that lost a pod; where whoever writes the spec writes the status as well, a
manifest that somebody copied from a sound cluster says that all is well.
"""

import json
from dataclasses import asdict

from fixtures.engine_groups import FORGED, Groups
from hotfire import Evidence, Level, requirement
from hotfire.errors import HarnessError
from hotfire.waiting import Awaited, of_target, until

pytestmark = requirement(
    "OPR-003",
    Level.MUST,
    __doc__,
    source="https://github.com/kubernetes/community/blob/master/contributors/devel/sig-architecture/api-conventions.md#typical-status-properties",
    features={"engine-groups"},
)


def test_conditions_tell_of_a_pod_that_breaks_and_heals(groups: Groups, evidence: Evidence) -> None:
    groups.create(instances=1)
    groups.has(1).required()
    check_told(groups, evidence, "whole", groups.says(whole=True))
    with groups.no_more_pods():
        break_one(groups)
        told = groups.says(whole=False)
        # What is read after the wait may be another state; only this one counts.
        if groups.complete(1):
            raise HarnessError("the pod that was deleted came back although its quota allows none")
        check_told(groups, evidence, "broken", told)
        check_forgery(groups, evidence)
    groups.has(1).required()
    check_told(groups, evidence, "healed", groups.says(whole=True))


def break_one(groups: Groups) -> None:
    """Take one pod away, and wait until it is."""
    [pods] = groups.by_instance().values()
    groups.delete(pods[-1])
    until(
        lambda: len(groups.cluster.pods(groups.namespace)) < groups.size,
        within_seconds=groups.profile.waits.pod_gone_seconds,
        what=f"pod {pods[-1].name} gone",
        excused_seconds=groups.cluster.silent_seconds,
    )


def check_told(groups: Groups, evidence: Evidence, when: str, told: Awaited[bool]) -> None:
    """Hold the conditions against what there is."""
    evidence.record(when, asdict(groups.told()))
    assert told, f"{told}; it says {asdict(groups.told())}"


def check_forgery(groups: Groups, evidence: Evidence) -> None:
    """Negative control: a status that is sent with a change of the spec is ignored, the change not.

    It says Ready while a pod is missing: were it taken, the measurement before could be deceived.
    """
    before = groups.told().generation
    stored = groups.forge()
    told = of_target(
        lambda: groups.told().current,
        within_seconds=groups.profile.waits.injection_seconds,
        what="observedGeneration of a change of the spec",
        excused_seconds=groups.cluster.silent_seconds,
    )
    evidence.record("forged", {"generation_before": before, "stored": stored.get("status")})
    if stored["metadata"]["generation"] == before:
        raise HarnessError(f"{groups.fields.kind} took no change of {groups.fields.template}")
    forged = FORGED in json.dumps(stored.get("status"))
    assert not forged, "a status that was sent with a change of the spec was stored"
    assert told, str(told)
    assert not groups.told().ready, "Ready once the spec was changed, and a pod is missing"
