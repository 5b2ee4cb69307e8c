"""Evicting pods as a drain does: budgets are obeyed, and asked again where they refuse."""

from hotfire.chaos.plan import World
from hotfire.cluster import Document, Pod
from hotfire.errors import ClusterError, FaultNotInjected, Forbidden, HarnessError
from hotfire.waiting import until

_MIRROR = "kubernetes.io/config.mirror"


def leaving(world: World, node: str) -> list[Document]:
    """Return the pods that a drain takes from a node.

    Those of a DaemonSet would come back at once, the kubelet's own cannot be evicted, and ours are
    what undoes faults.
    """
    found = world.cluster.list("Pod", None, field_selector=f"spec.nodeName={node}")
    # Again by hand: what a server does not filter must not be evicted.
    here = [one for one in found if one["spec"].get("nodeName") == node]
    return [one for one in here if not _stays(world, one)]


def rehearse(world: World, pod: Document) -> None:
    """Make sure that a pod may be evicted and will be replaced; nobody has to go.

    A budget that allows nobody to go this moment is no refusal: it is asked again.

    Raises:
        HarnessError: it lies where faults may not touch anything, nobody would replace it, or the
            API server refuses.
    """
    found = Pod.parse(pod)
    if found.namespace not in world.profile.allowed_namespaces:
        where = f"{found.namespace}/{found.name}"
        raise HarnessError(f"{where} would be evicted; add its namespace to allowed_namespaces")
    if not any(one.get("controller") for one in pod["metadata"].get("ownerReferences") or ()):
        raise HarnessError(f"nobody owns {found.namespace}/{found.name}, so nobody replaces it")
    world.cluster.evict(found, dry_run=True)


def evict(world: World, pod: Pod) -> None:
    """Have a pod leave, as soon as its budgets allow it; a pod that ended by itself has left.

    Raises:
        FaultNotInjected: it may not be evicted, or no budget allowed it within a pod's start.
    """
    try:
        until(
            lambda: _goes(world, pod),
            within_seconds=world.profile.waits.pod_ready_seconds,
            what=f"the eviction of {pod.namespace}/{pod.name}",
            poll_seconds=1.0,
            excused_seconds=world.cluster.silent_seconds,
        )
    except HarnessError as error:
        raise FaultNotInjected(f"{pod.namespace}/{pod.name} was not evicted: {error}") from error


def _goes(world: World, pod: Pod) -> bool:
    now = world.cluster.pod(pod.namespace, pod.name)
    if now is None or now.uid != pod.uid or now.deleting:
        return True
    try:
        return world.cluster.evict(now).accepted
    except Forbidden:
        raise
    except ClusterError:
        return False  # Gone this moment, or the API server stalls: the next look tells.


def _stays(world: World, pod: Document) -> bool:
    metadata = pod["metadata"]
    kinds = {one.get("kind") for one in metadata.get("ownerReferences") or ()}
    mirrored = _MIRROR in (metadata.get("annotations") or {})
    ours = metadata["namespace"] == world.profile.system_namespace
    return ours or mirrored or "DaemonSet" in kinds or Pod.parse(pod).over
