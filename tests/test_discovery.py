"""What stands in a cluster comes into the target file with its place; the rest is a guess."""

from collections.abc import Callable
from pathlib import Path

import pytest

from hotfire import TargetProfile, cli, yaml_text
from hotfire.cluster.gangs import KUEUE
from hotfire.discovery.containers import EngineContainer
from hotfire.discovery.found import Found, look_around
from hotfire.discovery.target_file import Origin, target_file
from tests.fake_api import KINDS, FakeApi, connect, serving
from tests.foreign_cluster import (
    GPU,
    NAMESPACE,
    container,
    foreign_cluster,
    part,
    put,
    route,
    workload,
)


def looked(api: FakeApi, namespace: str | None = None) -> Found:
    with serving(api) as address:
        return look_around(connect(address), namespace)


def written(
    api: FakeApi, tmp_path: Path, namespace: str | None = None
) -> tuple[TargetProfile, str]:
    text = target_file(looked(api, namespace), Origin(context="prod"))
    path = tmp_path / "target.yaml"
    path.write_text(text)
    return TargetProfile.read(path), text


def line_of(text: str, key: str) -> str:
    return next(line.strip() for line in text.splitlines() if line.strip().startswith(f"{key}:"))


def test_what_is_there_is_found(tmp_path: Path) -> None:
    profile, _ = written(foreign_cluster(), tmp_path)

    assert profile.namespace == NAMESPACE
    assert profile.gateway.url == "https://10.1.2.3:8443"
    assert (profile.gateway.base_path, profile.gateway.class_name) == ("/team/llama", "acme")
    assert profile.gateway.host == profile.gateway.server_name == "llm.example.org"
    assert (profile.engine.model, profile.engine.aliases) == ("llama", ["llama-3"])
    assert profile.engine.selector == {"app": "llama"}
    assert (profile.engine.container, profile.engine.port) == ("main", 8080)
    assert not profile.stack.deploy
    assert profile.accelerator.resource == GPU
    assert profile.accelerator.taint_key == "example.com/accelerated"
    assert profile.accelerator.node_selector == {"example.com/accelerator": "mi300"}
    assert profile.prometheus_url == "http://prometheus.monitoring:9090"
    assert profile.claims == {"device-taints", "metrics-store"}
    assert profile.components["monitoring"].kind == "StatefulSet"
    assert profile.components["gateway-control-plane"].name == "istiod"


def test_each_value_says_where_it_was_found_or_that_it_is_a_guess(tmp_path: Path) -> None:
    _, text = written(foreign_cluster(), tmp_path)

    values = [
        line for line in text.splitlines() if ": " in line and not line.strip().startswith("#")
    ]
    assert [line for line in values if " # " not in line] == []
    assert "# selector of Deployment llama" in line_of(text, "selector")
    assert "status.addresses of Gateway edge/public" in line_of(text, "url")
    assert "# guessed: " in line_of(text, "budgets")
    assert "# guessed: " in line_of(text, "prometheus_url")
    assert "device plugin: DaemonSet kube-system/amd-device-plugin" in text


def test_an_empty_cluster_gets_the_reference_stack(tmp_path: Path) -> None:
    profile, text = written(FakeApi(), tmp_path)

    assert profile.stack.deploy
    assert "# guessed: " in line_of(text, "url")
    assert "# guessed: " in line_of(text, "model")


def test_without_an_engine_a_gateway_with_an_address_is_a_guess(tmp_path: Path) -> None:
    api = FakeApi()
    route(api)

    profile, text = written(api, tmp_path)

    assert profile.gateway.url == "https://10.1.2.3:8443"
    assert "# guessed: status.addresses of Gateway edge/public" in line_of(text, "url")


def test_of_two_candidates_one_is_taken_and_the_other_told(tmp_path: Path) -> None:
    api = foreign_cluster()
    workload(api, "mistral", replicas=1)

    profile, text = written(api, tmp_path)

    assert profile.engine.selector == {"app": "llama"}
    assert "# or ReplicaSet mistral-abc of Deployment mistral in chat: 1 pods" in text


