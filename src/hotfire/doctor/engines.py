"""Whether the engines are those that the target file means, enough of them, and heard."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from hotfire.cluster import Replicated, replicated, scaler_of
from hotfire.discovery.eyes import PAGES
from hotfire.discovery.workloads import Workload, candidates
from hotfire.doctor.finding import Finding, Mark, fine
from hotfire.doctor.site import Site
from hotfire.engines.dialect import dialect_of, page_of
from hotfire.errors import HarnessError
from hotfire.metrics import begins_as_one

_ABOUT: Final = "engine"
_METRICS: Final = "metrics"
_RIVALS: Final = 3
"""So many are named: all of it is to be one screen."""
_OTHER_PORTS: Final = (8000, 8080, 8081, 8002, 9000, 9090)


def engines(site: Site) -> Iterator[Finding]:
    """Yield what is wrong with the engines' pods."""
    wanted = site.profile.engine.label_selector
    place = site.profile.namespace
    if site.profile.stack.deploy and not site.engines:
        yield Finding(
            mark=Mark.NOTE,
            about=_ABOUT,
            seen=f"none runs in {place}",
            remedy="certify deploys the reference stack (stack.deploy)",
        )
        return
    yield from missing(site)
    if not site.engines:
        return
    if len(site.engines) > 1:
        both = " and ".join(map(str, site.engines[:2]))
        yield Finding(
            mark=Mark.LACKING,
            about=_ABOUT,
            seen=f"engine.selector {wanted} takes pods of {both}",
            remedy="narrow it to the engine's own",
        )
    yield from _of(site, site.engines[0])
    yield from _kind(site, site.engines[0])
    yield from _scaled(site, site.engines[0])
    yield from _metrics(site, site.engines[0])


def missing(site: Site) -> Iterator[Finding]:
    """Yield that no pod is an engine of the target file's, or none that holds accelerators."""
    wanted, place = site.profile.engine.label_selector, site.profile.namespace
    if site.engines:
        return
    found = _none(site, f"engine.selector {wanted} takes no pod with accelerators in {place}")
    # An engine may well compute on CPUs.
    some = site.cluster.pods(place, site.profile.engine.selector)
    yield replace(found, mark=Mark.LACKING) if some else found


def _none(site: Site, seen: str) -> Finding:
    likely = candidates(site.holders)
    words = [f"{one.selector.value} ({one})" for one in likely[:2]]
    remedy = f"set it to {' or '.join(words)}" if words else "set namespace and engine.selector"
    return Finding(mark=Mark.IMPOSSIBLE, about=_ABOUT, seen=seen, remedy=remedy)


def _of(site: Site, engine: Workload) -> Iterator[Finding]:
    taken = set(map(id, site.engines))
    rivals = [one for one in candidates(site.holders) if id(one) not in taken]
    for rival in rivals[:_RIVALS]:
        yield Finding(
            mark=Mark.NOTE,
            about=_ABOUT,
            seen=f"{rival} looks like an engine, too",
            remedy="set engine.selector to its labels if it is the one",
        )
    if (more := len(rivals) - _RIVALS) > 0:
        yield Finding(mark=Mark.NOTE, about=_ABOUT, seen=f"so do {more} more workloads")
    name = site.profile.engine.container
    if engine.container.name != name:
        yield Finding(
            mark=Mark.LACKING,
            about=_ABOUT,
            seen=f"accelerators are held by container {engine.container.name}, not {name}",
            remedy=f"set engine.container to {engine.container.name}",
            ids=site.reading("container"),
        )
    ready = sum(pod.ready for pod in engine.pods)
    if ready >= 2:
        yield fine(_ABOUT, f"{engine}: {ready} of {len(engine.pods)} pods Ready")
        return
    yield Finding(
        mark=Mark.LACKING if ready else Mark.IMPOSSIBLE,
        of_target=not ready,
        about=_ABOUT,
        seen=f"{engine}: {ready} of {len(engine.pods)} pods Ready",
        remedy="a fault needs a survivor: run a second replica" if ready else "see its pods",
        ids=site.ids(lambda unit, _: unit.fault is not None) if ready else frozenset(),
    )


def _kind(site: Site, engine: Workload) -> Iterator[Finding]:
    """Yield that an engine's own words name another kind: it would be judged by what it is not."""
    named, said = engine.container.kind, site.profile.engine.kind
    if named not in (None, said):
        yield Finding(
            mark=Mark.NOTE,
            about=_ABOUT,
            seen=f"image and command of {engine.container.name} name {named}, engine.kind {said}",
            remedy=f"set engine.kind to {named} if it is one",
        )


def _scaled(site: Site, engine: Workload) -> Iterator[Finding]:
    """Yield why nobody can say here how many engines there are to be, if that is so."""
    pod = site.cluster.get("Pod", engine.namespace, engine.pods[0].name)
    if pod is None:
        return
    try:
        yield from _taken_away(site, replicated(site.cluster, pod))
    except HarnessError as error:
        yield Finding(
            mark=Mark.LACKING,
            about=_ABOUT,
            seen=str(error),
            remedy="what adds or replaces an engine is inconclusive",
            ids=site.reading("replicated"),
        )


def _taken_away(site: Site, workload: Replicated) -> Iterator[Finding]:
    """Yield that an autoscaler would take away what a check adds, if that is so."""
    scaler = scaler_of(site.cluster, workload)
    if scaler and scaler.takes_away:
        yield Finding(
            mark=Mark.LACKING,
            about=_ABOUT,
            seen=f"{scaler} says how many engines {scaler.scaled} has",
            remedy="for the run set its behavior.scaleDown.selectPolicy to Disabled",
            ids=site.reading("require_unscaled"),
        )


def _metrics(site: Site, engine: Workload) -> Iterator[Finding]:
    """Yield whether an engine's page of metrics is where it is read."""
    pod = next((one for one in engine.pods if one.ready), None)
    if pod is None:
        return
    own, ids = site.profile.engine, site.using("spoken")
    port, path = page_of(own)

    def page(at: int) -> bool:
        text = site.eyes.page_of(engine.namespace, pod.name, at, path)
        return text is not None and begins_as_one(text)

    if page(port):
        yield fine(_METRICS, f"{path} of port {port} begins with # HELP")
        return
    if PAGES in site.eyes.unseen:
        # Told with whatever else we do not see.
        return
    others = dict.fromkeys((*engine.container.ports.values(), *_OTHER_PORTS))
    found = next((one for one in others if one != port and page(one)), None)
    flag = dialect_of(engine.container.kind or own.kind).metrics_flag
    yield Finding(
        mark=Mark.LACKING,
        about=_METRICS,
        seen=f"port {port} of {pod.name} has no metrics page at {path}"
        + (f", port {found} has" if found else ""),
        remedy=f"set engine.metrics_port to {found}"
        if found
        else flag or "set engine.kind, metrics_port and metrics_path to its own",
        ids=ids,
    )
