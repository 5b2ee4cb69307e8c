"""The rated load of a target, as experiments and suites run it."""

from collections.abc import Iterator
from contextlib import contextmanager

from hotfire.cluster import Cluster
from hotfire.profile import TargetProfile
from hotfire.rundir import RunDirectory
from hotfire.traffic.runner.launch import RunningLoad, start
from hotfire.traffic.runner.pods import led_from_here, workers_on_pods
from hotfire.traffic.workload.plan import GateLimits, LoadPlan


def rated_plan(profile: TargetProfile, **changes: object) -> LoadPlan:
    """Return the load the platform promises to carry, with single fields changed.

    Several workers are pods of the cluster where the target file says how.
    """
    load = profile.load
    fields = {
        "url": profile.gateway.url,
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
    plan = LoadPlan.model_validate(fields | changes)
    return led_from_here(plan, load.pods) if load.pods and plan.workers > 1 else plan


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
