"""What a load generator must prove of itself, or what it measured counts for nothing."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Ratio = Annotated[float, Field(gt=0, le=1)]


class GateLimits(BaseModel):
    """What the load generator must prove of itself, or the run is inconclusive."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    lag_p99_seconds: Seconds = 0.005
    """Lateness of a 10 ms timer in the process that reads the streams; it tracks receive error."""
    tpot_budget_seconds: Seconds | None = None
    """TPOT budget of the target; 5 % of it replaces the lag limit where that is wider."""
    lateness_p99_seconds: Seconds = 0.010
    """Dispatch after the scheduled time; a tenth of a quick TTFT."""
    achieved_ratio: Ratio = 0.99
    """Requests dispatched among those planned."""
    cpu_ratio: Ratio = 0.60
    """CPU time of the process per second of its busiest five; beyond it, queueing sets in."""
    gc_pause_seconds: Seconds = 0.050
    """Longest garbage collection; every token that comes meanwhile is stamped after it."""
    throttled_seconds: float = Field(default=0.0, ge=0)
    """Time a CPU quota held the process back; none is harmless, since it stops in mid-stream."""
    steal_ratio: Ratio = 0.05
    """CPU time that a hypervisor gave to others, among all."""
    clock_drift_seconds: Seconds = 0.1
    """How far the epoch clock may move against the monotonic one over the load: rows and faults
    meet on the epoch clock, and recovery is told to half a second."""
    clock_step_seconds: Seconds = 0.05
    """Largest jump of the epoch clock between two looks; slewing by NTP stays far below."""
