"""Node maintenance takes one failure unit at a time and returns each node with its former GPUs.

Every node of a fleet is emptied and upgraded several times a year by a program that knows no users:
what holds it back is the disruption budget. One that lets a second node go before the first one's
engines are replaced ends a model in the middle of the day, and a GPU that does not come back after
an upgrade is missed by nobody until the next outage.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace

import pytest

from fixtures.beside import OVERLOADED_SHARE, Overload
from fixtures.fabric import Fabric
from fixtures.long_streams import begun, patience_seconds, settled, under_way
from fixtures.maintenance import Look, Shape, Site
from hotfire import Endpoint, Evidence, Level, TargetProfile, requirement
from hotfire.errors import HarnessError
from hotfire.measure.history import Request
from hotfire.traffic.runner.launch import RunningLoad
from hotfire.waiting import eventually, of_target, until

pytestmark = requirement(
    "CLU-007",
    Level.MUST,
    __doc__,
    source="https://kubernetes.io/docs/tasks/administer-cluster/safely-drain-node/",
)


@pytest.fixture
def streams(
    endpoint: Endpoint, load: Callable[..., RunningLoad], profile: TargetProfile
) -> RunningLoad:
    return begun(endpoint, load, profile, name="CLU-007")


def test_one_node_is_taken_and_returns_whole(
    profile: TargetProfile, fabric: Fabric, site: Site, streams: RunningLoad, evidence: Evidence
) -> None:
    former, wanted, name = Shape.of(site.node), site.serving(), site.node.name
    if not former.devices:
        raise HarnessError(f"{name} has no devices by number, so none can be missed")
    overload, stood = Overload(), paths(fabric, profile)
    seen = site.maintain(profile)
    back = of_target(
        lambda: not site.unlike(former, seen),
        within_seconds=profile.waits.healing_seconds,
        what=f"{name} as it was",
        excused_seconds=site.cluster.silent_seconds,
    )
    unlike, rows = [] if back else site.unlike(former, seen), ended(site, streams, profile)
    lost = [row for row in rows if row.failed]
    noise = disturbance(lost, overload.share(), stood, paths(fabric, profile))
    evidence.record("node", name)
    evidence.record("former", asdict(former))
    evidence.record("streams", len(rows))
    evidence.record("lost", len(lost))
    evidence.record("disturbance", noise)
    words = f"{len(lost)} of {len(rows)} streams broke while {name} was maintained"
    words += f": {lost[0].error_class}: {lost[0].detail}" if lost else ""

    assert not unlike, f"{name} is not as it was: {'; '.join(unlike)}"
    assert noise or not lost, words
    tight = at_the_lowest(seen.looks, wanted)
    evidence.record("looks_while_fewest_served", [asdict(one) for one in tight])
    assert not (gone := [one for one in tight if one.goes]), (
        f"with {name} emptied and {gone[0].serving_after} of {wanted} engines serving,"
        f" {site.second.name} of {site.second.node} would have been evicted as well"
    )
    if lost:
        raise HarnessError(f"{words}; {noise}")
    if not any(under_way(row, tight[0].at_ns) for row in rows):
        raise HarnessError("no stream was under way when engines were evicted")
    check_controls(site, former, profile)


def ended(site: Site, streams: RunningLoad, profile: TargetProfile) -> list[Request]:
    """Return every stream that was due until the stack was whole again, each at its end."""
    site.stack.wait_ready()
    over_ns = time.time_ns()
    until(
        lambda: settled(streams.rows(), over_ns),
        within_seconds=patience_seconds(profile),
        what="every stream ended",
    )
    return [row for row in streams.rows() if row.sched_ns <= over_ns]


def paths(fabric: Fabric, profile: TargetProfile) -> dict[str, str]:
    """Return since when each path of the GPU nodes stands; empty where nobody tells."""
    if not (profile.fabric.routing and profile.fabric.uplinks):
        return {}
    ends = [(node, link) for node in fabric.nodes for link in fabric.uplinks]
    return {
        f"{node.name} {link}": ", ".join(one.since for one in fabric.bfd(node, link))
        for node, link in ends
    }


def disturbance(
    lost: Sequence[Request],
    overload: float | None,
    before: Mapping[str, str],
    after: Mapping[str, str],
) -> str:
    """Return what else may have broken streams, whoever was maintained; empty: nothing is known."""
    if overload is not None and overload >= OVERLOADED_SHARE:
        return f"somebody waited for a CPU in {overload:.0%} of the time"
    if any("unreachable" in row.detail for row in lost):
        return "we had no route to the gateway ourselves"
    moved = [path for path in before if before[path] != after.get(path)]
    return f"paths came and went, which maintenance touches none of: {', '.join(moved)}" * bool(
        moved
    )


def at_the_lowest(looks: Sequence[Look], wanted: int) -> list[Look]:
    """Return the looks during which fewest served: the first node's engines are not replaced then.

    Raises:
        HarnessError: there is none, so that nobody knows whether a second node would have waited.
    """
    lowest = min(min(one.serving_before, one.serving_after) for one in looks)
    found = [one for one in looks if max(one.serving_before, one.serving_after) == lowest]
    if lowest >= wanted or not found:
        raise HarnessError("every engine was replaced before a second node was asked for")
    return found


def check_controls(site: Site, former: Shape, profile: TargetProfile) -> None:
    """Negative controls: the second node may go afterwards, and a device less would be seen.

    Raises:
        HarnessError: one of them does not hold.
    """
    if not eventually(lambda: site.look().goes, within_seconds=profile.waits.unschedulable_seconds):
        raise HarnessError(f"{site.second.name} may never go, so its waiting shows nothing")
    [name, *_] = former.offered
    fewer = {**former.offered, name: str(int(former.offered[name]) - 1)}
    if not former.differences(replace(former, offered=fewer)):
        raise HarnessError(f"a node with one {name} less goes unnoticed")
