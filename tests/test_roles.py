"""Roles have selectors of their own: found by init, held against the cluster by doctor."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from hotfire.discovery.found import look_around
from hotfire.discovery.target_file import Origin, target_file
from hotfire.doctor.platform import roles
from hotfire.doctor.site import Site
from hotfire.errors import ProfileError
from hotfire.profile import TargetProfile
from tests.fake_api import Document, FakeApi, connect, serving
from tests.foreign_cluster import NAMESPACE, foreign_cluster, put, workload
from tests.test_doctor import site

FIELDS: dict[str, Any] = {
    "name": "acme",
    "gateway": {"url": "http://10.0.0.1"},
    "engine": {"model": "tiny"},
    "budgets": "lab",
}


def service(api: FakeApi, name: str, selector: Document) -> None:
    put(api, "Service", "v1", name, namespace=NAMESPACE, spec={"selector": selector})


def found_by_init(api: FakeApi, tmp_path: Path) -> dict[str, dict[str, str]]:
    with serving(api) as address:
        text = target_file(look_around(connect(address), NAMESPACE), Origin())
    path = tmp_path / "target.yaml"
    path.write_text(text)
    return {str(role): dict(one) for role, one in TargetProfile.read(path).stack.roles.items()}


def of_stage(api: FakeApi, name: str) -> None:
    """Have pods that do one half of the work."""
    workload(api, name)
    for number in range(2):
        pod = api.objects["v1", "pods", NAMESPACE, f"{name}-abc-{number}"]
        pod["metadata"]["labels"] = pod["metadata"]["labels"] | {"llm-d.ai/role": name}


def test_a_cluster_without_roles_gets_none(tmp_path: Path) -> None:
    assert found_by_init(foreign_cluster(), tmp_path) == {}


def test_prefill_and_decode_are_told_apart_by_their_label(tmp_path: Path) -> None:
    api = foreign_cluster()
    of_stage(api, "prefill")
    of_stage(api, "decode")

    assert found_by_init(api, tmp_path) == {
        "prefill": {"app": "prefill", "llm-d.ai/role": "prefill"},
        "decode": {"app": "decode", "llm-d.ai/role": "decode"},
    }


def test_the_picker_is_that_of_the_engine_s_pool(tmp_path: Path) -> None:
    api = foreign_cluster()
    service(api, "epp", {"app": "picker"})
    selector = {"matchLabels": {"app": "llama"}}
    put(
        api, "InferencePool", "inference.networking.k8s.io/v1", "pool", namespace=NAMESPACE,
        spec={"selector": selector, "endpointPickerRef": {"name": "epp"}},
    )  # fmt: skip

    assert found_by_init(api, tmp_path) == {"picker": {"app": "picker"}}


def test_the_canary_gets_the_smaller_share_beside_the_engine(tmp_path: Path) -> None:
    api = foreign_cluster()
    service(api, "llm-next", {"app": "llama", "track": "canary"})
    backends = [{"name": "llm", "weight": 95}, {"name": "llm-next", "weight": 5}]
    route = api.objects["gateway.networking.k8s.io/v1", "httproutes", NAMESPACE, "llm"]
    route["spec"]["rules"][0]["backendRefs"] = backends

    assert found_by_init(api, tmp_path) == {"canary": {"app": "llama", "track": "canary"}}


def test_a_router_is_known_by_its_label(tmp_path: Path) -> None:
    api = foreign_cluster()
    labels = {"environment": "router", "release": "router"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": []}}
    put(api, "Deployment", "apps/v1", "router", namespace=NAMESPACE, spec={"template": template})

    assert found_by_init(api, tmp_path) == {"router": labels}


def read(tmp_path: Path, **changes: Any) -> TargetProfile:  # noqa: ANN401 - any field
    path = tmp_path / "target.yaml"
    path.write_text(yaml.safe_dump(FIELDS | changes))
    return TargetProfile.read(path)


def test_the_engine_s_role_is_its_selector(tmp_path: Path) -> None:
    found = read(tmp_path, stack={"roles": {"engine": {"app": "llama"}}})

    assert found.engine.selector == {"app": "llama"}


def test_two_selectors_of_the_engine_are_refused(tmp_path: Path) -> None:
    engine = {"model": "tiny", "selector": {"app": "vllm"}}

    with pytest.raises(
        ProfileError, match=r"target.yaml: stack.roles.engine: engine.selector says"
    ):
        read(tmp_path, engine=engine, stack={"roles": {"engine": {"app": "llama"}}})


def test_a_role_that_takes_no_pod_is_told() -> None:
    wanted = {"deploy": False, "roles": {"engine": {"app": "llama"}, "picker": {"app": "epp"}}}
    with serving(foreign_cluster()) as address:
        place: Site = site(address, stack=wanted)
        (found,) = roles(place)

    assert found.seen == f"stack.roles.picker {{'app': 'epp'}} takes no pod in {NAMESPACE}"
