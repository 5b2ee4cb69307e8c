"""The retrieval-augmented application, as its clients ask it, and what it tells of its cache."""

from hotfire import metrics
from hotfire.chaos.plan import World
from hotfire.chaos.targets.rag_part import pods_of
from hotfire.errors import HarnessError
from hotfire.profile import TargetProfile
from hotfire.rag import Counter, Rag


def declared(profile: TargetProfile) -> Rag:
    """Return what the target file says of it.

    Raises:
        HarnessError: nothing.
    """
    if profile.rag is None:
        raise HarnessError("the target file has no section `rag`; add it")
    return profile.rag


def for_its_clients(profile: TargetProfile, rag: Rag) -> TargetProfile:
    """Return the target file of somebody to whom the application is the model."""
    engine = profile.engine.model_copy(update={"model": rag.model or profile.engine.model})
    return profile.model_copy(update={"gateway": rag.gateway, "engine": engine})


def cache_counts(world: World) -> tuple[float, float]:
    """Return how many hits and misses of its response cache all pods of its API have counted.

    A counter that is not there yet has counted nothing.

    Raises:
        HarnessError: it is not declared where they are counted, or a pod does not answer.
    """
    told = declared(world.profile).cache
    if told is None:
        raise HarnessError("set rag.cache to the counters of its hits and misses")
    pages = [
        metrics.parse(
            world.cluster.page_of_pod(pod.namespace, pod.name, port=told.port, path=told.path)
        )
        for pod in pods_of(world, "api")
    ]

    def total(counter: Counter) -> float:
        return sum(page.total(counter.name, **counter.labels) or 0.0 for page in pages)

    return total(told.hits), total(told.misses)
