"""Rate, latency, errors, queue, tokens and cache hits are available per model, also in dashboards.

Who is woken at night looks at these eight first. A panel that asks for a name which the engine's
last release has removed shows nothing, and nothing looks like no errors, no queue and no latency.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from fixtures.busy import keep_busy
from fixtures.dialects import Spoken
from fixtures.within_engines import WithinEngines
from hotfire import Evidence, Level, TargetProfile, requirement
from hotfire.cluster import Cluster, Document
from hotfire.engines.dialect import Dialect, Series
from hotfire.errors import HarnessError
from hotfire.metrics import aliases
from hotfire.prometheus import Prometheus
from hotfire.traffic.witnesses.scrapes import Scrapes
from hotfire.waiting import eventually

pytestmark = requirement(
    "OBS-003",
    Level.MUST,
    __doc__,
    source="https://docs.vllm.ai/en/latest/usage/metrics.html",
    features={"metrics-store"},
)

# By what a team calls it, and as a table of the engine's kind does; each moves when an engine has
# more to do than it can.
SIGNALS = {
    "request rate": "requests",
    "latency": "latency",
    "time to first token": "ttft",
    "requests in flight": "running",
    "queue depth": "waiting",
    "queue wait": "queue_wait",
    "tokens": "generated_tokens",
    "cache queries": "cache_queries",
}
# Nobody has asked the same before, and a sound engine gives nothing up: these need not move.
STANDS = {"cache hits": "cache_hits", "errors": "errors"}
HISTOGRAMS = {"latency", "ttft", "queue_wait"}
PERCENTILE = "histogram_quantile(0.95, sum by (le) (rate({name}_bucket{{{labels}}}[1m])))"
NOBODYS = Series("hotfire_no_such_series")
# What Grafana's sidecar loads dashboards by.
DASHBOARD = "grafana_dashboard"
SLACK_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Store:
    """What Prometheus tells of one model."""

    server: Prometheus
    model: str
    dialect: Dialect

    def named(self, signals: Mapping[str, str]) -> dict[str, Series]:
        """Return the series of those signals that engines of this kind are known to tell."""
        told = {name: getattr(self.dialect, what) for name, what in signals.items()}
        suffixes = {name: "_count" for name, what in signals.items() if what in HISTOGRAMS}
        return {
            name: Series(one.name + suffixes.get(name, ""), one.labels)
            for name, one in told.items()
            if one is not None
        }

    def total(self, series: Series) -> float | None:
        """Return the sum of a series over the model's engines; None where it has none."""
        for each in (series.name, *aliases(series.name)):
            found = self.server.total(f"sum({each}{{{self.labels(series)}}})")
            if found is not None:
                return found
        return None

    def labels(self, series: Series) -> str:
        """Return the labels of a series, the model's among them, as Prometheus wants them."""
        own = {self.dialect.model_label: self.model} if self.dialect.model_label else {}
        return ",".join(f'{key}="{value}"' for key, value in {**own, **series.labels}.items())

    def signals(self) -> dict[str, float | None]:
        return {name: self.total(one) for name, one in self.named(SIGNALS | STANDS).items()}

    def percentiles(self) -> list[float]:
        """Return what the 95th percentile of the latency comes to, if there is one."""
        if self.dialect.latency is None:
            return []
        name, labels = self.dialect.latency.name, self.labels(self.dialect.latency)
        return [one.value for one in self.server.query(PERCENTILE.format(name=name, labels=labels))]

    def knows(self, name: str) -> bool:
        """Return whether there is a series of that name, of any model."""
        return bool(self.server.query(f"count({name})"))


@pytest.fixture
def store(prometheus: Prometheus | None, profile: TargetProfile, spoken: Spoken) -> Store:
    if prometheus is None:
        raise HarnessError("metrics-store is claimed, and the target file has no prometheus_url")
    found = Store(prometheus, profile.engine.model, spoken.dialect)
    if not found.named(SIGNALS):
        raise HarnessError(f"of engines of kind {spoken.kind} no series is known; set engine.kind")
    return found


@contextmanager
def busy(within: WithinEngines, profile: TargetProfile, seconds: float) -> Iterator[Future[object]]:
    """Give one engine more than it runs at once."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(keep_busy, within, profile, within.serving()[-1], seconds)


def moved(before: Mapping[str, float | None], store: Store, seen: set[str]) -> set[str]:
    """Add the signals that are above what they were before, and return those that never were."""
    now, named = store.signals(), store.named(SIGNALS)
    seen |= {name for name in named if (now[name] or 0.0) > (before[name] or 0.0)}
    return set(named) - seen


def panels(dashboards: list[Document], prefix: str) -> dict[str, set[str]]:
    """Return which series of engines, whose names begin alike, each dashboard asks for."""
    series, found = re.compile(rf"\b{re.escape(prefix)}[a-z0-9_]+"), {}
    for each in dashboards:
        name = f"{each['metadata']['namespace']}/{each['metadata']['name']}"
        found[name] = set(series.findall(json.dumps(each.get("data") or {})))
    return found


def test_each_signal_moves_with_the_work(
    profile: TargetProfile, store: Store, within_engines: WithinEngines, evidence: Evidence
) -> None:
    before, seen = store.signals(), set[str]()
    if not any(value is not None for value in before.values()):
        raise HarnessError(f"Prometheus has no series of an engine that serves {store.model}")
    interval = Scrapes(store.server, store.dialect).interval_seconds() or 30.0
    with busy(within_engines, profile, 2 * interval) as running:
        eventually(
            lambda: not moved(before, store, seen),
            within_seconds=4 * interval + SLACK_SECONDS,
            poll_seconds=0.5,
        )
        percentiles = store.percentiles()
        running.result()
    after = store.signals()
    evidence.record("before", before)
    evidence.record("after", after)
    evidence.record("moved", sorted(seen))
    evidence.record("latency_p95_seconds", percentiles)

    absent = sorted(name for name, value in after.items() if value is None)
    assert not absent, f"no series of {store.model} tells its {', '.join(absent)}"
    still = sorted(set(store.named(SIGNALS)) - seen)
    assert not still, f"an engine was busy, and its {', '.join(still)} did not move in Prometheus"
    latency = store.dialect.latency
    assert latency is None or any(map(math.isfinite, percentiles)), (
        "no 95th percentile comes of the latency"
    )
    if untold := sorted({*SIGNALS, *STANDS} - store.named(SIGNALS | STANDS).keys()):
        raise HarnessError(
            f"the others move; by which series engines of this kind tell their {', '.join(untold)}"
            " is not known here"
        )
    # Negative control: a series that nobody has is told as none, not as zero.
    if store.total(NOBODYS) is not None:
        raise HarnessError(f"Prometheus tells of {NOBODYS}, which nobody exports")


def test_no_panel_asks_for_what_nobody_exports(
    cluster: Cluster, store: Store, evidence: Evidence
) -> None:
    asked = panels(cluster.list("ConfigMap", selector=DASHBOARD), store.dialect.prefix)
    empty = {
        name: sorted(series for series in wanted if not store.knows(series))
        for name, wanted in asked.items()
    }
    evidence.record("dashboards", {name: sorted(wanted) for name, wanted in asked.items()})

    for name, series in empty.items():
        assert not series, f"dashboard {name} asks for {', '.join(series)}, which no engine exports"
    if store.knows(NOBODYS.name):
        raise HarnessError(f"Prometheus tells of {NOBODYS}, which nobody exports")
