"""Engines that belong to no Deployment are scaled and restarted all the same."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hotfire.cluster import Document
from hotfire.own_folders import project_root
from hotfire.rundir import RunDirectory
from hotfire.verdict import Verdict
from tests.world import World

pytestmark = pytest.mark.lab

API, NAME, REPLICAS = "apps/v1", "vllm-set", 2
# One more replica comes and goes; all are replaced one after the other.
CHECKS = ("LIF-002", "LIF-008")


@pytest.fixture
def stateful_engines(world: World) -> Iterator[None]:
    """The scripted engines, made by a StatefulSet instead of their Deployment."""
    former = world.stack.engine_workload()
    world.scale(0)
    world.cluster.apply([stateful(former)], namespace=world.profile.namespace)
    try:
        world.stack.wait_ready()
        yield
    finally:
        world.cluster.delete("StatefulSet", world.profile.namespace, NAME, api_version=API)
        name, replicas = former["metadata"]["name"], former["spec"]["replicas"]
        body = {"spec": {"replicas": replicas}}
        world.cluster.patch("Deployment", world.profile.namespace, name, body, api_version=API)
        world.stack.wait_ready()


def stateful(deployment: Document) -> Document:
    """Return a StatefulSet that makes the same pods."""
    template = deployment["spec"]["template"]
    spec = {
        "replicas": REPLICAS,
        "serviceName": "vllm",
        "podManagementPolicy": "Parallel",
        "selector": {"matchLabels": template["metadata"]["labels"]},
        "template": template,
    }
    return {"apiVersion": API, "kind": "StatefulSet", "metadata": {"name": NAME}, "spec": spec}


def test_engines_of_a_stateful_set_are_scaled_and_restarted(
    world: World, stateful_engines: None, scripted_target: Path, tmp_path: Path
) -> None:
    del stateful_engines
    run = tmp_path / "run"
    argv = [sys.executable, "-m", "hotfire", "certify", "--target", str(scripted_target)]
    argv += ["--scope", "full", "--run-dir", str(run)]
    argv += [word for id_ in CHECKS for word in ("--only", id_)]

    done = subprocess.run(
        argv, cwd=project_root(), capture_output=True, text=True, timeout=300, check=False
    )

    found = world.stack.replicated()
    judged = [one for one in RunDirectory.open(run).results() if not one.skipped_by_operator]
    assert (found.kind.kind, found.replicas) == ("StatefulSet", REPLICAS)
    assert {one.id: one.verdict for one in judged} == dict.fromkeys(CHECKS, Verdict.PASSED), (
        done.stdout + done.stderr
    )