def test_what_holds_accelerators_and_is_no_engine_is_told_and_not_taken(tmp_path: Path) -> None:
    api = foreign_cluster()
    own = {"name": "c", "image": "train", "resources": {"limits": {GPU: "8"}}}
    job = ("Job", "batch/v1", "train")
    put(api, "Job", "batch/v1", "train", namespace="ml")
    put(api, "Pod", "v1", "train-1", namespace="ml", owner=job, spec={"containers": [own]})

    _, text = written(api, tmp_path)

    assert f"also holds {GPU}: Job train in ml" in text


def test_a_gateway_without_an_address_is_no_way_in(tmp_path: Path) -> None:
    api = foreign_cluster()
    route(api, address=None)

    profile, text = written(api, tmp_path)

    assert profile.gateway.url == "http://10.96.0.9"
    assert "# guessed: spec.clusterIP of Service chat/llm" in line_of(text, "url")


def test_a_pool_leads_to_the_engine_as_a_service_does(tmp_path: Path) -> None:
    api = foreign_cluster()
    selector = {"matchLabels": {"app": "llama"}}
    put(
        api, "InferencePool", "inference.networking.k8s.io/v1", "llama-pool", namespace=NAMESPACE,
        spec={"selector": selector, "targetPorts": [{"number": 8080}]},
    )  # fmt: skip

    _, text = written(api, tmp_path)

    assert "InferencePools: llama-pool; Services: llm" in text


def test_pods_of_an_unknown_owner_are_selected_by_the_labels_that_they_share(
    tmp_path: Path,
) -> None:
    api = FakeApi()
    for number in range(2):
        labels = {"app": "x", "role": "decode", "pod-template-hash": f"h{number}"}
        owner = ("Unheard", "example.org/v9", "graph")
        spec = {"containers": [container()]}
        put(api, "Pod", "v1", f"p{number}", namespace="d", labels=labels, owner=owner, spec=spec)

    profile, text = written(api, tmp_path)

    assert profile.engine.selector == {"app": "x", "role": "decode"}
    assert "# guessed: labels that its 2 pods share" in line_of(text, "selector")


def test_a_claim_holds_an_accelerator_as_a_resource_does() -> None:
    api = FakeApi()
    claims = [{"name": "gpu", "resourceClaimTemplateName": "gpu"}]
    spec = {"containers": [container(resources={})], "resourceClaims": claims}
    put(api, "Pod", "v1", "p", namespace="d", labels={"app": "x"}, spec=spec)

    (holder,) = looked(api).holders

    assert holder.held == "1 resource claim"


def test_what_may_not_be_seen_is_told(tmp_path: Path) -> None:
    api = foreign_cluster()
    api.refuse["GET nodes"] = 403

    _, text = written(api, tmp_path)

    assert "# Not seen: Node in all namespaces: these credentials may not list it" in text


def test_routes_of_the_engine_s_namespace_are_seen_where_not_all_are(tmp_path: Path) -> None:
    api = foreign_cluster()
    # The list of all namespaces is the first that is asked for.
    api.troubles["GET httproutes"] = [403]

    profile, _ = written(api, tmp_path)

    assert profile.gateway.url == "https://10.1.2.3:8443"


def test_a_long_list_is_read_page_by_page() -> None:
    api = foreign_cluster()
    for number in range(1200):
        put(api, "Pod", "v1", f"idle-{number}", namespace="idle", spec={"containers": []})

    found = looked(api)

    assert api.requests[:4] == ["GET pods"] * 3 + ["GET replicasets"]
    assert [len(one.pods) for one in found.holders] == [2]


