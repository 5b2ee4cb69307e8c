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
from fixtures.within_engines import WithinEngines
from hotfire import Evidence, Level, TargetProfile, requirement
from hotfire.cluster import Cluster, Document
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

REQUESTS = "vllm:request_success_total"
# By what a team calls it; each moves when an engine has more to do than it can.
SIGNALS = {
    "request rate": REQUESTS,
    "latency": "vllm:e2e_request_latency_seconds_count",
    "time to first token": "vllm:time_to_first_token_seconds_count",
    "requests in flight": "vllm:num_requests_running",
    "queue depth": "vllm:num_requests_waiting",
    "queue wait": "vllm:request_queue_time_seconds_count",
    "tokens": "vllm:generation_tokens_total",
    "cache queries": "vllm:prefix_cache_queries_total",
}
# Nobody has asked the same before, and a sound engine gives nothing up: these need not move.
STANDS = {
    "cache hits": "vllm:prefix_cache_hits_total",
    "errors": f'{REQUESTS}{{finished_reason="abort"}}',
}
PERCENTILE = (
    "histogram_quantile(0.95, sum by (le)"
    ' (rate(vllm:e2e_request_latency_seconds_bucket{{model_name="{model}"}}[1m])))'
)
NOBODYS = "vllm:no_such_series_hotfire"
# What Grafana's sidecar loads dashboards by.
DASHBOARD = "grafana_dashboard"
SERIES = re.compile(r"\bvllm:[a-z0-9_]+")
SLACK_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Store:
    """What Prometheus tells of one model."""

    server: Prometheus
    model: str

    def total(self, metric: str) -> float | None:
        """Return the sum of a metric over the model's engines; None where it has none."""
        name, _, labels = metric.partition("{")
        for each in (name, *aliases(name)):
            wanted = ",".join(filter(None, [f'model_name="{self.model}"', labels.rstrip("}")]))
            found = self.server.total(f"sum({each}{{{wanted}}})")
            if found is not None:
                return found
        return None

    def signals(self) -> dict[str, float | None]:
        return {name: self.total(metric) for name, metric in (SIGNALS | STANDS).items()}

    def knows(self, name: str) -> bool:
        """Return whether there is a series of that name, of any model."""
        return bool(self.server.query(f"count({name})"))


@pytest.fixture
def store(prometheus: Prometheus | None, profile: TargetProfile) -> Store:
    if prometheus is None:
        raise HarnessError("metrics-store is claimed, and the target file has no prometheus_url")
    return Store(prometheus, profile.engine.model)


@contextmanager
def busy(within: WithinEngines, profile: TargetProfile, seconds: float) -> Iterator[Future[object]]:
    """Give one engine more than it runs at once."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(keep_busy, within, profile, within.serving()[-1], seconds)


def moved(before: Mapping[str, float | None], store: Store, seen: set[str]) -> set[str]:
    """Add the signals that are above what they were before, and return those that never were."""
    now = store.signals()
    seen |= {name for name in SIGNALS if (now[name] or 0.0) > (before[name] or 0.0)}
    return set(SIGNALS) - seen


def panels(dashboards: list[Document]) -> dict[str, set[str]]:
    """Return which series of engines each dashboard asks for."""
    found = {}
    for each in dashboards:
        name = f"{each['metadata']['namespace']}/{each['metadata']['name']}"
        found[name] = set(SERIES.findall(json.dumps(each.get("data") or {})))
    return found


def test_each_signal_moves_with_the_work(
    profile: TargetProfile, store: Store, within_engines: WithinEngines, evidence: Evidence
) -> None:
    before, seen = store.signals(), set[str]()
    if not any(value is not None for value in before.values()):
        raise HarnessError(f"Prometheus has no series of an engine that serves {store.model}")
    interval = Scrapes(store.server).interval_seconds() or 30.0
    with busy(within_engines, profile, 2 * interval) as running:
        eventually(
            lambda: not moved(before, store, seen),
            within_seconds=4 * interval + SLACK_SECONDS,
            poll_seconds=0.5,
        )
        percentiles = [
            one.value for one in store.server.query(PERCENTILE.format(model=store.model))
        ]
        running.result()
    after = store.signals()
    evidence.record("before", before)
    evidence.record("after", after)
    evidence.record("moved", sorted(seen))
    evidence.record("latency_p95_seconds", percentiles)

    absent = sorted(name for name, value in after.items() if value is None)
    assert not absent, f"no series of {store.model} tells its {', '.join(absent)}"
    still = sorted(set(SIGNALS) - seen)
    assert not still, f"an engine was busy, and its {', '.join(still)} did not move in Prometheus"
    assert any(map(math.isfinite, percentiles)), "no 95th percentile comes of the latency"
    # Negative control: a series that nobody has is told as none, not as zero.
    if store.total(NOBODYS) is not None:
        raise HarnessError(f"Prometheus tells of {NOBODYS}, which nobody exports")


def test_no_panel_asks_for_what_nobody_exports(
    cluster: Cluster, store: Store, evidence: Evidence
) -> None:
    asked = panels(cluster.list("ConfigMap", selector=DASHBOARD))
    empty = {
        name: sorted(series for series in wanted if not store.knows(series))
        for name, wanted in asked.items()
    }
    evidence.record("dashboards", {name: sorted(wanted) for name, wanted in asked.items()})

    for name, series in empty.items():
        assert not series, f"dashboard {name} asks for {', '.join(series)}, which no engine exports"
    if store.knows(NOBODYS):
        raise HarnessError(f"Prometheus tells of {NOBODYS}, which nobody exports")
