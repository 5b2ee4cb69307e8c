"""Pods of the gateway through which users come, found by the gateway's address."""

import socket
from collections.abc import Iterator
from typing import Literal
from urllib.parse import urlsplit

from hotfire.chaos.aim import TargetWord, plan_beside_engines
from hotfire.chaos.plan import Plan, World, names, other_pod_target, resolve_again
from hotfire.cluster import Document, Pod
from hotfire.errors import HarnessError


class GatewayPods(TargetWord):
    """Some of the proxies behind the Service that has the address of ``gateway.url``."""

    word: Literal["gateway-pods"] = "gateway-pods"
    count: int = 1
    """How many proxies are hit."""
    survivors: int = 1
    """How many must be left and Ready."""

    def resolve(self, world: World, experiment: str) -> Plan:
        """Return the first of them by name as targets; every engine is a bystander."""
        ready = [pod for pod in gateway_pods(world) if pod.serving]
        if len(ready) < self.count + self.survivors:
            raise HarnessError(
                f"{experiment} needs {self.count + self.survivors} Ready pods of the gateway, there"
                f" are {len(ready)}: a gateway of one pod has no redundancy to show"
            )
        targets = list(map(other_pod_target, ready[: self.count]))
        return plan_beside_engines(world, experiment, targets, at_most=self.count)

    def spared(self, world: World, plan: Plan) -> str:
        """Return which proxies are left."""
        hit = {target.uid for target in plan.targets}
        left = [pod for pod in gateway_pods(world) if pod.serving and pod.uid not in hit]
        if len(left) < self.survivors:
            raise HarnessError(f"{len(left)} Ready pods of the gateway would be left")
        return f"survivors behind the gateway's Service: {names(list(map(other_pod_target, left)))}"

    def look_again(self, world: World, plan: Plan) -> None:
        """Make sure that targets and survivors are there and Ready."""
        for target in plan.targets:
            resolve_again(world.cluster, target)
        self.spared(world, plan)


def gateway_pods(world: World) -> list[Pod]:
    """Return the pods behind the gateway's address, by name.

    Raises:
        HarnessError: no Service has that address, or no pod is behind it.
    """
    host = str(urlsplit(world.profile.gateway.url).hostname)
    addresses = {host, *_resolved(host)}
    for service in world.cluster.list("Service", None):
        if addresses & set(_addresses(service)):
            metadata = service["metadata"]
            found = world.cluster.endpoints(metadata["namespace"], metadata["name"])
            uids = {one.pod_uid for one in found}
            if pods := [
                pod for pod in world.cluster.pods(metadata["namespace"]) if pod.uid in uids
            ]:
                return pods
    raise HarnessError(f"no Service with pods has the gateway's address {host}: it lies elsewhere")


def _addresses(service: Document) -> Iterator[str]:
    """Yield every address by which a Service is called."""
    spec, status = service.get("spec") or {}, service.get("status") or {}
    yield from spec.get("clusterIPs") or [spec.get("clusterIP", "")]
    yield from spec.get("externalIPs") or ()
    for one in (status.get("loadBalancer") or {}).get("ingress") or ():
        yield from filter(None, (one.get("ip"), one.get("hostname")))


def _resolved(host: str) -> list[str]:
    try:
        return [str(one[4][0]) for one in socket.getaddrinfo(host, None)]
    except OSError:
        return []  # A name that only the cluster knows.
