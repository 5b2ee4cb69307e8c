"""Who holds the cluster: what its Lease tells, whether the holder is alive, and its removal."""

import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Self

from hotfire.chaos.runner import has_ended, is_here
from hotfire.cluster import OWNER_LABEL, Cluster, Document
from hotfire.errors import Conflict, Forbidden, HarnessError
from hotfire.waiting import until

NAME: Final = "hotfire-run"
RUNNER: Final = "hotfire.dev/runner"
WHERE: Final = "hotfire.dev/where"
API: Final = "coordination.k8s.io/v1"
# A deleted lease is noticed within this time.
CHECK_SECONDS: Final = 2.0
# As an agent's entry; nobody is watched for longer, whatever a Lease says.
_LONGEST_SECONDS: Final = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who holds the cluster, as one look at the Lease told it."""

    run_id: str
    uid: str
    version: str
    """Changes with every write to it."""
    since: datetime
    """By the holder's own clock, like the next: to be told, never to be compared."""
    renewed_at: datetime
    lease_seconds: int
    transitions: int
    """How often it went from one run to another."""
    runner: str
    where: str
    """Target and machine, in words."""
    namespace: str
    """System namespace of its target."""

    @classmethod
    def parse(cls, found: Document) -> Self:
        """Return who holds a Lease."""
        spec, metadata = found["spec"], found["metadata"]
        marks = metadata.get("annotations") or {}
        return cls(
            run_id=spec.get("holderIdentity") or "unnamed",
            uid=metadata["uid"],
            version=str(metadata["resourceVersion"]),
            since=read_stamp(spec.get("acquireTime") or spec.get("renewTime")),
            renewed_at=read_stamp(spec.get("renewTime")),
            lease_seconds=min(int(spec.get("leaseDurationSeconds") or 1), _LONGEST_SECONDS),
            transitions=int(spec.get("leaseTransitions") or 0),
            runner=marks.get(RUNNER, ""),
            where=marks.get(WHERE, ""),
            namespace=metadata["namespace"],
        )

    def __str__(self) -> str:
        """Return whose it is and since when, as a person would say it."""
        where = f"{self.where}, " if self.where else ""
        return f"run {self.run_id} ({where}since {self.since:%Y-%m-%d %H:%M:%S} UTC)"


def holder(cluster: Cluster, namespace: str) -> Holder | None:
    """Return who holds the cluster, alive or not; None if nobody does."""
    found = cluster.get("Lease", namespace, NAME, api_version=API)
    return None if found is None else Holder.parse(found)


def others(cluster: Cluster, namespace: str) -> list[Holder]:
    """Return who holds the cluster for targets with another system namespace, alive or not.

    Only namespaces with the mark of a system namespace count, or whoever may write a Lease anywhere
    could keep every run away. Empty, too, where this may not be read across namespaces.
    """
    try:
        found = cluster.list("Lease", api_version=API, field_selector=f"metadata.name={NAME}")
        marked = [one["metadata"] for one in cluster.list("Namespace", selector=OWNER_LABEL)]
    except Forbidden:
        return []
    systems = {one["name"] for one in marked if one["labels"][OWNER_LABEL] == one["name"]}
    held = [Holder.parse(one) for one in found if one["metadata"]["name"] == NAME]
    return [one for one in held if one.namespace in systems - {namespace}]


def require_free(cluster: Cluster, namespace: str) -> None:
    """Make sure that no run of another target is alive in this cluster.

    Raises:
        HarnessError: one is; the message tells whose.
    """
    for held in others(cluster, namespace):
        if is_alive(cluster, held):
            raise HarnessError(f"{held} holds this cluster; wait for it")


def is_alive(cluster: Cluster, held: Holder) -> bool:
    """Return whether the holder still is: its process is there, or it was seen to renew.

    The clocks of two machines are never compared. A holder of another machine is watched for at
    most the length of its lease, on this machine's own clock; one that is cut off from the cluster
    for so long has stopped by itself.
    """
    if is_here(held.runner):
        return not has_ended(held.runner)
    end = boot_seconds() + held.lease_seconds

    def seen() -> str | None:
        now = holder(cluster, held.namespace)
        if now is None:
            return "given back"
        if (now.run_id, now.renewed_at) != (held.run_id, held.renewed_at):
            return "renewed"
        return "silent" if boot_seconds() >= end else None

    within = held.lease_seconds + 4 * CHECK_SECONDS
    what = f"a sign of life of run {held.run_id}, or none for {held.lease_seconds} s"
    return until(seen, within_seconds=within, what=what, poll_seconds=1.0) == "renewed"


def require_held(cluster: Cluster, namespace: str, *, run_id: str) -> None:
    """Make sure that a run still holds the cluster.

    Raises:
        HarnessError: it does not, so that it may not break anything any more.
    """
    held = holder(cluster, namespace)
    if held is None or held.run_id != run_id:
        raise HarnessError(f"run {run_id} lost the cluster: it is held by {held or 'nobody'}")


def release(cluster: Cluster, namespace: str) -> bool:
    """Delete the lease, whoever holds it: its runner stops and heals. False if there is none."""
    return cluster.delete("Lease", namespace, NAME, api_version=API)


def remove_dead(cluster: Cluster, held: Holder) -> None:
    """Delete the lease of a holder that was seen to be dead; one that was written since stays."""
    with suppress(Conflict):
        cluster.delete(
            "Lease", held.namespace, NAME, uid=held.uid, version=held.version, api_version=API
        )


def read_stamp(text: str | None) -> datetime:
    return datetime.fromisoformat(text) if text else datetime.fromtimestamp(0, UTC)


def boot_seconds() -> float:
    """Return seconds of this machine's own time, that in which it was suspended included."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
