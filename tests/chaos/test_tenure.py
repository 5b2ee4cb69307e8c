"""A run has the cluster from its first write to its last, and leaves what it does not have."""

from pathlib import Path

import pytest

from hotfire.chaos import holders
from hotfire.chaos.agent_pods import manifests
from hotfire.chaos.lease import RunLease
from hotfire.chaos.tenure import refuse_occupied, tenure
from hotfire.cluster import Cluster, Estate
from hotfire.errors import HarnessError, ProfileError
from hotfire.profile import TargetProfile
from hotfire.waiting import until
from tests.chaos.platform import NAMESPACE, SYSTEM, run_directory
from tests.fake_api import FakeApi


def nothing() -> None:
    return


def test_two_runs_exclude_each_other_from_beginning_to_end(
    cluster: Cluster, profile: TargetProfile, tmp_path: Path
) -> None:
    first, second = run_directory(tmp_path / "1"), run_directory(tmp_path / "2")

    with tenure(cluster, profile, first, on_lost=nothing):
        with pytest.raises(ProfileError, match="holds this cluster"):
            refuse_occupied(cluster, profile)
        with (
            pytest.raises(HarnessError, match=first.info().run_id),
            tenure(cluster, profile, second, on_lost=nothing),
        ):
            pass
        assert cluster.has_namespace(SYSTEM)
    refuse_occupied(cluster, profile)


def test_its_namespace_goes_with_it(
    cluster: Cluster, profile: TargetProfile, api: FakeApi, tmp_path: Path
) -> None:
    with tenure(cluster, profile, run_directory(tmp_path), on_lost=nothing):
        assert api.names("namespaces") == [SYSTEM, "kube-system"]

    assert api.names("namespaces") == ["kube-system"]


def test_whoever_lost_the_cluster_leaves_its_namespace_to_the_next(
    cluster: Cluster, profile: TargetProfile, tmp_path: Path
) -> None:
    with tenure(cluster, profile, run_directory(tmp_path), on_lost=nothing) as held:
        holders.release(cluster, SYSTEM)
        after = RunLease(cluster, SYSTEM, run_id="b", lease_seconds=60, on_lost=nothing)
        with after:
            until(lambda: held.lost, within_seconds=10, what="the loss noticed")

    assert cluster.has_namespace(SYSTEM)


def test_a_foreign_namespace_is_told_before_anything_is_written(
    cluster: Cluster, profile: TargetProfile, api: FakeApi
) -> None:
    api.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})

    with pytest.raises(ProfileError, match=f"namespace: {NAMESPACE} exists and is not hotfire's"):
        refuse_occupied(cluster, profile)

    assert [one for one in api.requests if not one.startswith("GET")] == []


def test_a_platform_that_is_there_is_welcome_where_nothing_is_deployed(
    cluster: Cluster, profile: TargetProfile, api: FakeApi, tmp_path: Path
) -> None:
    api.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    before = api.objects["v1", "namespaces", "", NAMESPACE]
    given = profile.model_copy(update={"stack": profile.stack.model_copy(update={"deploy": False})})

    refuse_occupied(cluster, given)
    with tenure(cluster, given, run_directory(tmp_path), on_lost=nothing):
        pass

    assert api.objects["v1", "namespaces", "", NAMESPACE] == before
    assert "labels" not in before["metadata"]


def test_no_privileged_label_reaches_a_namespace_of_somebody_else(
    cluster: Cluster, profile: TargetProfile, api: FakeApi
) -> None:
    api.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM}})

    with pytest.raises(ProfileError, match="hotfire-system exists and is not hotfire's"):
        cluster.apply(manifests(profile, run_id="r"))

    assert "labels" not in api.objects["v1", "namespaces", "", SYSTEM]["metadata"]
    assert api.names("daemonsets") == []


def test_agents_of_two_targets_keep_their_entries_apart(profile: TargetProfile) -> None:
    other = profile.model_copy(update={"system_namespace": "team-b-system"})

    folders = {entries_folder(one) for one in (profile, other)}

    assert len(folders) == 2


def entries_folder(profile: TargetProfile) -> str:
    daemon_set = manifests(profile, run_id="r")[-1]
    volumes = daemon_set["spec"]["template"]["spec"]["volumes"]
    [path] = [one["hostPath"]["path"] for one in volumes if "hostPath" in one]
    return str(path)


def test_a_kept_stack_is_welcome_to_the_next_run(
    cluster: Cluster, profile: TargetProfile, tmp_path: Path
) -> None:
    with tenure(cluster, profile, run_directory(tmp_path), on_lost=nothing):
        Estate(cluster, SYSTEM, run_id="r").namespace(NAMESPACE)

    refuse_occupied(cluster, profile)

    assert cluster.has_namespace(NAMESPACE)
