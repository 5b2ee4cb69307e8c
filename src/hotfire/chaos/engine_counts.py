"""What the engines count of themselves, asked past every gateway by the agents of their nodes."""

from functools import partial
from typing import Final

from hotfire import metrics
from hotfire.chaos.agent_answers import Answer, read
from hotfire.chaos.plan import World, engines
from hotfire.chaos.together import side_by_side
from hotfire.chaos.written import Target
from hotfire.cluster import Pod
from hotfire.engines.dialect import Series, dialect_of, page_of
from hotfire.errors import HarnessError

RUNNING: Final = "running"
_SECONDS: Final = 4.0


class Lines(Answer):
    """Lines of a metrics page."""

    lines: tuple[str, ...]


def aborted(world: World) -> float:
    """Return how many streams the engines gave up so far, since nobody read them any more."""
    return total(world, "aborted")


def running(world: World, target: Target) -> float:
    """Return how many requests one engine writes at this moment.

    Raises:
        HarnessError: it is gone, or does not tell.
    """
    pod = world.cluster.pod(target.namespace, target.name)
    if pod is None or pod.uid != target.uid:
        raise HarnessError(f"{target} is gone, so nobody can ask it")
    return _told(world, _series(world, RUNNING), pod)


def total(world: World, what: str) -> float:
    """Return the sum of a series, a field of ``Dialect``, over all engines that are Ready.

    Raises:
        HarnessError: one does not tell it: that is unknown, never nothing.
    """
    series = _series(world, what)
    ready = [pod for pod in engines(world.cluster, world.profile) if pod.serving]
    if not ready:
        raise HarnessError("no engine is Ready, so none tells its counts")
    return sum(side_by_side(partial(_told, world, series), ready))


def _series(world: World, what: str) -> Series:
    kind = world.profile.engine.kind
    found: Series | None = getattr(dialect_of(kind), what)
    if found is None:
        raise HarnessError(f"engines of kind {kind} tell no number of requests {what}")
    return found


def _told(world: World, series: Series, pod: Pod) -> float:
    port, path = page_of(world.profile.engine)
    place = {"address": pod.ip, "port": port, "path": path}
    asked = {**place, "name": series.name, "within_seconds": _SECONDS}
    found = read(Lines, world.agent.call(pod.node, "engine.metrics", **asked))
    told = metrics.parse("\n".join(found.lines)).total(series.name, **series.labels)
    if told is None:
        raise HarnessError(f"{pod.name} does not tell {series}")
    return told
