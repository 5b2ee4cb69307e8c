"""Gates that a slow shared machine passes, for tests that are about something else."""

from hotfire.traffic.workload.limits import GateLimits

PATIENT = GateLimits(
    lag_p99_seconds=60, lateness_p99_seconds=60, achieved_ratio=0.01, cpu_ratio=1,
    gc_pause_seconds=60, steal_ratio=1, throttled_seconds=60, clock_drift_seconds=60,
    clock_step_seconds=60,
)  # fmt: skip
