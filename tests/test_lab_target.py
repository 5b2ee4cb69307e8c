"""The lab's own target file is a valid one, and fits the lab."""

import importlib.util
from pathlib import Path

import pytest

from hotfire.cli import catalogue
from hotfire.lab.cluster.target import document
from hotfire.lab.lab import Lab
from hotfire.lab.shape.state import Ports
from hotfire.lab.shape.topology import Topology
from hotfire.own_folders import project_root
from hotfire.profile import TargetProfile


@pytest.fixture
def profile(tmp_path: Path) -> TargetProfile:
    lab = Lab(tmp_path, home=tmp_path, ports=Ports(gateway=2, prometheus=3))
    lab._write_target(Topology())
    return TargetProfile.read(lab.state.target)


def test_target_file_is_a_valid_profile_beside_its_kubeconfig(
    profile: TargetProfile, tmp_path: Path
) -> None:
    assert profile.kubeconfig == tmp_path / "kubeconfig"


def test_host_reaches_the_lab_through_the_chosen_ports(profile: TargetProfile) -> None:
    assert profile.gateway.reachable_url == "http://127.0.0.1:2"
    assert profile.prometheus_url == "http://127.0.0.1:3"


def test_members_that_are_no_nodes_are_asked_through_their_door(
    profile: TargetProfile, tmp_path: Path
) -> None:
    agents = profile.control_plane.agents

    assert list(agents) == ["cp1"]
    assert agents["cp1"][-2:] == [str(tmp_path), "cp1"]
    assert importlib.util.find_spec(agents["cp1"][2])
    assert {"control-plane-services", "redundant-uplinks"} < profile.claims
    assert "redundant-control-plane" not in profile.claims


def test_alert_of_an_uplink_is_declared_where_one_may_be_lost(
    profile: TargetProfile, tmp_path: Path
) -> None:
    one = document(Topology(uplinks=1), Ports(gateway=2, prometheus=3), tmp_path)

    assert "alerts" in profile.claims
    assert profile.alerts
    assert "alerts" not in one["claims"]


def test_power_is_cut_and_restored_by_a_command_that_is_there(profile: TargetProfile) -> None:
    assert (profile.power.cut[-1], profile.power.restore[-1]) == ("cut", "restore")
    assert importlib.util.find_spec(profile.power.cut[2])


def test_load_runs_on_the_client_machine(profile: TargetProfile) -> None:
    assert profile.gateway.network_namespace == Topology().client.network_namespace


def test_uplinks_are_those_of_the_fabric(profile: TargetProfile) -> None:
    cables = {link.uplink for link in Topology().links}

    assert set(profile.fabric.uplinks) == cables


def test_failing_gpus_are_played_where_the_target_says_that_it_can(profile: TargetProfile) -> None:
    claim, root = "playable-gpu-failures", project_root()
    entries = {one.requirement.id: one.requirement.features for one in catalogue.entries(root)}

    assert claim in profile.claims
    asking = {id_ for id_, features in entries.items() if claim in features}
    assert asking == {"GPU-008", "FLT-GPU-002", "FLT-GPU-006"}
