"""Image and model are on the GPU node before the pod, and cold starts share one download.

After the loss of a rack every engine starts anew at once, on few nodes. Where each of them fetches
the image and the model for itself the store is asked for the same terabyte many times, and all of
them wait for its line. So an image lies on each node that may need it, a start finds what another
one has fetched, and of several that begin together one fetches and the others wait for it.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime

import pytest

from fixtures.counting_store import CountingStore
from fixtures.model_filler import StartFilled
from fixtures.scratch import Scratch
from fixtures.stack import Stack
from hotfire import Evidence, Level, TargetProfile, requirement
from hotfire.cluster import Cluster, Document
from hotfire.errors import HarnessError
from hotfire.waiting import Awaited, of_target

pytestmark = requirement(
    "STO-003",
    Level.SHOULD,
    __doc__,
    source="https://kubernetes.io/docs/concepts/containers/images/#pre-pulled-images",
)

# Names of the pods, and of what is counted.
COLD, WARM, TOGETHER = "cold", "warm", "together"
STARTS = 3
# A start that finds everything still reads what there is to be: the list of files.
WARM_RATIO = 0.1
# Between one read of the model and two.
SHARED_RATIO = 1.5
TIMES_AS_LONG = 2
# Stamps are whole seconds, and a pod's containers are started one after the other.
SLACK_SECONDS = 3
WITHIN_SECONDS = 60
# The kubelet tells of so many images and no more, unless it is told otherwise.
IMAGES_TOLD = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """Copies of what fills a cache, by what they read and how long they took."""

    read_bytes: int
    seconds: float


def test_a_node_has_the_images_before_the_pod(
    stack: Stack, cluster: Cluster, profile: TargetProfile, evidence: Evidence
) -> None:
    wanted = images_of(stack.replicated().pod_spec)
    nodes = [
        node
        for node in cluster.list("Node")
        if node["status"].get("allocatable", {}).get(profile.accelerator.resource, "0") != "0"
    ]
    missing = {node["metadata"]["name"]: sorted(wanted - there(node)) for node in nodes}
    lacking = {name: images for name, images in missing.items() if images}
    evidence.record("images", sorted(wanted))
    evidence.record("missing_by_node", missing)
    if not nodes:
        raise HarnessError(f"no node offers {profile.accelerator.resource}")
    full = [node["metadata"]["name"] for node in nodes if len(there(node)) >= IMAGES_TOLD]
    if unsure := sorted(lacking.keys() & set(full)):
        raise HarnessError(f"{unsure[0]} tells of {IMAGES_TOLD} images only (nodeStatusMaxImages)")
    assert not lacking, f"{len(lacking)} of {len(nodes)} nodes have to fetch images: {lacking}"


def images_of(spec: Document) -> set[str]:
    """Return the images of a pod by their full names."""
    containers = [*spec["containers"], *(spec.get("initContainers") or ())]
    return {full_name(one["image"]) for one in containers}


def there(node: Document) -> set[str]:
    """Return the images that a node says it has, by their full names."""
    told = (image.get("names") or () for image in node["status"].get("images") or ())
    return {full_name(name) for names in told for name in names}


def full_name(image: str) -> str:
    """Return an image's name with its registry and its tag, as a container runtime completes it."""
    first, _, rest = image.partition("/")
    if not rest:
        image = f"docker.io/library/{image}"
    elif "." not in first and ":" not in first and first != "localhost":
        image = f"docker.io/{image}"
    return image if {"@", ":"} & set(image.rpartition("/")[2]) else f"{image}:latest"


@pytest.fixture
def filled(
    counting_store: CountingStore, start_filled: StartFilled, scratch: Scratch, evidence: Evidence
) -> Mapping[str, Filled]:
    """A cold start, a warm one after it, and several cold ones at once, on a cache of each's own.

    Raises:
        HarnessError: what fills the cache does not come to its end from a store of ours.
    """
    one_by_one = [counting_store.filler_of(name).copy(name) for name in (COLD, WARM)]
    filler = counting_store.filler_of(TOGETHER)
    start_filled(COLD, init=one_by_one, argv=["true"])
    start_filled(TOGETHER, at_once=[filler.copy(f"{TOGETHER}-{n}") for n in range(STARTS)])
    alone = ended(scratch, COLD)
    if not alone:
        raise HarnessError(f"{alone}: {scratch.log(COLD, container=COLD)[-300:]}")
    single = counting_store.sent().get(COLD, 0)

    def decided() -> bool:
        read = counting_store.sent().get(TOGETHER, 0)
        return read > SHARED_RATIO * single or scratch.get(TOGETHER).over

    of_target(decided, within_seconds=WITHIN_SECONDS, what="starts at once", poll_seconds=0.5)
    sent = counting_store.sent()
    seconds = {**run_seconds(scratch.document(COLD)), **run_seconds(scratch.document(TOGETHER))}
    longest = max(seconds[f"{TOGETHER}-{n}"] for n in range(STARTS))
    found = {
        name: Filled(read_bytes=sent.get(name, 0), seconds=seconds.get(name, longest))
        for name in (COLD, WARM, TOGETHER)
    }
    evidence.record("filled", {name: asdict(one) for name, one in found.items()})
    return found


def ended(scratch: Scratch, pod: str) -> Awaited[bool]:
    """Wait until a pod of ours has done what it was to do."""
    return of_target(
        lambda: scratch.get(pod).phase == "Succeeded",
        within_seconds=WITHIN_SECONDS,
        what=f"{pod}: a cache filled from a store of ours",
    )


def run_seconds(pod: Document) -> dict[str, float]:
    """Return how long each container of a pod ran; infinite: it has not ended well."""
    status = pod.get("status") or {}
    kinds = ("initContainerStatuses", "containerStatuses")
    return {
        each["name"]: _ran((each.get("state") or {}).get("terminated"))
        for kind in kinds
        for each in status.get(kind) or ()
    }


def _ran(terminated: Mapping[str, str] | None) -> float:
    if not terminated or terminated.get("exitCode"):
        return float("inf")
    began, over = (datetime.fromisoformat(terminated[at]) for at in ("startedAt", "finishedAt"))
    return (over - began).total_seconds()


def test_starts_find_what_others_have_fetched(filled: Mapping[str, Filled]) -> None:
    cold, warm, together = (filled[name] for name in (COLD, WARM, TOGETHER))
    # Negative control: where nothing is yet, bytes are read, and we see them.
    if not cold.read_bytes:
        raise HarnessError("a cache was filled without a byte from the store in its arguments")
    assert warm.read_bytes <= WARM_RATIO * cold.read_bytes, (
        f"a start that found the model read {warm.read_bytes} bytes, one that did not"
        f" {cold.read_bytes}"
    )
    assert together.read_bytes <= SHARED_RATIO * cold.read_bytes, (
        f"{STARTS} starts at once read {together.read_bytes} bytes, one alone {cold.read_bytes}:"
        " they do not wait for each other; have what fills the cache lock it"
    )
    limit = TIMES_AS_LONG * cold.seconds + SLACK_SECONDS
    assert together.seconds <= limit, (
        f"the last of {STARTS} starts at once took {together.seconds:g} s, one alone"
        f" {cold.seconds:g} s"
    )
