"""The Lease by which replicas of a controller agree who of them works."""

from typing import Literal

from hotfire.chaos.aim import TargetWord, plan_beside_engines
from hotfire.chaos.plan import Plan, World, names
from hotfire.chaos.written import Target
from hotfire.cluster import Document
from hotfire.errors import HarnessError

LEASES = "coordination.k8s.io/v1"


class Leader(TargetWord):
    """The leader of a controller, known by its Lease."""

    word: Literal["leader"] = "leader"
    lease: str
    """Name of the Lease, such as ``kube-scheduler``."""
    namespace: str = "kube-system"
    """Where it lies."""

    def resolve(self, world: World, experiment: str) -> Plan:
        """Return the Lease as the target; every engine is a bystander."""
        found = world.cluster.get("Lease", self.namespace, self.lease, api_version=LEASES)
        if found is None or not holder(found):
            raise HarnessError(
                f"{experiment} needs a leader, but nobody holds a Lease {self.lease} in"
                f" {self.namespace}: a control plane of one member may elect nobody"
            )
        uid = str(found["metadata"]["uid"])
        target = Target(kind="workload", name=self.lease, namespace=self.namespace, uid=uid)
        return plan_beside_engines(world, experiment, [target])

    def spared(self, world: World, plan: Plan) -> str:
        """Return that pods that run need no leader."""
        del world
        return f"running pods need no {self.lease}: {names(plan.bystanders)}"


def holder(lease: Document) -> str:
    """Return who holds a Lease; empty: nobody."""
    return str((lease.get("spec") or {}).get("holderIdentity") or "")
