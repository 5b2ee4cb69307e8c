"""Team queues borrow idle accelerators up to their limit and return them on demand.

Without lending, the accelerators of a team that sleeps lie idle; without a limit, one team takes
the whole cluster; without reclaiming, it keeps them, and the owner waits behind somebody else's
training run. Queues of ours stand in for the target's: they have its rules, and little to share.
"""

from dataclasses import asdict, dataclass

import pytest

from fixtures.accelerators import Accelerators
from fixtures.queues import Lending, Queues, lendings
from hotfire import Evidence, Level, TargetProfile, requirement
from hotfire.cluster import Cluster
from hotfire.errors import HarnessError
from hotfire.waiting import of_target

pytestmark = requirement(
    "SCH-010",
    Level.SHOULD,
    __doc__,
    source="https://kueue.sigs.k8s.io/docs/concepts/cluster_queue/",
    features={"team-queues"},
)

# As little as shows it: one of the owner's two may be borrowed.
NOMINAL, LIMIT, OWNED = 1, 1, 2
ALL = NOMINAL + OWNED
# How long nobody may take more, or lose any, while the owner is idle.
HELD_SECONDS = 3.0
AT_MOST_LENDINGS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class StandIns:
    """Two queues of ours with the rules of two of the target's."""

    queues: Queues
    flavor: str
    lending: Lending
    borrower: str
    owner: str

    def make(self) -> None:
        limit = {"borrowingLimit": str(LIMIT)} if self.lending.borrower.limited else {}
        cohort = f"{self.flavor}-{self.borrower}"
        self.queues.queue(
            self.borrower,
            self.flavor,
            {"nominalQuota": str(NOMINAL), **limit},
            cohortName=cohort,
            preemption=self.lending.borrower.preemption,
        )
        self.queues.queue(
            self.owner,
            self.flavor,
            {"nominalQuota": str(OWNED)},
            cohortName=cohort,
            preemption=self.lending.owner.preemption,
        )

    def hand_in(self, queue: str, jobs: int) -> None:
        """Hand in so many Jobs of one accelerator each."""
        for number in range(jobs):
            self.queues.hand_in(queue, f"{queue}-{number}")

    def holding(self) -> dict[str, list[str]]:
        """Return the pods of each that hold an accelerator."""
        return {
            name: [pod.name for pod in self.queues.holders(name)]
            for name in (self.borrower, self.owner)
        }

    def shared(self) -> tuple[int, int]:
        """Return how many accelerators the borrower holds, and how many the owner."""
        held = self.holding()
        return len(held[self.borrower]), len(held[self.owner])


@pytest.fixture
def room(profile: TargetProfile, cluster: Cluster, accelerators: Accelerators) -> int:
    """So many free accelerators that nothing but a quota is in the way."""
    nodes = cluster.nodes(profile.accelerator.node_selector)
    free = sum(accelerators.free(node) for node in nodes if node.ready and not node.unschedulable)
    if free < ALL:
        raise HarnessError(
            f"two queues share {ALL} {profile.accelerator.resource}, {free} are free; free some"
        )
    return free


def test_borrower_keeps_to_its_limit_and_the_owner_gets_back_its_own(
    profile: TargetProfile, cluster: Cluster, queues: Queues, room: int, evidence: Evidence
) -> None:
    found = lendings(cluster, profile.accelerator.resource)
    evidence.record("room", room)
    evidence.record("lendings", [asdict(one) for one in found])
    flavor = queues.flavor()

    for number, lending in enumerate(found[:AT_MOST_LENDINGS]):
        both = StandIns(
            queues=queues,
            flavor=flavor,
            lending=lending,
            borrower=f"borrower-{number}",
            owner=f"owner-{number}",
        )
        both.make()
        check_borrowing(both, evidence)
        check_return(profile, cluster, both, evidence)
        check_control(both)
        queues.take_away(both.borrower)


def check_borrowing(both: StandIns, evidence: Evidence) -> None:
    both.hand_in(both.borrower, ALL)
    took = both.queues.held(both.borrower, NOMINAL + LIMIT)
    before = both.holding()[both.borrower]
    more = of_target(
        lambda: both.shared()[0] > NOMINAL + LIMIT,
        within_seconds=HELD_SECONDS,
        what="more than nominal quota and borrowing limit",
    )
    after = both.holding()[both.borrower]
    evidence.record(f"{both.borrower}_while_the_owner_is_idle", {"before": before, "after": after})

    assert took, f"{both.lending}: {took}; it holds {before}, and the others are idle"
    assert not more, f"{both.lending}: beyond its limit of {NOMINAL} and {LIMIT} it took {after}"
    # Negative control: nobody asks for them, so nothing is taken back.
    assert after == before, f"{both.lending}: its owner idle, {before} became {after}"


def check_return(
    profile: TargetProfile, cluster: Cluster, both: StandIns, evidence: Evidence
) -> None:
    both.hand_in(both.owner, OWNED)
    returned = of_target(
        lambda: both.shared() == (NOMINAL, OWNED),
        within_seconds=profile.waits.reclaim_seconds,
        what=f"{NOMINAL} left to the borrower and {OWNED} with their owner",
        excused_seconds=cluster.silent_seconds,
    )
    held = both.holding()
    evidence.record(f"{both.owner}_asked_for_its_own", held)

    assert returned, f"{both.lending}: {returned}: {held}"


def check_control(both: StandIns) -> None:
    """Negative control: without a limit the borrower takes all that is idle."""
    both.queues.take_away(both.owner)
    both.queues.change(both.borrower, both.flavor, {"nominalQuota": str(NOMINAL)})
    if not (all_of_them := both.queues.held(both.borrower, ALL)):
        raise HarnessError(f"no limit, and yet: {all_of_them}; what held it back is not known")
