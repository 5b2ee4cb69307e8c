"""Model files are verified by checksum before loading.

A copy that broke off half-way, or a bit that a disk turned, is still a file of the right name. An
engine that loads it answers nonsense, or dies on one node of a hundred; what fills the cache is the
last who can tell.
"""

import json
from dataclasses import asdict, dataclass

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of the damaged file."""

    path: str
    sha256: str
    """Before it was damaged."""
    loaded: str | None
    """Of what an engine would have loaded; None: nothing, since none would have started."""
    said: str
    """By what filled the cache for the second time."""


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
    outcome = filled(scratch, way)
    evidence.record("outcome", asdict(outcome))

    if way == "intact":
        # Negative control: what refuses everything verifies nothing.
        if outcome.loaded != outcome.sha256:
            raise HarnessError(f"a model that nobody damaged is not loaded either: {outcome.said}")
        return
    assert outcome.loaded in (None, outcome.sha256), (
        f"{outcome.path} was {way} in the cache, and what fills it left it to be loaded"
    )
    assert outcome.loaded or outcome.path in outcome.said, (
        f"{outcome.path} was {way} and not loaded; what refused it does not say which file"
    )


def filled(scratch: Scratch, pod: str) -> Outcome:
    """Return what became of a cache that was filled, damaged and filled again.

    Raises:
        HarnessError: it did not come that far.
    """
    over = of_target(
        lambda: scratch.get(pod).over, within_seconds=WITHIN_SECONDS, what="a start from the cache"
    )
    states = scratch.document(pod).get("status", {}).get("initContainerStatuses") or ()
    if not any(each["name"] == "second" and each.get("containerID") for each in states):
        raise HarnessError(f"{scratch.namespace}/{pod}: the filled cache was not damaged: {over}")
    damaged = json.loads(scratch.log(pod, container=DAMAGED))
    started = any(each.container_id for each in scratch.get(pod).containers)
    there = json.loads(scratch.log(pod, container="probe")) if started and over else {}
    return Outcome(
        path=damaged["path"],
        sha256=damaged["sha256"],
        loaded=there.get(damaged["path"]),
        said=scratch.log(pod, container="second")[-1000:],
    )
