"""The gates of a load generator in a reader's words."""

GATES = {
    "lag_p99_seconds": "reads late, p99",
    "lag_beyond_limit_ratio": "reads later than allowed",
    "lateness_beyond_limit_ratio": "sends later than allowed",
    "silent_seconds": "told nothing of itself for",
    "lateness_p99_seconds": "sends late, p99",
    "achieved_ratio": "planned requests sent, at least",
    "cpu_ratio": "CPU of one core",
    "gc_pause_max_seconds": "longest garbage collection",
    "throttled_seconds": "held back by a CPU quota",
    "steal_ratio": "CPU time given to other machines",
    "clock_drift_seconds": "epoch clock's drift",
    "clock_step_seconds": "epoch clock's largest jump",
    "workers_lost": "workers lost",
    "held_back_by_client_cap": "requests held back",
    "rows_accounted_for": "requests accounted for",
    "rows_recorded": "requests recorded",
    "ended_by_itself": "ended by itself",
}
