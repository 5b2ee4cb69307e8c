"""What the engines count of themselves, asked past every gateway by the agents of their nodes."""

from collections.abc import Sequence
from functools import partial
from typing import Final

from hotfire import metrics
from hotfire.chaos.agent_answers import Answer, read
from hotfire.chaos.plan import World, engines, still_there
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
    """Return how many streams the engines gave up so far, since nobody read them any more.

    Of a kind that counts them nowhere: those that got a first token, and neither ended nor run.

    Raises:
        HarnessError: the engines do not tell: that is unknown, never nothing.
    """
    kind = world.profile.engine.kind
    dialect = dialect_of(kind)
    if dialect.aborted is not None:
        return total(world, "aborted")
    if dialect.counts_who_left or None in (dialect.ttft, dialect.requests, dialect.running):
        raise HarnessError(f"engines of kind {kind} tell no number of requests aborted")
    first = Series(f"{dialect.ttft}_count")
    begun, ended, still = _sums(world, [first, _series(world, "requests"), _series(world, RUNNING)])
    return begun - ended - still


def running(world: World, target: Target) -> float:
    """Return how many requests one engine writes at this moment.

    Raises:
        HarnessError: it is gone, or does not tell.
    """
    pod = still_there(world.cluster, target)
    [found] = _told(world, [_series(world, RUNNING)], pod)
    return found


def total(world: World, what: str) -> float:
    """Return the sum of a series, a field of ``Dialect``, over all engines that are Ready.

    Raises:
        HarnessError: one does not tell it: that is unknown, never nothing.
    """
    [found] = _sums(world, [_series(world, what)])
    return found


def _sums(world: World, series: Sequence[Series]) -> list[float]:
    ready = [pod for pod in engines(world.cluster, world.profile) if pod.serving]
    if not ready:
        raise HarnessError("no engine is Ready, so none tells its counts")
    told = side_by_side(partial(_told, world, series), ready)
    return [sum(values) for values in zip(*told, strict=True)]


def _series(world: World, what: str) -> Series:
    kind = world.profile.engine.kind
    found: Series | None = getattr(dialect_of(kind), what)
    if found is None:
        raise HarnessError(f"engines of kind {kind} tell no number of requests {what}")
    return found


def _told(world: World, series: Sequence[Series], pod: Pod) -> list[float]:
    """Return what one engine tells of each, all at the same moment."""
    port, path = page_of(world.profile.engine)
    place = {"address": pod.ip, "port": port, "path": path}
    asked = {**place, "names": [one.name for one in series], "within_seconds": _SECONDS}
    found = read(Lines, world.agent.call(pod.node, "engine.metrics", **asked))
    page = metrics.parse("\n".join(found.lines))
    values = [page.total(one.name, **one.labels) for one in series]
    if missing := [one for one, value in zip(series, values, strict=True) if value is None]:
        raise HarnessError(f"{pod.name} does not tell {missing[0]}")
    return [value for value in values if value is not None]
