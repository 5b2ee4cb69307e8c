"""The served revision is the registry's production revision, with code and weights versioned apart.

A name is no revision: a tag is moved, a folder is overwritten, and one engine of ten that was
started a day earlier answers differently from then on. Nobody finds that by asking. Digests tell
it, of the image that runs and of the weights that it reads; and since the weights are no part of
the image, either can be replaced, or put back, without the other.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace

import pytest

from fixtures.model_roots import roots
from fixtures.stack import Stack
from fixtures.within_engines import WithinEngines, container_of
from hotfire import Evidence, Level, TargetProfile, requirement
from hotfire.cluster import Cluster, Pod
from hotfire.errors import HarnessError

pytestmark = requirement(
    "STO-005",
    Level.SHOULD,
    __doc__,
    source="https://slsa.dev/spec/v1.0/verifying-artifacts",
    features={"model-registry"},
)

# Of a hundred gigabytes on a disk of the node.
READ_WITHIN_SECONDS = 600.0
# What every file of some names below some paths holds, and whether it came with the image: then no
# mount but the root's leads to it.
READ = """
import hashlib, json, os, sys
names, found = json.loads(sys.argv[1]), {}
with open("/proc/self/mountinfo") as file:
    mounts = [line.split()[4] for line in file]
def came_with_image(path):
    where = os.path.realpath(path)
    return not any(where == mount or where.startswith(mount + "/") for mount in mounts
                   if mount != "/")
def digest(path):
    found = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            found.update(piece)
    return "sha256:" + found.hexdigest()
for root in sys.argv[2:]:
    for folder, _, files in os.walk(root):
        for path in (os.path.join(folder, file) for file in files):
            for name in (one for one in names if path.endswith("/" + one)):
                told = {"name": name, "digest": digest(path), "in_image": came_with_image(path)}
                found[path] = told
print(json.dumps(list(found.values())))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What one engine runs."""

    image: str
    """Digest; empty: the runtime tells none."""
    weights: Mapping[str, str]
    """Digest of each file that is declared and there; of several of a name, of one that differs."""
    in_image: frozenset[str]
    """Files that came with the image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What the registry says is in production."""

    image: str
    weights: Mapping[str, str]

    def differences(self, served: Served) -> Iterator[str]:
        """Yield what differs from it, in words."""
        if served.image != self.image:
            yield f"image {served.image}"
        for name, digest in self.weights.items():
            found = served.weights.get(name)
            if found != digest:
                yield f"{name} {found}" if found else f"no {name}"

    def altered(self) -> Iterator["Declared"]:
        """Yield other revisions: each differs from this one by one digest."""
        yield replace(self, image=other(self.image))
        for name, digest in self.weights.items():
            yield replace(self, weights={**self.weights, name: other(digest)})


def other(digest: str) -> str:
    """Return a digest of something else."""
    return digest[:-1] + ("1" if digest.endswith("0") else "0")


@pytest.fixture
def declared(profile: TargetProfile) -> Declared:
    """The revision in production.

    Raises:
        HarnessError: the target file does not tell it.
    """
    revision = profile.engine.revision
    if revision is None:
        raise HarnessError("model-registry is claimed; set engine.revision to what it has")
    return Declared(image=revision.image, weights=revision.weights)


@pytest.fixture
def served(
    declared: Declared,
    stack: Stack,
    cluster: Cluster,
    within_engines: WithinEngines,
    profile: TargetProfile,
) -> Mapping[str, Served]:
    """What each engine runs, by its pod."""
    names = json.dumps(list(declared.weights))

    def look(pod: Pod) -> Served:
        name = profile.engine.container
        document = cluster.get("Pod", pod.namespace, pod.name) or {}
        places = roots(container_of(document, name)) if document else []
        said = within_engines.run(pod, READ, names, *places, within_seconds=READ_WITHIN_SECONDS)
        return served_of(image_digest(pod, name), json.loads(said), declared)

    return {pod.name: look(pod) for pod in within_engines.serving()}


def image_digest(pod: Pod, container: str) -> str:
    """Return the digest of the image that a container runs; empty: it is not told."""
    status = pod.container(container)
    _, found, digest = (status.image_id if status else "").rpartition("sha256:")
    return found and found + digest


def served_of(image: str, files: list[dict[str, str]], declared: Declared) -> Served:
    """Return what an engine runs, by the files that were found in it."""
    weights: dict[str, str] = {}
    # What differs goes last: of several copies nobody knows which one is loaded.
    for file in sorted(files, key=lambda one: one["digest"] != declared.weights[one["name"]]):
        weights[file["name"]] = file["digest"]
    in_image = frozenset(file["name"] for file in files if file["in_image"])
    return Served(image=image, weights=weights, in_image=in_image)


def test_every_engine_runs_the_declared_image_and_weights(
    declared: Declared, served: Mapping[str, Served], evidence: Evidence
) -> None:
    evidence.record("declared", asdict(declared))
    evidence.record("served", {name: shown(one) for name, one in served.items()})

    require_read(served)
    for name, one in served.items():
        differing = list(declared.differences(one))
        assert not differing, f"{name} is not what is in production: {', '.join(differing)}"
        inside = sorted(one.in_image)
        assert not inside, f"{name}: {', '.join(inside)} came with the image: no version of its own"
    # Negative control: what is served here is no other revision.
    unseen = [
        one
        for one in declared.altered()
        if not all(any(one.differences(each)) for each in served.values())
    ]
    if unseen:
        raise HarnessError(f"another revision would pass for the one that is served: {unseen[0]}")


def require_read(served: Mapping[str, Served]) -> None:
    """Refuse to judge engines whose digests nobody tells.

    Raises:
        HarnessError: the runtime tells no image's digest, or none of the files is anywhere.
    """
    if unknown := [name for name, one in served.items() if not one.image]:
        raise HarnessError(f"{unknown[0]}: its status tells no digest of its image")
    if not any(one.weights for one in served.values()):
        raise HarnessError(
            "no engine has a file of a declared name below its mounts or the paths its arguments"
            " name; one that streams its model from a store has none"
        )


def shown(one: Served) -> dict[str, object]:
    """Return it as evidence."""
    return {"image": one.image, "weights": dict(one.weights), "in_image": sorted(one.in_image)}
