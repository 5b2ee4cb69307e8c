"""What it takes to scale the engines of this very target: they may belong to kinds of any name.

What checks ask is read from their source, which knows the kinds of a table. A kind that only its
``scale`` subresource makes scalable is found in the cluster, by owner references.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from hotfire.cluster import SCALE, Cluster, Document, Owner, chain
from hotfire.doctor.asked import Need
from hotfire.doctor.permissions import Needs, Unit
from hotfire.doctor.place import Where
from hotfire.profile import TargetProfile

_READS: Final = "replicated"
"""What a check calls to find what its engines belong to."""
_WRITES: Final = "with_replicas"
_VERBS: Final = ("get", "patch")


def with_owners(
    units: Mapping[Unit, Needs], cluster: Cluster, profile: TargetProfile
) -> dict[Unit, Needs]:
    """Return what units need, the kinds that this target's engines belong to included.

    Raises:
        ClusterError: nobody could look.
    """
    # The reference stack, which the run will put up, is of kinds of the table.
    found = [] if profile.stack.deploy else list(_owners(cluster, profile))
    return {unit: replace(one, api=one.api | _asked(one, found)) for unit, one in units.items()}


def _asked(needs: Needs, owners: list[tuple[Need, ...]]) -> set[Need]:
    if _READS not in needs.words:
        return set()
    asked = {each for some in owners for each in some}
    return asked if _WRITES in needs.words else {one for one in asked if one.verb == "get"}


def _owners(cluster: Cluster, profile: TargetProfile) -> Iterator[tuple[Need, ...]]:
    """Yield what reading and scaling asks, for each that an engine belongs to, directly or not."""

    def read(owner: Owner) -> Document | None:
        if not cluster.serves(owner.kind, owner.api_version):
            return None
        return cluster.get(owner.kind, where, owner.name, api_version=owner.api_version)

    where = profile.namespace
    pods = cluster.list("Pod", where, selector=profile.engine.label_selector)
    nearest = {str(pod["metadata"].get("ownerReferences")): pod for pod in pods}
    for pod in nearest.values():
        owners = [owner for owner, found in chain(pod, read) if found]
        for owner in owners:
            yield tuple(_needs(cluster, owner, last=owner == owners[-1]))


def _needs(cluster: Cluster, owner: Owner, *, last: bool) -> Iterator[Need]:
    group = owner.api_version.rpartition("/")[0]
    plural = cluster.plural(owner.kind, owner.api_version)
    yield Need(group, plural, "get", Where.PLATFORM)
    if last and cluster.serves(owner.kind, owner.api_version, subresource=SCALE):
        # The mark of a change is on the object itself.
        yield Need(group, plural, "patch", Where.PLATFORM)
        yield from (Need(group, f"{plural}/{SCALE}", verb, Where.PLATFORM) for verb in _VERBS)
