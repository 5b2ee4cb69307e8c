"""Workers as pods: away from accelerators, never throttled, never started twice."""

import json
from typing import Any

import pytest
import yaml

from hotfire.profile import LoadPods, TargetProfile
from hotfire.traffic.plan import LoadPlan
from hotfire.traffic.pods import job

PLAN = LoadPlan(url="http://gateway", model="tiny", workers=3, duration_seconds=60)


def made(**pods: Any) -> dict[str, Any]:  # noqa: ANN401 - any field of the section
    profile = TargetProfile.model_validate(
        {
            "name": "t",
            "gateway": {"url": "http://gateway"},
            "engine": {"model": "tiny"},
            "budgets": "lab",
            "load": {"pods": {"master_host": "10.0.254.1"} | pods},
        }
    )
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
    environment = {entry["name"]: entry["value"] for entry in container["env"]}
    assert environment.get("PYTHONPATH", "") == ":".join(paths)
    assert [mount["mountPath"] for mount in container["volumeMounts"]] == paths
    assert [volume["hostPath"]["path"] for volume in pod["volumes"]] == paths
