"""One engine of three runs another image: its tag was moved before that one started."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

from hotfire.cluster import Document
from tests.world import World

OTHER_IMAGE = "hotfire.lab/vllm-openai-cpu:0.32.0"
MANIFEST = """
import sys, urllib.request
print(urllib.request.urlopen(sys.argv[1] + "/manifest.json", timeout=10).read().decode())
"""


@contextmanager
def prepared(world: World) -> Iterator[None]:
    """Have a registry, which knows what the store has, and the image that the canary runs too."""
    [canary] = world.cluster.pods(world.profile.namespace, {"app": "canary"})
    [container] = canary.containers
    template = world.stack.engine_workload()["spec"]["template"]
    [filler] = template["spec"]["initContainers"]
    argv = ["python3", "-c", MANIFEST, filler["args"][0]]
    said = world.cluster.exec(canary.namespace, canary.name, container=container.name, argv=argv)
    files = json.loads(said.stdout)["files"]
    weights = {one["path"]: f"sha256:{one['sha256']}" for one in files}
    image = "sha256:" + container.image_id.rpartition("sha256:")[2]
    revision = {"image": image, "weights": weights}
    with world.target_says(claims=["model-registry"], engine={"revision": revision}):
        yield


@contextmanager
def broken(world: World) -> Iterator[None]:
    def of_other_image(spec: Document) -> None:
        [container] = spec["containers"]
        container["image"] = OTHER_IMAGE

    with prepared(world), world.one_more_engine(of_other_image):
        yield
