"""Namespaces of ours: made new, and ended by their uid."""

from collections.abc import Mapping
from typing import Final

from hotfire.cluster.calls import Document
from hotfire.cluster.client import Cluster
from hotfire.cluster.marks import RUN_LABEL, not_ours
from hotfire.errors import Conflict, ProfileError
from hotfire.waiting import until

# Its pods' grace periods, an engine's above all, and the controllers that look after them.
_END_SECONDS: Final = 180.0


def create(
    cluster: Cluster,
    name: str,
    *,
    run_id: str,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
) -> Document:
    """Create a namespace that is not there yet, labelled with the run, and return it.

    One of that name that is on its way out takes nothing new; its end is awaited first.

    Raises:
        ProfileError: there is one already. Nothing of it is touched: see ``Estate`` for those
            that an earlier run made.
    """
    until(
        lambda: not _is_ending(cluster, name),
        within_seconds=_END_SECONDS,
        what=f"the former namespace {name} gone",
    )
    metadata = {
        "name": name,
        "labels": {**(labels or {}), RUN_LABEL: run_id},
        "annotations": dict(annotations or {}),
    }
    document = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
    try:
        return cluster.create(document)
    except Conflict as error:
        raise ProfileError(not_ours("namespace", name)) from error


def _is_ending(cluster: Cluster, name: str) -> bool:
    found = cluster.get("Namespace", None, name)
    return bool(found and found["metadata"].get("deletionTimestamp"))


def delete(
    cluster: Cluster, name: str, *, uid: str | None = None, pods_grace_seconds: int | None = None
) -> bool:
    """Start deleting the namespace of that uid; return False where it is not there any more.

    Whoever made a namespace knows its uid. Without one nothing is deleted, whatever its name.
    With ``pods_grace_seconds`` its pods get no more than that: nobody uses them any longer, and
    an engine's own grace period is minutes.
    """
    found = cluster.get("Namespace", None, name)
    if found is None or not uid or found["metadata"]["uid"] != uid:
        return False
    deleted = cluster.delete("Namespace", None, name, uid=uid)
    if deleted and pods_grace_seconds is not None:
        for pod in cluster.pods(name):
            cluster.delete("Pod", name, pod.name, uid=pod.uid, grace_seconds=pods_grace_seconds)
    return deleted
