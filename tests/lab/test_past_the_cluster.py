"""The commands of the lab's target file reach what the cluster itself does not."""

import pytest

from hotfire.chaos import outside
from hotfire.chaos.agent_client import AgentClient
from hotfire.chaos.readings import service
from hotfire.cluster import Cluster
from hotfire.lab.handles import agents
from hotfire.lab.lab import Lab
from hotfire.profile import TargetProfile

pytestmark = pytest.mark.lab

POWERED_SECONDS = 120.0


@pytest.fixture
def profile(lab: Lab) -> TargetProfile:
    return TargetProfile.read(lab.state.target)


def test_members_of_the_control_plane_are_asked_and_the_lab_is_not_locked_out(
    lab: Lab, profile: TargetProfile
) -> None:
    agent = AgentClient(Cluster.connect(profile), profile, token=1 << 40)

    assert service(agent, "cp1", "kube-apiserver").pid
    assert agent.is_ours("cp1")
    # An order of nobody's run is still taken.
    order = {"id": "u-door", "ttl_seconds": 30, "service": "kube-scheduler", "signal": "STOP"}
    agents.ask(lab.rack, "cp1", "process.signal", **order)
    assert agents.ask(lab.rack, "cp1", "heal", id="u-door") == {"problems": []}


def test_power_is_cut_and_given_back_and_a_strange_node_is_refused(
    lab: Lab, profile: TargetProfile
) -> None:
    cut, restore = profile.power.cut, profile.power.restore
    try:
        done = outside.run([*cut, "n3", "100"], within_seconds=POWERED_SECONDS)
        assert done.rc == 0, done.stderr
        assert lab.rack.pid("n3") is None
    finally:
        back = outside.run([*restore, "n3"], within_seconds=POWERED_SECONDS)

    assert back.rc == 0, back.stderr
    assert lab.rack.pid("n3")
    strange = outside.run([*cut, "n9", "100"], within_seconds=POWERED_SECONDS)
    assert strange.rc == 1
    assert "n9/power" in strange.stderr
