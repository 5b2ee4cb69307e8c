"""The rated load of a target, as experiments and suites run it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hotfire.cluster import Cluster
from hotfire.gateway import Gateway
from hotfire.profile import TargetProfile
from hotfire.rundir import RunDirectory
from hotfire.traffic.runner.launch import RunningLoad, start
from hotfire.traffic.runner.pods import led_from_here, workers_on_pods
from hotfire.traffic.workload.limits import GateLimits
from hotfire.traffic.workload.plan import LoadPlan


def rated_plan(profile: TargetProfile, **changes: object) -> LoadPlan:
    """Return the load the platform promises to carry, with single fields changed.

    Several workers are pods of the cluster where the target file says how. Headers come to those
    that the gateway wants.
    """
    load = profile.load
    fields: dict[str, Any] = {
        **_way_in(profile.gateway),
        "model": profile.engine.model,
        "model_aliases": tuple(profile.engine.aliases),
        "rate_per_second": load.rate_per_second,
        "max_tokens": load.max_tokens,
        "prompt_words": load.prompt_words,
        "deadline_seconds": load.deadline_seconds,
        "stall_seconds": load.stall_seconds,
        "workers": load.workers,
        "gates": GateLimits(tpot_budget_seconds=profile.budgets.tpot_p95_seconds),
    }
    if changes.get("url", profile.gateway.url) != profile.gateway.url:
        # What this gateway wants to see is no other one's business.
        fields |= _way_in(Gateway(url=str(changes["url"])))
    plan = LoadPlan.model_validate(fields | changes)
    shown = {name.lower(): value for name, value in plan.headers.items()}
    plan = plan.model_copy(update={"headers": fields["headers"] | shown})
    return led_from_here(plan, load.pods) if load.pods and plan.workers > 1 else plan


def _way_in(gateway: Gateway) -> dict[str, Any]:
    """Return the fields of a plan that say how requests reach a gateway."""
    return {
        "url": gateway.url,
        "base_path": gateway.base_path,
        "headers": gateway.shown_headers,
        "server_name": gateway.server_name or "",
        **gateway.tls_files,
    }


@contextmanager
def rated_load(
    profile: TargetProfile, run: RunDirectory, name: str, *, cluster: Cluster, **changes: object
) -> Iterator[RunningLoad]:
    """Run the rated load for the length of a block; its history is ``history_path(name)``.

    Whoever enters ends it; what still runs at the block's end is killed.
    """
    plan = rated_plan(profile, **changes)
    with workers_on_pods(plan, profile=profile, cluster=cluster, run_id=run.info().run_id):
        load = start(
            plan,
            history=run.history_path(name),
            log=run.log_path(f"load-{name}.log"),
            network_namespace=profile.gateway.network_namespace,
        )
        try:
            yield load
        finally:
            if load.alive():
                load.kill()
