"""GPU capacity spans at least two nodes and two racks.

A rack shares a power feed and its routers: what all stands in one of them is lost at once, whatever
else is redundant. Whether the labels tell where nodes really stand, only an inventory knows.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from fixtures.survey import Survey
from hotfire import Evidence, Level, Scope, TargetProfile, requirement
from hotfire.errors import HarnessError

pytestmark = requirement(
    "CLU-002",
    Level.MUST,
    __doc__,
    source="https://kubernetes.io/docs/setup/best-practices/multiple-zones/",
    scope=Scope.SMOKE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where accelerators are, and how many a node offers there."""

    rack: str
    accelerators: int


def shortcomings(places: Mapping[str, Place]) -> list[str]:
    """Return why the loss of one node or rack may take all accelerators."""
    nodes = {name: place for name, place in places.items() if place.accelerators}
    racks = Counter[str]()
    for place in nodes.values():
        racks[place.rack] += place.accelerators
    found = [f"{name} is in no rack" for name, place in nodes.items() if not place.rack]
    if len(nodes) < 2:
        found.append(f"all accelerators are in {', '.join(nodes) or 'no node'}")
    if len(racks) < 2:
        found.append(f"all accelerators are in rack {', '.join(racks) or 'none'}")
    return found


def test_gpus_span_nodes_and_racks(
    profile: TargetProfile, survey: Survey, evidence: Evidence
) -> None:
    resource, label = profile.accelerator.resource, profile.fabric.rack_label
    places = {
        node.name: Place(
            rack=node.labels.get(label, ""),
            accelerators=int(node.allocatable.get(resource, "0")),
        )
        for node in survey.nodes()
        if node.ready
    }
    evidence.record("rack_label", label)
    evidence.record(
        "racks_and_accelerators", {name: (p.rack, p.accelerators) for name, p in places.items()}
    )
    if not any(place.accelerators for place in places.values()):
        raise HarnessError(f"no ready node offers {resource}; set `accelerator`")

    wrong = shortcomings(places)
    assert not wrong, f"{'; '.join(wrong)} (racks by label {label})"
    check_control(places)


def check_control(places: Mapping[str, Place]) -> None:
    """Negative control: the same nodes in one rack, one node alone, one in no rack are reported."""
    first, *_ = (name for name, place in places.items() if place.accelerators)
    rack = places[first].rack
    altered = {
        "all in one rack": {name: replace(place, rack=rack) for name, place in places.items()},
        "one node alone": {first: places[first]},
        "one in no rack": {**places, first: replace(places[first], rack="")},
    }
    for what, one in altered.items():
        if not shortcomings(one):
            raise HarnessError(f"{what} goes unnoticed: {one}")