@pytest.mark.parametrize(
    ("changes", "models"),
    [
        ({"args": ["--model=m"]}, ("--model", ["m"])),
        ({"args": ["--model", "m", "--served-model-name=s"]}, ("--served-model-name", ["s"])),
        ({"command": ["vllm", "serve", "org/m"], "args": []}, ("vllm serve", ["org/m"])),
        ({"args": ["--model-id", "org/m"]}, ("--model-id", ["org/m"])),
        ({"command": [], "args": ["--port", "1"]}, ("", [])),
    ],
)
def test_a_model_s_name_is_read_from_the_arguments(
    changes: dict[str, list[str]], models: tuple[str, list[str]]
) -> None:
    assert (
        EngineContainer.parse(container(**{"args": [], "command": [], **changes})).models()
        == models
    )


@pytest.mark.parametrize(
    ("image", "kind"),
    [
        ("vllm/vllm-openai:v1", "vllm"),
        ("lmsysorg/sglang:v1", "sglang"),
        ("ghcr.io/huggingface/text-generation-inference", "tgi"),
        ("ghcr.io/ggml-org/llama.cpp:server", "llama-cpp"),
        ("ghcr.io/llm-d/llm-d-inference-sim:v0.10.2", "llm-d-inference-sim"),
        ("nginx", None),
    ],
)
def test_an_engine_is_known_by_its_image(image: str, kind: str | None) -> None:
    assert EngineContainer.parse(container(image=image, command=[], args=[])).kind == kind


def test_an_engine_that_nothing_names_is_known_by_its_page() -> None:
    api = FakeApi()
    workload(api, "llama", image="registry.example/chat:1", command=["serve"])
    api.pages["llama-abc-0", "8080", "/metrics"] = "# HELP x\nvllm:num_requests_running 0\n"

    # Of the two that have this name, the one that it is called after.
    assert looked(api).kind.value == "vllm"


def kubeconfig(tmp_path: Path) -> Callable[[str], Path]:
    def write(address: str) -> Path:
        path = tmp_path / "kubeconfig"
        path.write_text(
            "apiVersion: v1\nkind: Config\ncurrent-context: prod\n"
            f"clusters: [{{name: c, cluster: {{server: '{address}'}}}}]\n"
            "users: [{name: u, user: {}}]\n"
            "contexts: [{name: prod, context: {cluster: c, user: u}}]\n"
        )
        return path

    return write


def test_the_command_writes_a_file_that_can_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "target.yaml"
    with serving(foreign_cluster()) as address:
        options = ["--kubeconfig", str(kubeconfig(tmp_path)(address)), "--context", "prod"]
        assert cli.run(["init", *options, "--output", str(output)]) == 0
        assert cli.run(["init", *options, "--output", str(output)]) == 254

    told = capsys.readouterr()
    assert TargetProfile.read(output).context == "prod"
    assert "lines marked `# guessed`" in told.out
    assert "exists already" in told.err


def test_a_context_that_is_not_there_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = kubeconfig(tmp_path)("http://127.0.0.1:1")

    assert cli.run(["init", "--kubeconfig", str(path), "--context", "other"]) == 254

    assert capsys.readouterr().err.count("\n") == 1


def test_what_scales_and_gangs_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    api = foreign_cluster()
    monkeypatch.setitem(KINDS, KUEUE, {"ClusterQueue": False})
    part(api, "Deployment", "kueue-controller-manager", namespace="kueue-system")

    profile, text = written(api, tmp_path)

    assert "gang-scheduling" in profile.claims
    assert f"gang-scheduling: ClusterQueue of {KUEUE}" in text
    assert "gang scheduler: Deployment kueue-system/kueue-controller-manager" in text
    assert yaml_text.read(text)["name"] == "prod"


def test_gangs_that_no_check_can_try_are_told_and_not_claimed(tmp_path: Path) -> None:
    api = foreign_cluster()
    part(api, "Deployment", "volcano-scheduler", namespace="volcano-system")

    profile, text = written(api, tmp_path)

    assert "gang-scheduling" not in profile.claims
    assert "gang scheduler: Deployment volcano-system/volcano-scheduler" in text
    assert "how it is asked for a gang is not known here" in text
