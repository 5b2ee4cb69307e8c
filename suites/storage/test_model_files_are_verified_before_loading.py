"""Model files are verified by checksum before loading.

A copy that broke off half-way, or a bit that a disk turned, is still a file of the right name. An
engine that loads it answers nonsense, or dies on one node of a hundred; what fills the cache is the
last who can tell.
"""

import json

import pytest

from fixtures.model_filler import VOLUME, Filler, StartFilled
from fixtures.scratch import Scratch
from hotfire import Evidence, Level, TargetProfile, requirement
from hotfire.cluster import Document
from hotfire.errors import HarnessError
from hotfire.waiting import of_target

pytestmark = requirement(
    "STO-002",
    Level.MUST,
    __doc__,
    source="https://slsa.dev/spec/v1.0/verifying-artifacts",
)

WITHIN_SECONDS = 40
DAMAGED = "damaged"
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


def damage(filler: Filler, profile: TargetProfile, way: str) -> Document:
    """Return an init container that damages what the one before it has filled."""
    return {
        "name": DAMAGED,
        "image": profile.images.python,
        "command": ["python3", "-c", DAMAGE, filler.directory, way],
        "volumeMounts": [{"name": VOLUME, "mountPath": filler.directory}],
    }


@pytest.mark.parametrize("way", ["intact", "flipped", "cut"])
def test_damaged_file_is_not_loaded(
    way: str,
    filler: Filler,
    start_filled: StartFilled,
    profile: TargetProfile,
    scratch: Scratch,
    evidence: Evidence,
) -> None:
    filled_twice = [filler.copy("first"), damage(filler, profile, way), filler.copy("second")]
    start_filled(way, init=filled_twice, argv=["python3", "-c", LOOK, filler.directory])
    over = of_target(
        lambda: scratch.get(way).over,
        within_seconds=WITHIN_SECONDS,
        what="a start from the cache",
    )
    said = scratch.log(way, container="second") if began(scratch, way) else ""
    if not said:
        raise HarnessError(f"{scratch.namespace}/{way}: the filled cache was not damaged: {over}")
    damaged = json.loads(scratch.log(way, container=DAMAGED))
    evidence.record("damaged", damaged)
    evidence.record("filler_said", said[-1000:])
    loaded = (
        json.loads(scratch.log(way, container="probe")).get(damaged["path"])
        if started(scratch, way)
        else None
    )
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
