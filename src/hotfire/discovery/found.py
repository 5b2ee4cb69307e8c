"""One look around a cluster: everything that a target file can be told of it."""

import json
from collections.abc import Iterable
from dataclasses import dataclass

from hotfire.cluster import Cluster
from hotfire.discovery.containers import ENGINES
from hotfire.discovery.eyes import Eyes
from hotfire.discovery.hardware import Hardware
from hotfire.discovery.parts import Parts
from hotfire.discovery.roles import roles_of
from hotfire.discovery.routes import Ways, idle_doors, ways_to
from hotfire.discovery.said import Said, guess
from hotfire.discovery.workloads import Workload, candidates, holding
from hotfire.engines.dialect import dialect_of
from hotfire.pod_roles import PodRole


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What there is. ``engine`` is the likeliest of ``holders``; None: none looks like one."""

    holders: tuple[Workload, ...]
    engine: Workload | None
    kind: Said[str]
    """Of engine, as ``hotfire.engines`` names it."""
    models: Said[tuple[str, ...]]
    """Names under which the engine serves its model; the first is the name, others are aliases."""
    ways: Ways
    hardware: Hardware
    parts: Parts
    roles: dict[PodRole, Said[dict[str, str]]]
    """Selectors of the pods that play a part beside the engine."""
    quotas: bool
    unseen: dict[str, str]
    """What we may not see, and why."""

    @property
    def rivals(self) -> list[Workload]:
        """Workloads that look as much like the engine as the one taken."""
        if self.engine is None:
            return []
        level = self.engine.likelihood
        others = [one for one in self.holders if one is not self.engine]
        return [one for one in candidates(others) if one.likelihood == level]


def look_around(cluster: Cluster, namespace: str | None) -> Found:
    """Return what a cluster shows; ``namespace``: where its engines are, None: anywhere."""
    eyes = Eyes(cluster)
    holders = holding(eyes, namespace)
    likely = candidates(holders)
    engine = likely[0] if likely else None
    parts = Parts.seen(eyes)
    quotas = engine is not None and any(eyes.each("ResourceQuota", engine.namespace))
    return Found(
        holders=tuple(holders),
        engine=engine,
        kind=kind_of(eyes, engine) if engine else guess("vllm", "no engine was found"),
        models=models_of(eyes, engine) if engine else guess((), "no engine was found"),
        ways=ways_to(eyes, engine) if engine else Ways(doors=tuple(idle_doors(eyes))),
        hardware=Hardware.seen(eyes),
        parts=parts,
        roles=roles_of(eyes, engine, holders, parts.running) if engine else {},
        quotas=quotas,
        unseen=eyes.unseen,
    )


def kind_of(eyes: Eyes, engine: Workload) -> Said[str]:
    """Return the kind of the engine: as its container says, else as its metrics page does."""
    container = engine.container
    if container.kind:
        return Said(container.kind, f"image and command of {container.name}")
    pod = next((pod for pod in engine.pods if pod.ready), None)
    if pod is not None and container.port is not None:
        page = eyes.page_of(engine.namespace, pod.name, container.port, "/metrics") or ""
        # From the last: what uses the names of another engine stands before it.
        for kind in reversed(list(ENGINES)):
            running = dialect_of(kind).running
            if running and running.name in page:
                return Said(kind, f"{running.name} on /metrics of pod {pod.name}")
    return guess("generic", f"nothing of {container.name} names its engine")


def models_of(eyes: Eyes, engine: Workload) -> Said[tuple[str, ...]]:
    """Return the names of the model: as an engine tells, else as its arguments say."""
    container = engine.container
    pod = next((pod for pod in engine.pods if pod.ready), None)
    if pod is not None and container.port is not None:
        page = eyes.page_of(engine.namespace, pod.name, container.port, "/v1/models")
        if names := _named(page):
            return Said(tuple(names), f"/v1/models of pod {pod.name}")
    option, names = container.models()
    if names:
        place = f"argument {option} of container {container.name}"
        return (
            Said(tuple(names), place)
            if option.startswith("--served")
            else guess(tuple(names), place)
        )
    return guess((), "no argument names it, and no engine told")


def _named(page: str | None) -> list[str]:
    try:
        rows: Iterable[object] = json.loads(page or "")["data"]
        return [str(row["id"]) for row in rows if isinstance(row, dict)]
    except (ValueError, KeyError, TypeError):
        return []
