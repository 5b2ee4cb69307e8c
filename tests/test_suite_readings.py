"""What the checks make of what they read; the programs they run in pods, run here."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hotfire.errors import HarnessError
from suites.gpu.test_gpu_labels_match_the_hardware import Hardware, differences, read
from suites.gpu.test_gpu_labels_match_the_hardware import check_control as labels_unnoticed
from suites.lifecycle.test_engine_pods_inherit_no_service_variables import inherited, port_variable
from suites.security.test_pods_reach_only_their_own_accelerators import (
    LIST,
    OPEN,
    Holder,
    apart,
    check_control,
    reached,
)
from suites.storage.test_engines_mount_model_files_read_only import TRY, check_clear

OF_SERVICE = ("VLLM_SERVICE_HOST", "VLLM_SERVICE_PORT_HTTP", "VLLM_PORT", "VLLM_PORT_80_TCP_PROTO")
OTHERS = ("VLLM_PORTABLE", "VLLM_LOGGING", "KUBERNETES_SERVICE_HOST", "KUBERNETES_PORT", "PORT")
CARD = Hardware(product="NVIDIA-H100-80GB-HBM3", memory_mebibytes=81559, count=8)
LABELS = {"product": "NVIDIA-H100-80GB-HBM3", "memory": "81559", "count": "8"}


def ran(program: str, *words: str) -> dict[str, Any]:
    argv = [sys.executable, "-c", program, *words]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def holder(name: str, **nodes: str) -> Holder:
    """Return a holder of a device of its own."""
    paths = {f"/dev/{node}": number for node, number in nodes.items()}
    return Holder(name=name, devices=frozenset({name}), nodes=paths)


def test_only_variables_that_stand_for_a_service_are_inherited() -> None:
    environment = "\0".join(f"{name}=x" for name in (*OF_SERVICE, *OTHERS))

    assert set(inherited(environment, set())) == set(OF_SERVICE)


def test_variable_that_the_pod_declares_is_not_inherited() -> None:
    environment = "VLLM_SERVICE_HOST=10.0.0.1\0VLLM_PORT=8000\0"

    assert set(inherited(environment, {"VLLM_PORT"})) == {"VLLM_SERVICE_HOST"}


def test_variable_of_a_service_with_dashes_has_none() -> None:
    assert port_variable("llama-cpp") == "LLAMA_CPP_PORT"


def test_attempt_to_write_leaves_the_model_as_it_was(tmp_path: Path) -> None:
    weights = tmp_path / "model" / "model.safetensors"
    weights.parent.mkdir()
    weights.write_bytes(b"weights")
    before = weights.stat().st_mtime_ns

    ends = ran(TRY, str(tmp_path))

    assert ends == {str(weights): "written", f"{weights.parent}/": "written"}
    assert (weights.read_bytes(), weights.stat().st_mtime_ns) == (b"weights", before)
    assert list(weights.parent.iterdir()) == [weights]


def test_ambiguous_suffix_is_a_model_s_only_beside_its_config(tmp_path: Path) -> None:
    for folder in ("cache", "model"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "pytorch_model.bin").touch()
    (tmp_path / "model" / "config.json").touch()

    ends = ran(TRY, str(tmp_path))

    assert str(tmp_path / "model" / "pytorch_model.bin") in ends
    assert not [path for path in ends if "/cache" in path]


def test_link_into_a_cache_is_followed_to_the_file_itself(tmp_path: Path) -> None:
    blob = tmp_path / "blobs" / "0a1b"
    blob.parent.mkdir()
    blob.touch()
    (tmp_path / "model.safetensors").symlink_to(blob)

    assert set(ran(TRY, str(tmp_path))) == {str(blob), f"{blob.parent}/"}


@pytest.mark.parametrize("tries", [{}, {"/models/": "ENOSPC"}])
def test_no_weights_or_an_unclear_refusal_is_inconclusive(tries: dict[str, str]) -> None:
    with pytest.raises(HarnessError):
        check_clear(tries, "pod/engine")


@pytest.mark.parametrize(
    ("fact", "value"),
    [("product", "NVIDIA-A100-SXM4-80GB"), ("product", ""), ("count", "7"), ("memory", "40960")],
)
def test_label_that_differs_from_the_card_is_reported(fact: str, value: str) -> None:
    [found] = differences(LABELS | {fact: value}, CARD)

    assert found.startswith(f"{fact} is {value or 'missing'},")


def test_labels_of_a_shared_card_and_a_driver_s_reserve_are_no_difference() -> None:
    assert not differences(LABELS | {"product": f"{CARD.product}-SHARED"}, CARD)
    assert not differences(LABELS | {"memory": "81079"}, CARD)


@pytest.mark.parametrize("card", [CARD, Hardware(product="x", memory_mebibytes=1, count=1)])
def test_each_changed_label_is_noticed_on_any_card(card: Hardware) -> None:
    labels = {"product": card.product, "memory": str(card.memory_mebibytes)}

    labels_unnoticed(labels | {"count": str(card.count)}, card)


def test_card_is_read_as_labels_spell_it() -> None:
    assert read("NVIDIA H100 80GB HBM3, 81559\n", "n1") == (CARD.product, 81559)
    with pytest.raises(HarnessError):
        read("No devices were found\n", "n1")
    with pytest.raises(HarnessError):
        read("NVIDIA A, 1\nNVIDIA B, 2\n", "n1")


def test_device_is_opened_by_a_node_that_is_there() -> None:
    null = Path("/dev/null").stat().st_rdev
    number = f"c {os.major(null)}:{os.minor(null)}"

    ends = ran(OPEN, json.dumps({"/dev/null": number}), number)

    assert ends[number]["/dev/null"] == "opened"
    assert number not in ran(LIST).values()


def test_driver_that_answers_was_reached_and_a_refusal_was_not() -> None:
    ends = {
        "c 195:0": {"a node made": "EBUSY"},
        "c 195:1": {"a node made": "EPERM"},
        "c 195:2": {"a node made": "not made: EPERM"},
        "c 195:3": {"/dev/nvidia3": "opened", "a node made": "not made: EPERM"},
    }

    assert reached(ends) == ["c 195:0", "c 195:3"]


def test_pod_that_cannot_open_its_own_device_proves_nothing() -> None:
    with pytest.raises(HarnessError):
        check_control("first", {"c 195:0": {"/dev/nvidia0": "opened", "a node made": "EACCES"}})


def test_what_two_pods_share_is_neither_s_own() -> None:
    one = holder("one", nvidia0="c 195:0", nvidiactl="c 195:255")
    other = holder("other", nvidia1="c 195:1", nvidiactl="c 195:255")

    assert apart(one, other) == {"c 195:1"}


def test_pod_that_sees_all_of_another_s_nodes_is_tried_on_each() -> None:
    both = {"nvidia0": "c 195:0", "nvidia1": "c 195:1", "nvidiactl": "c 195:255"}

    assert apart(holder("one", **both), holder("other", **both)) == {"c 195:0", "c 195:1"}


def test_shares_of_one_device_are_not_kept_apart() -> None:
    one = holder("one", nvidia0="c 195:0")

    assert apart(one, one) == set()


def test_node_that_stands_for_no_one_device_keeps_nothing_apart() -> None:
    assert apart(holder("one", dxg="c 10:125"), holder("other", dxg="c 10:125")) == set()
