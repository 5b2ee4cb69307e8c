"""Telemetry is no older than declared.

A value that stands still looks like a quiet service. An exporter that is gone, or that tells the
same samples over and over, leaves its panels as they were for minutes; a rule that remembers the
last value leaves them so for ever, and each of its samples bears the time of its recording. A
window that says so, such as a rate over an hour, is history and may be as long as it likes.
"""

import json
import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

import pytest

from hotfire import Evidence, Level, TargetProfile, requirement
from hotfire.errors import HarnessError
from hotfire.prometheus import Prometheus, RecordingRule, ScrapeTarget, duration_seconds
from hotfire.waiting import eventually

pytestmark = requirement(
    "OBS-010",
    Level.SHOULD,
    __doc__,
    source="https://prometheus.io/docs/prometheus/latest/querying/basics/#staleness",
    features={"metrics-store"},
)

# What Prometheus adds of its own is fresh, whatever an exporter tells.
OWN_SERIES = ("up", "scrape_.+", "ALERTS", "ALERTS_FOR_STATE")
TOLD = "group by (job, instance) (last_over_time({series}[{seconds:.0f}s]))"
NOTHING = "scrape_samples_post_metric_relabeling == 0 and up == 1"
REMEMBERS, NOBODYS = "last_over_time", "hotfire_no_such_series"
RANGE = re.compile(r"\[((?:\d+(?:ms|[smhdwy]))+)(:[^]]*)?\]")
# Where nothing tells it; the longest that is usual.
INTERVAL_SECONDS, SLACK_SECONDS = 30.0, 5.0

Source = tuple[str, str]
"""Job and instance."""


def source_of(labels: Mapping[str, str]) -> Source:
    return labels.get("job", ""), labels.get("instance", "")


@dataclass(frozen=True, slots=True)
class Seen:
    """What one look at all that Prometheus reads came to."""

    sources: Mapping[Source, ScrapeTarget]
    told: Set[Source]
    """Those of which there is a sample that is young enough."""
    empty: Set[Source]
    """Those that answer, and have nothing to tell so far."""
    kept: Mapping[str, int]
    """By its name how many series a rule has by nothing but what it remembers."""

    @property
    def silent(self) -> dict[str, str]:
        """Those of which there is none, with what Prometheus says of its last try."""
        return {
            "/".join(source): target.error or "it answers, and tells nothing new"
            for source, target in self.sources.items()
            if source not in self.told | self.empty
        }

    @property
    def interval_seconds(self) -> float:
        """The longest time between two looks of Prometheus at the same exporter."""
        known = [one.interval_seconds for one in self.sources.values() if one.interval_seconds]
        return max(known, default=INTERVAL_SECONDS)


@dataclass(frozen=True, slots=True)
class Store:
    """A Prometheus, and how old what it tells may be."""

    server: Prometheus
    most_seconds: float

    def look(self, *, ahead_seconds: float = 0.0) -> Seen:
        """Look at it as it is, or as it would be if everybody fell silent now for so long."""
        [now] = self.server.query("vector(time())")
        at, rules = now.value + ahead_seconds, self.server.recording_rules()
        sources = {source_of(one.labels): one for one in self.server.targets()}
        told: set[Source] = set()
        for series in scraped(sources, rules):
            told |= self._sources(TOLD.format(series=series, seconds=self.most_seconds), at)
        kept = {rule.name: self._kept(rule, at) for rule in rules}
        kept = {name: count for name, count in kept.items() if count}
        return Seen(sources, told, self._sources(NOTHING, at), kept)

    def _sources(self, expression: str, at: float) -> set[Source]:
        return {source_of(one.labels) for one in self.server.query(expression, at_seconds=at)}

    def _kept(self, rule: RecordingRule, at: float) -> int:
        """Return how many series a rule would not have if it remembered nothing older."""
        fresh = without_memory(rule, self.most_seconds)
        if fresh == rule.expression:
            return 0
        return len(self._series(rule.expression, at) - self._series(fresh, at))

    def _series(self, expression: str, at: float) -> set[str]:
        found = (dict(one.labels) for one in self.server.query(expression, at_seconds=at))
        return {json.dumps({**one, "__name__": ""}, sort_keys=True) for one in found}


def scraped(sources: Mapping[Source, object], rules: Sequence[RecordingRule]) -> list[str]:
    """Return by what all that a job's exporters told is selected, job by job."""
    others = "|".join([*OWN_SERIES, *sorted({rule.name for rule in rules})])
    jobs = sorted({job for job, _ in sources})
    return [f'{{job={json.dumps(job)},__name__!~"{others}"}}' for job in jobs]


def without_memory(rule: RecordingRule, most_seconds: float) -> str:
    """Return what a rule asks for, if it remembered nothing older than so long.

    It remembers by the last value of a range, or by its own former answers.
    """

    def shorter(found: re.Match[str]) -> str:
        seconds = duration_seconds(found[1])
        short = seconds is not None and seconds <= most_seconds
        return found[0] if short else f"[{most_seconds:.0f}s{found[2] or ''}]"

    own = rf"(?<![\w:]){re.escape(rule.name)}(?![\w:])"
    asked = re.sub(own, NOBODYS, rule.expression)
    return RANGE.sub(shorter, asked) if REMEMBERS in asked else asked


@pytest.fixture
def store(prometheus: Prometheus | None, profile: TargetProfile) -> Store:
    if prometheus is None:
        raise HarnessError("metrics-store is claimed, and the target file has no prometheus_url")
    return Store(prometheus, profile.telemetry_age_seconds)


def settled(store: Store) -> Seen:
    """Return what is seen once an exporter that is new, or is just going, has had its time."""
    looks = [store.look()]

    def well() -> bool:
        looks.append(store.look())
        return not looks[-1].silent

    if looks[0].silent:
        within_seconds = 2 * looks[0].interval_seconds + SLACK_SECONDS
        eventually(well, within_seconds=within_seconds, poll_seconds=1.0)
    return looks[-1]


def test_nothing_that_is_told_is_older_than_declared(store: Store, evidence: Evidence) -> None:
    seen = settled(store)
    if not seen.sources:
        raise HarnessError(f"{store.server.url} says of no exporter that it reads it")
    evidence.record("most_seconds", store.most_seconds)
    evidence.record("sources", len(seen.sources))
    evidence.record("told", len(seen.told & seen.sources.keys()))
    evidence.record("empty", sorted(map("/".join, seen.empty)))
    evidence.record("silent", seen.silent)
    evidence.record("kept_by_rules", dict(seen.kept))
    check_control(store, evidence)

    assert not seen.silent, f"no sample of the last {store.most_seconds:g} s: {seen.silent}"
    assert not seen.kept, (
        f"rules go on telling what nobody has told for {store.most_seconds:g} s, by number of"
        f" series: {dict(seen.kept)}"
    )


def check_control(store: Store, evidence: Evidence) -> None:
    """Negative control: at a time at which all were silent for too long, each is named.

    Raises:
        HarnessError: one is not.
    """
    seen = store.look(ahead_seconds=store.most_seconds + 2 * SLACK_SECONDS)
    evidence.record("control_silent", len(seen.silent))
    if unnamed := seen.told & seen.sources.keys():
        raise HarnessError(f"of exporters that had stopped {len(unnamed)} would not be named")
