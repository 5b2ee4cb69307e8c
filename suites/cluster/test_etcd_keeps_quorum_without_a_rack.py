"""etcd keeps quorum when any one failure domain is lost.

Without a majority of its members etcd takes no write, and the cluster replaces nothing that breaks
from then on. Three members are no better than one where two of them share a rack. For some seconds
members are stopped, never their data; nobody who is served a token asks them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count

import pytest

from fixtures.breaks import Breaks
from fixtures.control_plane import ETCD, ControlPlane
from fixtures.scratch import Scratch
from hotfire import Evidence, Level, TargetProfile, requirement
from hotfire.cluster import Cluster
from hotfire.errors import ClusterError, HarnessError
from hotfire.waiting import Awaited, of_target, until

pytestmark = requirement(
    "CLU-004",
    Level.MUST,
    __doc__,
    source="https://etcd.io/docs/v3.6/faq/#why-an-odd-number-of-cluster-members",
    features={"control-plane-services", "redundant-control-plane"},
)

FEWEST = 3
WRITE_SECONDS = 5.0
TRY_SECONDS = 1.0
BACK_SECONDS = 60.0


def shortcomings(racks: Mapping[str, list[str]]) -> list[str]:
    """Return why the loss of one rack may take the quorum of these members."""
    total = sum(map(len, racks.values()))
    found = [] if total >= FEWEST else [f"there are {total} members, and {FEWEST} are needed"]
    if total % 2 == 0:
        found.append(f"of {total} members no more may be lost than of {total - 1}")
    for rack, names in racks.items():
        if total - len(names) < majority(total):
            found.append(f"without {rack} {total - len(names)} of {total} members are left")
    return found


def majority(members: int) -> int:
    return members // 2 + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Writes:
    """Writes to the API as an impatient client makes them, each another one."""

    cluster: Cluster
    namespace: str
    turns: Iterator[int] = field(default_factory=count)

    def accepted(self) -> bool:
        """Return whether a write is taken within a second."""
        metadata = {"name": "written", "namespace": self.namespace}
        document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
        try:
            self.cluster.apply([document | {"data": {"turn": str(next(self.turns))}}])
        except ClusterError:
            return False
        return True

    def wait(self, within_seconds: float) -> Awaited[bool]:
        return of_target(
            self.accepted, within_seconds=within_seconds, what="a write to the API taken"
        )


@pytest.fixture
def writes(profile: TargetProfile, scratch: Scratch) -> Writes:
    """Writes into a namespace of their own, that are taken now."""
    quick = profile.waits.model_copy(update={"api_seconds": TRY_SECONDS})
    cluster = Cluster.connect(profile.model_copy(update={"waits": quick})).expecting_silence()
    made = Writes(cluster=cluster, namespace=scratch.namespace)
    until(made.accepted, within_seconds=WRITE_SECONDS, what="a write before anything is stopped")
    return made


@pytest.fixture
def racks(control_plane: ControlPlane, evidence: Evidence) -> dict[str, list[str]]:
    """The members of etcd by their racks."""
    found = control_plane.by_rack(control_plane.running(ETCD))
    evidence.record("members_of_etcd", found)
    return found


def test_no_rack_holds_what_quorum_needs(racks: dict[str, list[str]]) -> None:
    wrong = shortcomings(racks)

    assert not wrong, "; ".join(wrong)
    # Negative control: the same members in one rack, and one of them alone, are reported.
    everybody = [name for names in racks.values() for name in names]
    for altered in ({"one": everybody}, {"one": everybody[:1]}):
        if not shortcomings(altered):
            raise HarnessError(f"members that stand like {altered} go unnoticed")


def test_writes_are_taken_while_a_rack_is_away(
    racks: dict[str, list[str]], breaks: Breaks, writes: Writes, evidence: Evidence
) -> None:
    # Nobody stops a quorum to see what is known already.
    wrong = shortcomings(racks)
    assert not wrong, f"not tried: {'; '.join(wrong)}"
    lost = max(racks.values(), key=len)
    breaks.stop_service(ETCD, lost)
    taken = writes.wait(WRITE_SECONDS)
    breaks.undo_all()
    evidence.record("stopped", lost)
    evidence.record("a_write_was_taken", bool(taken))

    assert taken, f"without {', '.join(lost)}: {taken}"
    check_control(racks, breaks, writes, evidence)


def check_control(
    racks: Mapping[str, list[str]],
    breaks: Breaks,
    writes: Writes,
    evidence: Evidence,
) -> None:
    """Negative control: with a majority stopped, and nothing else changed, no write is taken."""
    everybody = [name for names in racks.values() for name in names]
    most = everybody[: majority(len(everybody))]
    breaks.stop_service(ETCD, most)
    taken = writes.wait(WRITE_SECONDS)
    breaks.undo_all()
    until(writes.accepted, within_seconds=BACK_SECONDS, what="writes with every member back")
    evidence.record("a_write_without_a_majority", bool(taken))
    if taken:
        raise HarnessError(f"a write was taken without {', '.join(most)}, so none can be missed")
