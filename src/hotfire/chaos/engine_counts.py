"""What the engines count of themselves, asked past every gateway by the agents of their nodes."""

from functools import partial
from typing import Final

from hotfire import metrics
from hotfire.chaos.agent_answers import Answer, read
from hotfire.chaos.plan import World, engines
from hotfire.chaos.together import side_by_side
from hotfire.chaos.written import Target
from hotfire.cluster import Pod
from hotfire.errors import HarnessError

RUNNING: Final = "vllm:num_requests_running"
_ENDED: Final = "vllm:request_success_total"
_SECONDS: Final = 4.0


class Lines(Answer):
    """Lines of a metrics page."""

    lines: tuple[str, ...]


def aborted(world: World) -> float:
    """Return how many streams the engines gave up so far, since nobody read them any more."""
    return total(world, _ENDED, finished_reason="abort")


def running(world: World, target: Target) -> float:
    """Return how many requests one engine writes at this moment.

    Raises:
        HarnessError: it is gone, or does not tell.
    """
    pod = world.cluster.pod(target.namespace, target.name)
    if pod is None or pod.uid != target.uid:
        raise HarnessError(f"{target} is gone, so nobody can ask it")
    return _told(world, RUNNING, {}, pod)


def total(world: World, name: str, **labels: str) -> float:
    """Return the sum of a series over all engines that are Ready.

    Raises:
        HarnessError: one does not tell it: that is unknown, never nothing.
    """
    ready = [pod for pod in engines(world.cluster, world.profile) if pod.serving]
    if not ready:
        raise HarnessError("no engine is Ready, so none tells its counts")
    return sum(side_by_side(partial(_told, world, name, labels), ready))


def _told(world: World, name: str, labels: dict[str, str], pod: Pod) -> float:
    port = world.profile.engine.port
    asked = {"address": pod.ip, "port": port, "name": name, "within_seconds": _SECONDS}
    found = read(Lines, world.agent.call(pod.node, "engine.metrics", **asked))
    told = metrics.parse("\n".join(found.lines)).total(name, **labels)
    if told is None:
        raise HarnessError(f"{pod.name} does not tell {name} {labels or ''}".rstrip())
    return told
