"""A controller's leader that loses its Lease, without anybody at the control plane."""

import pytest

from hotfire.chaos.plan import Plan, World
from hotfire.chaos.sightings.leader_changed import LeaderChanged
from hotfire.chaos.steps.lease_take import TAKER, LeaseTake
from hotfire.chaos.targets.leader import LEASES, Leader
from hotfire.errors import FaultNotInjected, HarnessError
from tests.chaos.platform import Platform
from tests.chaos.scenes import entry, scene, unnoted
from tests.fake_api import FakeApi

KEY = (LEASES, "leases", "kube-system", "kube-scheduler")
WORD = Leader(lease="kube-scheduler")


def lead(api: FakeApi, holder: str) -> None:
    """Write a holder into the Lease, as a controller does."""
    if KEY in api.objects:
        api.objects[KEY]["spec"]["holderIdentity"] = holder
        return
    metadata = {"name": "kube-scheduler", "namespace": "kube-system"}
    document = {"apiVersion": LEASES, "kind": "Lease", "metadata": metadata}
    api.put({**document, "spec": {"holderIdentity": holder, "leaseDurationSeconds": 15}})


@pytest.fixture
def plan(world: World, api: FakeApi, platform: Platform) -> Plan:
    lead(api, "cp1_a")
    return WORD.resolve(world, "FLT-CTL-004")


def test_the_target_is_the_lease_and_every_engine_a_bystander(plan: Plan) -> None:
    assert [str(one).partition(" (")[0] for one in plan.targets] == [
        "workload kube-system/kube-scheduler"
    ]
    assert [one.name for one in plan.bystanders] == ["engine-1", "engine-2"]


def test_a_control_plane_that_elects_nobody_is_refused(world: World) -> None:
    with pytest.raises(HarnessError, match="nobody holds a Lease kube-scheduler in kube-system"):
        WORD.resolve(world, "FLT-CTL-004")


def test_a_rehearsal_takes_nothing(world: World, api: FakeApi, plan: Plan) -> None:
    LeaseTake().rehearse(world, plan.targets[0])

    assert api.objects[KEY]["spec"]["holderIdentity"] == "cp1_a"


def test_who_may_not_write_the_lease_finds_out_before_firing(
    world: World, api: FakeApi, plan: Plan
) -> None:
    api.refuse["PATCH leases"] = 403

    with pytest.raises(HarnessError, match="403"):
        LeaseTake().rehearse(world, plan.targets[0])
    with pytest.raises(FaultNotInjected, match="was not taken"):
        LeaseTake().fire(world, entry(plan.targets[0]))


def test_the_taken_lease_keeps_all_but_its_holder(world: World, api: FakeApi, plan: Plan) -> None:
    LeaseTake().fire(world, entry(plan.targets[0]))

    found = api.objects[KEY]
    assert found["spec"] == {"holderIdentity": TAKER, "leaseDurationSeconds": 15}
    assert "labels" not in found["metadata"]


@pytest.mark.parametrize(
    ("holder", "seen"), [("cp1_a", "no"), (TAKER, "no"), ("", "no"), ("cp2_b", "yes")]
)
def test_the_leader_has_changed_when_another_one_leads(
    world: World, api: FakeApi, plan: Plan, holder: str, seen: str
) -> None:
    before = scene(world, plan, LeaderChanged())
    lead(api, holder)

    assert LeaderChanged().look(before).seen == seen


def test_a_change_is_unknown_where_nobody_noted_the_leader(world: World, plan: Plan) -> None:
    with pytest.raises(HarnessError, match="nobody noted the leader"):
        LeaderChanged().look(unnoted(scene(world, plan)))


def test_a_lease_that_is_gone_tells_nothing(world: World, api: FakeApi, plan: Plan) -> None:
    before = scene(world, plan, LeaderChanged())
    api.remove(KEY)

    with pytest.raises(HarnessError, match="is gone"):
        LeaderChanged().look(before)
