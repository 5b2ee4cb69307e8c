"""Who else says how many engines there are to be: an autoscaler, wherever it takes hold.

It may scale what the pods belong to in the end, or something between, such as the Deployment that
an InferenceService has made.
"""

from dataclasses import dataclass
from typing import Final

from hotfire.cluster.calls import Document
from hotfire.cluster.owners import Owner
from hotfire.cluster.replicated import Replicated
from hotfire.cluster.view import ClusterView

_API: Final = "autoscaling/v2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaler:
    """A HorizontalPodAutoscaler, as it was read."""

    document: Document
    scaled: Owner
    """What it writes: one of those that the engines belong to."""

    def __str__(self) -> str:
        owners = self.document["metadata"].get("ownerReferences") or ()
        made_by = next((f" of {one['kind']} {one['name']}" for one in owners), "")
        return f"HorizontalPodAutoscaler {self.name}{made_by}"

    @property
    def name(self) -> str:
        return str(self.document["metadata"]["name"])

    @property
    def takes_away(self) -> bool:
        """Whether it would take an additional engine away."""
        down = (self.document["spec"].get("behavior") or {}).get("scaleDown") or {}
        return bool(down.get("selectPolicy") != "Disabled")


def scaler_of(cluster: ClusterView, engines: Replicated) -> Scaler | None:
    """Return the autoscaler of any that the engines belong to; None: there is none."""
    owners = engines.owners or (engines.owner,)
    for one in cluster.list("HorizontalPodAutoscaler", engines.namespace, api_version=_API):
        for owner in owners:
            if _names(one["spec"]["scaleTargetRef"], owner):
                return Scaler(document=one, scaled=owner)
    return None


def _names(reference: Document, owner: Owner) -> bool:
    """Return whether a reference is to an owner, in whatever version of its group."""
    version = str(reference.get("apiVersion") or owner.api_version)
    said = (version.rpartition("/")[0], reference["kind"], reference["name"])
    return said == (owner.api_version.rpartition("/")[0], owner.kind, owner.name)
