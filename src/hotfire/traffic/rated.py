"""The rated load of a target, as experiments and suites run it."""

from hotfire.profile import TargetProfile
from hotfire.rundir import RunDirectory
from hotfire.traffic.launch import RunningLoad, start
from hotfire.traffic.plan import GateLimits, LoadPlan


def rated_plan(profile: TargetProfile, **changes: object) -> LoadPlan:
    """Return the load the platform promises to carry, with single fields changed."""
    load = profile.load
    fields = {
        "url": profile.gateway.url,
        "model": profile.engine.model,
        "rate_per_second": load.rate_per_second,
        "max_tokens": load.max_tokens,
        "prompt_words": load.prompt_words,
        "deadline_seconds": load.deadline_seconds,
        "stall_seconds": load.stall_seconds,
        "workers": load.workers,
        "gates": GateLimits(tpot_budget_seconds=profile.budgets.tpot_p95_seconds),
    }
    return LoadPlan.model_validate(fields | changes)


def rated_load(
    profile: TargetProfile, run: RunDirectory, name: str, **changes: object
) -> RunningLoad:
    """Start the rated load; its history is the run's ``history_path(name)``."""
    return start(
        rated_plan(profile, **changes),
        history=run.history_path(name),
        log=run.log_path(f"load-{name}.log"),
        network_namespace=profile.gateway.network_namespace,
    )
