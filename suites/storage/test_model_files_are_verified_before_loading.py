"""Model files are verified by checksum before loading.

A copy that broke off half-way, or a bit that a disk turned, is still a file of the right name. An
engine that loads it answers nonsense, or dies on one node of a hundred; what fills the cache is the
last who can tell.
"""

import json
from dataclasses import dataclass
from typing import Any

import pytest

from fixtures.scratch import Scratch
from fixtures.stack import Stack
from fixtures.within_engines import WithinEngines
from hotfire import Evidence, Level, TargetProfile, requirement
from hotfire.cluster import Cluster, Document
from hotfire.errors import HarnessError
from hotfire.waiting import of_target

pytestmark = requirement(
    "STO-002",
    Level.MUST,
    __doc__,
    source="https://slsa.dev/spec/v1.0/verifying-artifacts",
)

# The whole model is fetched anew for each case.
LARGEST_BYTES = 2 << 30
WITHIN_SECONDS = 40
VOLUME, DAMAGED = "hotfire-model", "damaged"
# Damages the largest file below a directory, as it is told, and prints which and what it was.
DAMAGE = """
import hashlib, json, os, sys
root, way = sys.argv[1:]
files = [os.path.join(folder, name) for folder, _, names in os.walk(root) for name in names]
path = max(files, key=os.path.getsize)
with open(path, "rb") as file:
    content = bytearray(file.read())
told = {"path": os.path.relpath(path, root), "sha256": hashlib.sha256(content).hexdigest()}
if way == "flipped":
    content[len(content) // 2] ^= 1
if way == "cut":
    del content[len(content) // 2:]
with open(path, "wb") as file:
    file.write(content)
print(json.dumps(told))
"""
# Prints the checksum of each file below a directory.
LOOK = """
import hashlib, json, os, sys
root, found = sys.argv[1], {}
for folder, _, names in os.walk(root):
    for name in names:
        path = os.path.join(folder, name)
        with open(path, "rb") as file:
            found[os.path.relpath(path, root)] = hashlib.file_digest(file, "sha256").hexdigest()
print(json.dumps(found))
"""
SIZE = """
import os, sys
files = [os.path.join(folder, name) for folder, _, names in os.walk(sys.argv[1]) for name in names]
print(sum(map(os.path.getsize, files)))
"""


@dataclass(frozen=True, slots=True)
class Filler:
    """What fills a node's cache before an engine starts: an init container that may write there."""

    container: Document
    volumes: list[Document]
    directory: str

    def copy(self, name: str) -> Document:
        """Return the container once more, working on a volume of ours."""
        mounts = [self._mount(each) for each in self.container["volumeMounts"]]
        return {**self.container, "name": name, "volumeMounts": mounts}

    def _mount(self, mount: Document) -> Document:
        return {**mount, "name": VOLUME} if mount["mountPath"] == self.directory else mount


@pytest.fixture
def filler(profile: TargetProfile, stack: Stack, within_engines: WithinEngines) -> Filler:
    """The engines' own.

    Raises:
        HarnessError: they have none, or it fetches more than a check may.
    """
    spec = stack.engine_workload()["spec"]["template"]["spec"]
    [engine] = [each for each in spec["containers"] if each["name"] == profile.engine.container]
    read_by = {mount["name"] for mount in engine.get("volumeMounts") or ()}
    found = [
        (container, mount)
        for container in spec.get("initContainers") or ()
        for mount in container.get("volumeMounts") or ()
        if mount["name"] in read_by and not mount.get("readOnly")
    ]
    if not found:
        raise HarnessError(
            "no init container of the engines may write a volume of theirs: who fills the cache,"
            " and what it verifies, is not known here; fill it by an init container"
        )
    container, mount = found[0]
    pod = within_engines.serving()[0]
    size = int(within_engines.run(pod, SIZE, mount["mountPath"]))
    if size > LARGEST_BYTES:
        raise HarnessError(f"the model has {size >> 30} GiB; verify with one below 2 GiB")
    used = {each["name"] for each in container["volumeMounts"]} - {mount["name"]}
    volumes = [each for each in spec["volumes"] if each["name"] in used]
    if strange := [each["name"] for each in volumes if "configMap" not in each]:
        raise HarnessError(f"{container['name']} needs {strange[0]}, which is no ConfigMap to copy")
    return Filler(container, volumes, mount["mountPath"])


def lend(filler: Filler, cluster: Cluster, profile: TargetProfile, scratch: Scratch) -> None:
    """Copy the ConfigMaps of the filler to where its copies run."""
    for volume in filler.volumes:
        name = volume["configMap"]["name"]
        found = cluster.get("ConfigMap", profile.namespace, name)
        if found is None:
            raise HarnessError(f"ConfigMap {name} of the cache's filler vanished")
        document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
        cluster.apply([document | {"data": found["data"]}], namespace=scratch.namespace)


def start(filler: Filler, profile: TargetProfile, scratch: Scratch, way: str) -> None:
    """Start a pod that fills a cache, damages it, fills it again, and then tells what is there."""
    model = {"name": VOLUME, "mountPath": filler.directory}
    damage: Document = {
        "name": DAMAGED,
        "image": profile.images.python,
        "command": ["python3", "-c", DAMAGE, filler.directory, way],
        "volumeMounts": [model],
    }
    spec: dict[str, Any] = {
        "initContainers": [filler.copy("first"), damage, filler.copy("second")],
        "volumes": [{"name": VOLUME, "emptyDir": {}}, *filler.volumes],
    }
    scratch.pod(
        way,
        argv=["python3", "-c", LOOK, filler.directory],
        spec_besides=spec,
        container_besides={"volumeMounts": [{**model, "readOnly": True}]},
    )


@pytest.mark.parametrize("way", ["intact", "flipped", "cut"])
def test_damaged_file_is_not_loaded(
    way: str,
    filler: Filler,
    profile: TargetProfile,
    cluster: Cluster,
    scratch: Scratch,
    evidence: Evidence,
) -> None:
    lend(filler, cluster, profile, scratch)
    start(filler, profile, scratch, way)
    over = of_target(
        lambda: scratch.get(way).over,
        within_seconds=WITHIN_SECONDS,
        what="a start from the cache",
        excused_seconds=cluster.silent_seconds,
    )
    said = cluster.logs(scratch.namespace, way, container="second") if began(scratch, way) else ""
    if not said:
        raise HarnessError(f"{scratch.namespace}/{way}: the filled cache was not damaged: {over}")
    damaged = json.loads(cluster.logs(scratch.namespace, way, container=DAMAGED))
    evidence.record("damaged", damaged)
    evidence.record("filler_said", said[-1000:])
    loaded = json.loads(scratch.log(way)).get(damaged["path"]) if started(scratch, way) else None
    evidence.record("loaded", loaded)

    if way == "intact":
        # Negative control: what refuses everything verifies nothing.
        if loaded != damaged["sha256"]:
            raise HarnessError(f"a model that nobody damaged does not load either: {said[-200:]}")
        return
    assert loaded in (None, damaged["sha256"]), (
        f"{damaged['path']} was {way} in the cache, and what fills it left it to be loaded"
    )
    assert loaded or damaged["path"] in said, (
        f"{damaged['path']} was {way} and not loaded; what refused it does not say which file"
    )


def began(scratch: Scratch, pod: str) -> bool:
    """Return whether the second filling has begun."""
    states = scratch.document(pod).get("status", {}).get("initContainerStatuses") or ()
    return any(each["name"] == "second" and each.get("containerID") for each in states)


def started(scratch: Scratch, pod: str) -> bool:
    return any(each.container_id for each in scratch.get(pod).containers)
