"""kubectl's answers and failures, and the lab's own manifests."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from hotfire.errors import LabError
from hotfire.lab.cluster import add_ons, readiness
from hotfire.lab.cluster.kube import Kubectl, condition, fill, serves
from hotfire.lab.shape.topology import GATEWAY_ADDRESS, Topology

READY = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
MakeKubectl = Callable[[str], Kubectl]


@pytest.fixture
def kubectl(tmp_path: Path) -> MakeKubectl:
    """Make a kubectl that is a shell script."""

    def make(script: str) -> Kubectl:
        binary = tmp_path / "kubectl"
        binary.write_text(f"#!/bin/sh\n{script}\n")
        binary.chmod(0o755)
        return Kubectl(binary, tmp_path / "kubeconfig")

    return make


def test_words_in_a_manifest_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text("address: ${ADDRESS}, cost: $$1")

    assert fill(tmp_path / "m.yaml", {"ADDRESS": "10.0.0.1"}) == "address: 10.0.0.1, cost: $1"


def test_unknown_word_in_a_manifest_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text("${ADRESS}")

    with pytest.raises(KeyError, match="ADRESS"):
        fill(tmp_path / "m.yaml", {"ADDRESS": "10.0.0.1"})


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (READY, True),
        ({"status": {"conditions": [{"type": "Ready", "status": "False"}]}}, False),
        ({"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}, False),
        ({"status": {"conditions": [{"type": "Available", "status": "True"}]}}, False),
        ({"status": {}}, False),
        ({}, False),
    ],
)
def test_condition_holds_only_when_its_status_is_true(
    item: dict[str, object], expected: bool
) -> None:
    assert condition(item, "Ready") is expected


@pytest.mark.parametrize(
    ("generation", "ready", "desired", "expected"),
    [(1, 3, 3, True), (1, 2, 3, False), (1, 0, 0, True), (0, 0, 0, False)],
)
def test_a_daemon_set_serves_where_its_controller_wants_it(
    generation: int, ready: int, desired: int, expected: bool
) -> None:
    status = {"observedGeneration": generation, "numberReady": ready}
    status["desiredNumberScheduled"] = desired

    item = {"kind": "DaemonSet", "metadata": {"generation": 1}, "status": status}

    assert serves(item) is expected


def test_failed_kubectl_tells_its_words_and_its_reason(kubectl: MakeKubectl) -> None:
    broken = kubectl("echo refused >&2; exit 1")

    with pytest.raises(LabError, match=r"^kubectl get pods: refused$"):
        broken.run("get", "pods")


def test_hanging_kubectl_is_given_up(kubectl: MakeKubectl) -> None:
    hanging = kubectl("exec sleep 60")

    with pytest.raises(LabError, match=r"^kubectl get took over 0.1 s$"):
        hanging.run("get", "pods", within_seconds=0.1)


def test_kubectl_uses_the_labs_kubeconfig_and_reads_its_input(kubectl: MakeKubectl) -> None:
    echo = kubectl('echo "$1"; cat')

    said = echo.run("apply", stdin="text")

    assert said == f"--kubeconfig={echo.kubeconfig}\ntext"


@pytest.mark.parametrize("answer", [{"items": [READY]}, READY])
def test_items_are_those_of_a_list_or_the_one_object(
    kubectl: MakeKubectl, answer: dict[str, object]
) -> None:
    assert kubectl(f"echo '{json.dumps(answer)}'").items("node") == [READY]


def apply_core(kubectl: Kubectl) -> None:
    add_ons.apply_core(kubectl, Topology())


@pytest.mark.parametrize(
    ("apply", "kinds"),
    [
        (apply_core, {"Deployment", "DaemonSet", "Service", "ConfigMap"}),
        (add_ons.apply_gateway, {"Gateway", "GatewayClass"}),
    ],
)
def test_own_manifests_are_applied_filled_and_whole(
    kubectl: MakeKubectl, tmp_path: Path, apply: Callable[[Kubectl], None], kinds: set[str]
) -> None:
    apply(kubectl(f"cat > {tmp_path}/applied.yaml"))

    text = (tmp_path / "applied.yaml").read_text()
    assert "${" not in text
    assert kinds <= {each["kind"] for each in yaml.safe_load_all(text)}


def test_gateway_gets_the_address_that_the_target_file_names(
    kubectl: MakeKubectl, tmp_path: Path
) -> None:
    add_ons.apply_gateway(kubectl(f"cat > {tmp_path}/applied.yaml"))

    assert GATEWAY_ADDRESS in (tmp_path / "applied.yaml").read_text()


def test_nodes_are_awaited_until_all_are_ready(kubectl: MakeKubectl, tmp_path: Path) -> None:
    two = json.dumps({"items": [READY, READY]})
    one = json.dumps({"items": [READY, {}]})
    asked = tmp_path / "asked"
    slow = kubectl(
        f"echo x >> {asked}; [ $(wc -l < {asked}) -ge 2 ] && echo '{two}' || echo '{one}'"
    )

    readiness.wait_nodes(Topology(nodes=2), slow)

    assert len(asked.read_text().splitlines()) == 2


def test_node_without_a_device_plugin_offers_no_gpus() -> None:
    allocatable = {"cpu": "2", "nvidia.com/gpu": "0", "nvidia.com/mig-1g.10gb": "7"}

    assert readiness.gpus({"status": {"allocatable": {"cpu": "2"}}}) == {}
    assert readiness.gpus({"status": {"allocatable": allocatable}}) == {"nvidia.com/mig-1g.10gb": 7}


@pytest.mark.parametrize(
    ("verb", "then"),
    [
        ("get", "exit 0"),
        ("create", "echo 'Error from server (AlreadyExists): x already exists' >&2; exit 1"),
    ],
)
def test_a_call_that_breaks_off_is_tried_again_while_the_lab_starts(
    kubectl: MakeKubectl, tmp_path: Path, verb: str, then: str
) -> None:
    calls = tmp_path / "calls"
    broken = f"[ $(wc -l < {calls}) -ge 2 ] || {{ echo 'unexpected EOF' >&2; exit 1; }}"
    once = kubectl(f"echo x >> {calls}; {broken}; {then}")

    replace(once, attempts=3).run(verb, "nodes")

    assert len(calls.read_text().splitlines()) == 2
    calls.unlink()
    with pytest.raises(LabError, match=f"kubectl {verb} nodes: unexpected EOF"):
        once.run(verb, "nodes")


def test_what_exists_already_is_an_error_where_nothing_broke_off(kubectl: MakeKubectl) -> None:
    exists = kubectl("echo 'x already exists' >&2; exit 1")

    with pytest.raises(LabError, match="already exists"):
        replace(exists, attempts=3).run("create", "x")
