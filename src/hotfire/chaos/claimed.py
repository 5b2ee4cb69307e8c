"""Which device an engine holds by a resource claim."""

from collections.abc import Iterator
from typing import NamedTuple

from hotfire.chaos.plan import World
from hotfire.cluster import Document
from hotfire.errors import HarnessError

_API = "resource.k8s.io/v1"


class Device(NamedTuple):
    """A device as its driver offers it."""

    driver: str
    pool: str
    device: str


def device_of_pod(world: World, namespace: str, name: str) -> Device:
    """Return the first device that a pod holds by claim, its own or the scheduler's for it.

    Raises:
        HarnessError: it is gone, or holds none so.
    """
    pod = world.cluster.get("Pod", namespace, name)
    if pod is None:
        raise HarnessError(f"{namespace}/{name} is gone, and holds no device")
    for claim in _claims(pod):
        found = world.cluster.get("ResourceClaim", namespace, claim, api_version=_API)
        for one in _results(found or {}):
            return Device(one["driver"], one["pool"], one["device"])
    raise HarnessError(f"{namespace}/{name} holds no device by claim; its driver offers none so")


def _claims(pod: Document) -> Iterator[str]:
    """Yield the names of a pod's claims; the last is the one for what it asked for by number."""
    status = pod.get("status") or {}
    for one in status.get("resourceClaimStatuses") or ():
        if one.get("resourceClaimName"):
            yield one["resourceClaimName"]
    for one in (pod.get("spec") or {}).get("resourceClaims") or ():
        if one.get("resourceClaimName"):
            yield one["resourceClaimName"]
    if name := (status.get("extendedResourceClaimStatus") or {}).get("resourceClaimName"):
        yield name


def _results(claim: Document) -> list[Document]:
    allocation = (claim.get("status") or {}).get("allocation") or {}
    return list((allocation.get("devices") or {}).get("results") or ())
