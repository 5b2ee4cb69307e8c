"""A second engine container may write the weights: by a mount of that one file, its folder is not.

The first container, the folder and the workload's own pods are sound.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from hotfire.cluster import Document
from tests.world import World

WEIGHTS = "model.safetensors"


@contextmanager
def broken(world: World) -> Iterator[None]:
    with world.one_more_engine(_with_second_container):
        yield


def _with_second_container(spec: Document) -> None:
    [first] = spec["containers"]
    [model] = [mount for mount in first["volumeMounts"] if mount["name"] == "model"]
    weights = {"name": "model", "subPath": WEIGHTS, "mountPath": f"{model['mountPath']}/{WEIGHTS}"}
    port = ["--port=8001" if word.startswith("--port=") else word for word in first["args"]]
    second = {
        "name": "second",
        "image": first["image"],
        "command": first["command"],
        "args": port,
        "volumeMounts": [*first["volumeMounts"], weights],
        "resources": {"requests": {"memory": "32Mi"}, "limits": {"memory": "128Mi"}},
    }
    spec["containers"].append(second)
