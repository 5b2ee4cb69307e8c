"""Jobs of teams wait for their share: Kueue at work."""

from contextlib import nullcontext
from pathlib import Path

import pytest

from hotfire.cluster import Document
from hotfire.verdict import Verdict
from tests.lab.test_every_check_can_fail import SUITES, brought_by, run
from tests.queued import queued, racked
from tests.world import World

pytestmark = [pytest.mark.lab, pytest.mark.add_on]

QUEUED = [suite for suite in SUITES if brought_by(suite) == "queued"]


def test_every_check_of_queues_passes_on_the_overlay(
    world: World, scripted_target: Path, tmp_path: Path
) -> None:
    with racked(world):
        ran = run(QUEUED, scripted_target, tmp_path)

    found = {suite.stem: ran.verdict(suite) for suite in QUEUED}
    assert {name: one for name, one in found.items() if one[0] is not Verdict.PASSED} == {}


def without_limits(spec: Document) -> None:
    for group in spec["resourceGroups"]:
        for flavor in group["flavors"]:
            for row in flavor["resources"]:
                row.pop("borrowingLimit", None)


def test_teams_that_may_borrow_all_there_is_are_told(
    world: World, scripted_target: Path, tmp_path: Path
) -> None:
    [suite] = [one for one in QUEUED if "team_queues" in one.stem]

    with queued(world, without_limits):
        found, reason = run([suite], scripted_target, tmp_path).verdict(suite)

    assert found is Verdict.FAILED, reason
    assert "beyond its limit" in reason


# Kueue takes the annotation of Jobs of several pods only.
MAY_START_IN_PART = """
object.spec.parallelism > 1 ? [JSONPatch{
  op: "add", path: "/metadata/annotations", value: {"kueue.x-k8s.io/job-min-parallelism": "1"}
}] : []
"""


@pytest.mark.parametrize(("patches", "wanted"), [("", "passed"), (MAY_START_IN_PART, "failed")])
def test_jobs_are_a_gang_unless_they_may_start_in_part(
    world: World, scripted_target: Path, tmp_path: Path, patches: str, wanted: str
) -> None:
    [suite] = [one for one in SUITES if "gangs" in one.stem]
    changed = world.admission_changes("batch", "jobs", patches) if patches else nullcontext()

    with queued(world), changed:
        found, reason = run([suite], scripted_target, tmp_path).verdict(suite)

    assert found == wanted, reason
    assert "its queue one GPU short" in reason or not patches
