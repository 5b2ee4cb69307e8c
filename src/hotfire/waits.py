"""How long hotfire waits for the cluster at most, as the target file declares it."""

from pydantic import BaseModel

from hotfire.section import STRICT, Seconds


class Waits(BaseModel):
    """The longest waits for the cluster; none of them is a plain sleep."""

    model_config = STRICT

    pod_ready_seconds: Seconds = 300.0
    """Pod created to Ready; a large model's weights load within five minutes."""
    pod_gone_seconds: Seconds = 60.0
    """Deletion to gone; the default grace period twice."""
    route_live_seconds: Seconds = 30.0
    """HTTPRoute written to the gateway following it."""
    credentials_seconds: Seconds = 60.0
    """A credential plugin of the kubeconfig started to its answer; longer where somebody has to log
    in meanwhile."""
    api_seconds: Seconds = 10.0
    """One call to the API server."""
    api_outage_seconds: Seconds = 60.0
    """How long the API server, Prometheus or an agent may be silent before we give up; a control
    plane that restarts or fails over is back within a minute."""
    agent_seconds: Seconds = 60.0
    """DaemonSet created to an agent answering on each node; a small image is pulled."""
    unschedulable_seconds: Seconds = 20.0
    """Pod created to the scheduler's refusal."""
    node_added_seconds: Seconds = 600.0
    """Pod that fits no node to an autoscaler's node Ready; a cloud's machine boots in minutes."""
    node_removed_seconds: Seconds = 1200.0
    """Node without work to gone; an autoscaler's usual patience of ten minutes, twice."""
    idle_seconds: Seconds = 600.0
    """Last request to no engine left, where the platform scales to zero; KEDA's usual cooldown of
    five minutes, twice."""
    reclaim_seconds: Seconds = 60.0
    """Accelerators asked back by the team that lent them to its own pods on them; the pods that
    have to go first get the default grace period."""
    drift_seconds: Seconds = 300.0
    """An object edited by hand to its declared state; controllers look every few minutes."""
    injection_seconds: Seconds = 30.0
    """Fault fired to its effect observed."""
    healing_seconds: Seconds = 60.0
    """Undo called to its effect observed."""
