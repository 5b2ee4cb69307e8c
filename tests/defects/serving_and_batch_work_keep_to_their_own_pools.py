"""A training Job, queued as it should be, tolerates the taint of the engines' nodes."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hotfire.waiting import until
from tests.world import World

API, NAME = "batch/v1", "training"


@contextmanager
def broken(world: World) -> Iterator[None]:
    cluster, namespace = world.cluster, world.profile.namespace
    cluster.apply([_job(world)], namespace=namespace)
    try:
        until(lambda: _pods(world), within_seconds=30, what="the Job's pod")
        yield
    finally:
        cluster.delete("Job", namespace, NAME, api_version=API)
        for pod in cluster.pods(namespace, {"job-name": NAME}):
            cluster.delete("Pod", namespace, pod.name, uid=pod.uid, grace_seconds=1)
        until(lambda: not _pods(world), within_seconds=60, what="no pod of the Job")


def _pods(world: World) -> int:
    return len(world.cluster.pods(world.profile.namespace, {"job-name": NAME}))


def _job(world: World) -> dict[str, Any]:
    accelerator = world.profile.accelerator
    container = {
        "name": "train",
        "image": world.profile.images.python,
        "command": ["sleep", "600"],
        "resources": {"requests": {"cpu": "10m"}, "limits": {accelerator.resource: "1"}},
    }
    template = {
        "restartPolicy": "Never",
        "tolerations": [{"key": accelerator.taint_key, "operator": "Exists"}],
        "containers": [container],
    }
    return {
        "apiVersion": API,
        "kind": "Job",
        "metadata": {"name": NAME, "labels": {"kueue.x-k8s.io/queue-name": "research"}},
        "spec": {"template": {"spec": template}},
    }
