"""Engines of a kind that nobody has heard of are scaled by its scale subresource."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest

from hotfire.agent.janitor import CHANGED
from hotfire.cluster import SCALE, Cluster, Document, scaled_to
from hotfire.own_folders import project_root
from hotfire.rundir import RunDirectory
from hotfire.verdict import Verdict
from hotfire.waiting import until
from tests.world import World

pytestmark = pytest.mark.lab

GROUP, KIND, NAME, REPLICAS = "scaled.example.com", "EngineGraph", "graph", 2
API, CRD_API, CRD = f"{GROUP}/v1", "apiextensions.k8s.io/v1", f"enginegraphs.{GROUP}"
# One more replica comes and goes.
CHECK = "LIF-002"
DEFINITION: Document = {
    "apiVersion": CRD_API,
    "kind": "CustomResourceDefinition",
    "metadata": {"name": CRD},
    "spec": {
        "group": GROUP,
        "names": {"kind": KIND, "plural": "enginegraphs", "singular": "enginegraph"},
        "scope": "Namespaced",
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "x-kubernetes-preserve-unknown-fields": True,
                    }
                },
                "subresources": {
                    "status": {},
                    "scale": {
                        "specReplicasPath": ".spec.decode.count",
                        "statusReplicasPath": ".status.count",
                        "labelSelectorPath": ".status.selector",
                    },
                },
            }
        ],
    },
}


class Controller:
    """Does for a graph what its operator would: the Deployment below has as many replicas."""

    def __init__(self, cluster: Cluster, namespace: str, deployment: str) -> None:
        self._cluster, self._place = cluster, (namespace, deployment)
        self.seen = [REPLICAS]
        """Each number that the graph was scaled to."""

    @contextmanager
    def at_work(self) -> Iterator[None]:
        over = Event()

        def work() -> None:
            while not over.wait(0.2):
                self._reconcile()

        thread = Thread(target=work)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _reconcile(self) -> None:
        wanted = scaled_to(graph_of(self._cluster, self._place[0], SCALE))
        if wanted != self.seen[-1]:
            self.seen.append(wanted)
            body = {"spec": {"replicas": wanted}}
            self._cluster.patch("Deployment", *self._place, body, api_version="apps/v1")


def graph_of(cluster: Cluster, namespace: str, subresource: str = "") -> Document:
    found = cluster.get(KIND, namespace, NAME, api_version=API, subresource=subresource)
    assert found is not None
    return found


@pytest.fixture
def controller(world: World) -> Iterator[Controller]:
    """The scripted engines' Deployment belongs to a graph, and follows it."""
    cluster, where = world.cluster, world.profile.namespace
    deployment = world.stack.engine_workload()["metadata"]["name"]
    cluster.apply([DEFINITION])
    until(lambda: cluster.serves(KIND, API), within_seconds=30, what=f"{KIND} served")
    try:
        graph = make_graph(world)
        reference = {"apiVersion": API, "kind": KIND, "name": NAME, "controller": True}
        owned(world, deployment, [{**reference, "uid": graph["metadata"]["uid"]}])
        found = Controller(cluster, where, deployment)
        with found.at_work():
            yield found
    finally:
        # Not owned any more when its owner goes, or the collector of garbage takes it along.
        owned(world, deployment, None)
        cluster.delete("CustomResourceDefinition", None, CRD, api_version=CRD_API)
        world.scale(REPLICAS)


def make_graph(world: World) -> Document:
    cluster, where = world.cluster, world.profile.namespace
    graph = {"apiVersion": API, "kind": KIND, "metadata": {"name": NAME}}
    cluster.apply([{**graph, "spec": {"decode": {"count": REPLICAS}}}], namespace=where)
    status = {"count": REPLICAS, "selector": world.profile.engine.label_selector}
    body = {"status": status}
    return cluster.patch(KIND, where, NAME, body, api_version=API, subresource="status")


def owned(world: World, deployment: str, references: list[Document] | None) -> None:
    body = {"metadata": {"ownerReferences": references}}
    where = world.profile.namespace
    world.cluster.patch("Deployment", where, deployment, body, api_version="apps/v1")


def test_engines_of_a_foreign_kind_are_scaled_by_its_scale_subresource(
    world: World, controller: Controller, scripted_target: Path, tmp_path: Path
) -> None:
    found, run = world.stack.replicated(), tmp_path / "run"
    argv = [sys.executable, "-m", "hotfire", "certify", "--target", str(scripted_target)]
    argv += ["--scope", "full", "--run-dir", str(run), "--only", CHECK]

    done = subprocess.run(
        argv, cwd=project_root(), capture_output=True, text=True, timeout=300, check=False
    )

    judged = [one for one in RunDirectory.open(run).results() if not one.skipped_by_operator]
    graph = graph_of(world.cluster, world.profile.namespace)
    assert (found.resource, found.replicas) == (f"enginegraphs/{SCALE}", REPLICAS)
    assert {one.id: one.verdict for one in judged} == {CHECK: Verdict.PASSED}, (
        done.stdout + done.stderr
    )
    assert controller.seen == [REPLICAS, REPLICAS + 1, REPLICAS]
    assert CHANGED not in (graph["metadata"].get("annotations") or {})


def test_rights_on_the_foreign_kind_are_printed(
    controller: Controller, scripted_target: Path
) -> None:
    del controller
    argv = [sys.executable, "-m", "hotfire", "doctor", "--target", str(scripted_target), "--rbac"]

    done = subprocess.run(
        [*argv, "--scope", "full"],
        cwd=project_root(), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip

    assert f"enginegraphs/{SCALE}" in done.stdout, done.stdout + done.stderr
