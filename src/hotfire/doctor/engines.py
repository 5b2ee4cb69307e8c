"""Whether the engines are those that the target file means, enough of them, and heard."""

from collections.abc import Iterator, Mapping
from typing import Final

from hotfire.discovery.workloads import Workload, candidates
from hotfire.doctor.finding import Finding, Mark, fine
from hotfire.doctor.site import Site

_ABOUT: Final = "engine"
_METRICS: Final = "metrics"
_BEGINNINGS: Final = ("# HELP", "# TYPE")
_OTHER_PORTS: Final = (8000, 8080, 8081, 8002, 9000, 9090)
_FLAGS: Final[Mapping[str, str]] = {
    "sglang": "start it with --enable-metrics",
    "llama-cpp": "start it with --metrics",
    "tensorrt-llm": "set return_perf_metrics: true; its page is /prometheus/metrics",
}
"""What turns the page on, by engine; the others have it on."""


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
    if not site.engines:
        yield _none(site, f"engine.selector {wanted} takes no pod with accelerators in {place}")
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
    yield from _metrics(site, site.engines[0])


def _none(site: Site, seen: str) -> Finding:
    likely = candidates(site.holders)
    words = [f"{one.selector.value} ({one})" for one in likely[:2]]
    remedy = f"set it to {' or '.join(words)}" if words else "set namespace and engine.selector"
    return Finding(mark=Mark.IMPOSSIBLE, about=_ABOUT, seen=seen, remedy=remedy)


def _of(site: Site, engine: Workload) -> Iterator[Finding]:
    rivals = [one for one in candidates(site.holders) if one not in site.engines]
    for rival in rivals:
        yield Finding(
            mark=Mark.NOTE,
            about=_ABOUT,
            seen=f"{rival} looks like an engine, too",
            remedy="set engine.selector to its labels if it is the one",
        )
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
        about=_ABOUT,
        seen=f"{engine}: {ready} of {len(engine.pods)} pods Ready",
        remedy="a fault needs a survivor: run a second replica" if ready else "see its pods",
        ids=site.ids(lambda unit, _: unit.fault is not None) if ready else frozenset(),
    )


def _metrics(site: Site, engine: Workload) -> Iterator[Finding]:
    """Yield whether an engine's page of metrics is where it is read."""
    pod = next((one for one in engine.pods if one.ready), None)
    if pod is None:
        return
    port, ids = site.profile.engine.port, site.using("engine_metrics")

    def page(at: int, path: str = "/metrics") -> bool:
        text = site.eyes.page_of(engine.namespace, pod.name, at, path)
        return text is not None and text.lstrip().startswith(_BEGINNINGS)

    if page(port):
        yield fine(_METRICS, f"/metrics of port {port} begins with # HELP")
        return
    others = dict.fromkeys((*engine.container.ports.values(), *_OTHER_PORTS))
    found = next((one for one in others if one != port and page(one)), None)
    flag = _FLAGS.get(engine.container.kind or "", "serve them there, beside the API")
    yield Finding(
        mark=Mark.LACKING,
        about=_METRICS,
        seen=f"port {port} of {pod.name} has no metrics page"
        + (f", port {found} has" if found else ""),
        remedy=f"set engine.port to {found} if the API is there, too" if found else flag,
        ids=ids,
    )
