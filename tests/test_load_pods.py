"""Workers as pods: away from accelerators, never throttled, never started twice."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import yaml

from hotfire.cluster import RUN_LABEL, namespaces
from hotfire.errors import HarnessError
from hotfire.load_pods import LoadPods
from hotfire.profile import TargetProfile
from hotfire.traffic.runner.pods import LABELS, NAME, job, led_from_here, workers_on_pods
from hotfire.traffic.runner.rated import rated_load, rated_plan
from hotfire.traffic.workload.plan import LoadPlan
from tests.chaos.platform import run_directory
from tests.fake_api import FakeApi, connect, serving
from tests.ports import free_port

PLAN = LoadPlan(url="http://gateway", model="tiny", workers=3, duration_seconds=60)


def target(pods: dict[str, Any], **load: object) -> TargetProfile:
    return TargetProfile.model_validate(
        {
            "name": "t",
            "gateway": {"url": "http://gateway"},
            "engine": {"model": "tiny"},
            "budgets": "lab",
            "load": {"pods": {"master_host": "10.0.254.1"} | pods, **load},
        }
    )


def made(**pods: Any) -> dict[str, Any]:  # noqa: ANN401 - any field of the section
    profile = target(pods)
    assert isinstance(profile.load.pods, LoadPods)
    return job(PLAN, profile, profile.load.pods, run_id="r1")


def test_each_worker_is_one_pod_that_is_not_replaced() -> None:
    spec = made()["spec"]

    assert (spec["parallelism"], spec["completions"], spec["backoffLimit"]) == (3, 3, 0)
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    assert spec["activeDeadlineSeconds"] > PLAN.duration_seconds
    assert json.loads(json.dumps(spec)) == yaml.safe_load(yaml.safe_dump(spec))


def test_it_prefers_nodes_without_accelerators_and_bears_the_others() -> None:
    pod = made()["spec"]["template"]["spec"]

    (term,) = pod["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    assert term["preference"]["matchExpressions"] == [
        {"key": "nvidia.com/gpu.present", "operator": "NotIn", "values": ["true"]}
    ]
    assert pod["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists"}]


@pytest.mark.parametrize("nodes", [4, 20, 100])
@pytest.mark.parametrize("pods_on_others", [1, 2, 3])
def test_the_wish_to_spread_leaves_that_to_stay_off_accelerators_its_weight(
    nodes: int, pods_on_others: int
) -> None:
    # kube-scheduler 1.36, default weights: 2 for each, and 1 for each of two scores of resources.
    affinity, weight = 2 * 100, 2

    (spread,) = made()["spec"]["template"]["spec"]["topologySpreadConstraints"]

    empty = spread["maxSkew"] - 1
    others = round(pods_on_others * math.log(nodes + 2) + empty)
    assert weight * (100 - 100 * empty // others) <= affinity - 40


def test_it_can_insist_on_nodes_without_accelerators() -> None:
    pod = made(off_accelerators="required")["spec"]["template"]["spec"]

    required = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert required["nodeSelectorTerms"][0]["matchExpressions"][0]["operator"] == "NotIn"
    assert pod["tolerations"] == []


def test_its_clock_is_never_throttled() -> None:
    (container,) = made()["spec"]["template"]["spec"]["containers"]

    assert "limits" not in container["resources"]
    assert container["resources"]["requests"]["cpu"] == "1"


@pytest.mark.parametrize("paths", [[], ["/opt/a", "/opt/b"]])
def test_libraries_of_the_node_are_on_the_path(paths: list[str]) -> None:
    pod = made(host_libraries=paths)["spec"]["template"]["spec"]

    (container,) = pod["containers"]
    environment = {entry["name"]: entry.get("value", "") for entry in container["env"]}
    assert environment.get("PYTHONPATH", "") == ":".join(paths)
    assert [mount["mountPath"] for mount in container["volumeMounts"]] == paths
    assert [volume["hostPath"]["path"] for volume in pod["volumes"]] == paths


@pytest.mark.parametrize(("workers", "at"), [(1, "here"), (2, "elsewhere")])
def test_the_rated_load_of_several_workers_is_led_from_here(workers: int, at: str) -> None:
    assert rated_plan(target({}, workers=workers)).fleet.at == at


@pytest.mark.parametrize("agents_are_there", [True, False])
def test_the_rated_load_has_its_pods_as_long_as_it_lasts(
    agents_are_there: bool, tmp_path: Path
) -> None:
    api, run = FakeApi(), run_directory(tmp_path)
    profile = target({"master_port": free_port()}, workers=2)
    with serving(api) as address:
        cluster = connect(address)
        if agents_are_there:
            namespaces.create(cluster, profile.system_namespace, run_id="r")
        before = api.names("namespaces")
        with rated_load(profile, run, "L", cluster=cluster) as load:
            job = cluster.get("Job", profile.system_namespace, NAME, api_version="batch/v1")
            assert load.alive()

        assert not load.alive()
        assert job is not None
        assert job["spec"]["parallelism"] == 2
        assert job["metadata"]["labels"][RUN_LABEL] == run.info().run_id
        assert api.names("jobs") == []
        assert api.names("namespaces") == before


def test_no_pod_of_a_load_is_left_to_join_the_next(tmp_path: Path) -> None:
    api, profile = FakeApi(), target({})
    plan = led_from_here(PLAN, LoadPods(master_host="h"))
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "w", "labels": LABELS}}
    pod["metadata"] |= {"namespace": profile.system_namespace}  # type: ignore[operator]
    waits = profile.waits.model_copy(update={"pod_gone_seconds": 0.1})
    profile = profile.model_copy(update={"waits": waits})
    with serving(api) as address:
        cluster = connect(address)
        namespaces.create(cluster, profile.system_namespace, run_id="r")
        with (
            pytest.raises(HarnessError, match="the load's pods gone"),
            workers_on_pods(plan, profile=profile, cluster=cluster, run_id="r"),
        ):
            api.put(pod)
