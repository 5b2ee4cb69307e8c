"""Each declared alert fires under its fault and clears after.

A rule on a series that nobody exports is as quiet as a sound platform, and nobody misses it until
the night it was written for. Where this run has fired an alert's fault, and for long enough, what
Prometheus kept of that time counts; otherwise the fault's own steps are carried out here, on what
its experiment would hit, and undone as soon as the alert fires.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import pytest

from fixtures.breaks import Provoke
from fixtures.recorded import FaultWindow
from hotfire import Evidence, Level, TargetProfile, requirement
from hotfire.errors import HarnessError
from hotfire.prometheus import AlertRule, Prometheus
from hotfire.waiting import eventually

pytestmark = requirement(
    "OBS-005",
    Level.MUST,
    __doc__,
    source="https://sre.google/workbook/alerting-on-slos/",
    features={"alerts", "metrics-store"},
)

EVALUATIONS = 2
# Where nothing tells it; the longest that is usual.
INTERVAL_SECONDS = 30.0
SLACK_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """A declared alert, its fault, and what tells of it."""

    name: str
    fault: str
    rule: AlertRule
    server: Prometheus
    scrape_seconds: float

    @property
    def within_seconds(self) -> float:
        """How long it may take: a scrape, ``for``, and two evaluations."""
        evaluations = EVALUATIONS * self.rule.interval_seconds
        return self.scrape_seconds + self.rule.for_seconds + evaluations + SLACK_SECONDS

    def fires(self, *, at_seconds: float | None = None) -> bool:
        """Return whether it fires now, or did at a moment of the past."""
        return bool(self.server.query(self._firing(), at_seconds=at_seconds))

    def fired(self, window: FaultWindow) -> bool:
        """Return whether it fired at any moment from a fault's injection until it is due."""
        end = window.healed_seconds + self.within_seconds
        length = max(1, round(end - window.injected_seconds))
        expression = f"max_over_time({self._firing()}[{length}s])"
        return bool(self.server.query(expression, at_seconds=end))

    def told_by(self, window: FaultWindow) -> bool:
        """Return whether a fault of the run tells of it: it fired, or had the time to."""
        return window.seconds >= self.within_seconds or self.fired(window)

    def _firing(self) -> str:
        return f'ALERTS{{alertname="{self.name}",alertstate="firing"}}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What became of one alert around its fault."""

    alert: str
    fault: str
    seen: str
    """Whether the fault was one of the run's, or fired for this."""
    before: bool
    during: bool
    after: bool

    @property
    def wrong(self) -> str:
        """What is wrong with it; empty: nothing. One that fired before shows nothing."""
        if not self.during:
            return f"{self.alert} did not fire under {self.fault}"
        return f"{self.alert} still fires after {self.fault}" if self.after else ""


@pytest.fixture
def server(profile: TargetProfile, prometheus: Prometheus | None) -> Prometheus:
    """The Prometheus that evaluates the rules of the declared alerts.

    Raises:
        HarnessError: none is named, or no alert is declared.
    """
    if prometheus is None or not profile.alerts:
        raise HarnessError(
            "alerts are claimed, and the target file names no Prometheus, or no alert; set"
            " prometheus_url, and alerts: {NAME: FAULT}"
        )
    return prometheus


def declared(
    alerts: Mapping[str, str], rules: Mapping[str, AlertRule], server: Prometheus
) -> list[Alert]:
    """Return the declared alerts, each with its rule."""
    scrapes = [one.interval_seconds or INTERVAL_SECONDS for one in server.targets()]
    return [
        Alert(
            name=name,
            fault=fault,
            rule=rules[name],
            server=server,
            scrape_seconds=max(scrapes, default=INTERVAL_SECONDS),
        )
        for name, fault in alerts.items()
    ]


def recorded(alert: Alert, window: FaultWindow) -> Course:
    """Return what Prometheus kept of an alert around a fault of this run."""
    return Course(
        alert=alert.name,
        fault=alert.fault,
        seen="recorded by this run",
        before=alert.fires(at_seconds=window.injected_seconds),
        during=alert.fired(window),
        after=alert.fires(),
    )


def provoked(alert: Alert, provoke: Provoke) -> Course:
    """Carry the fault's steps out until the alert fires, undo them, and wait until it clears."""
    before = alert.fires()
    limit = alert.within_seconds
    during = provoke(alert.fault, alert.fires, within_seconds=limit)
    cleared = eventually(lambda: not alert.fires(), within_seconds=limit, poll_seconds=0.5)
    return Course(
        alert=alert.name,
        fault=alert.fault,
        seen="fired by this check",
        before=before,
        during=during,
        after=not cleared,
    )


def course(alert: Alert, window: FaultWindow | None, provoke: Provoke) -> Course:
    """Return what became of an alert in a fault of the run, if that tells, or in one for this."""
    if window is not None and alert.told_by(window):
        return recorded(alert, window)
    return provoked(alert, provoke)


def test_alerts_fire_under_their_faults_and_clear(
    profile: TargetProfile,
    server: Prometheus,
    fault_windows: Mapping[str, FaultWindow],
    provoke: Provoke,
    evidence: Evidence,
) -> None:
    rules = {rule.name: rule for rule in server.alert_rules()}
    evidence.record("rules", [asdict(rules[name]) for name in profile.alerts if name in rules])
    missing = sorted(profile.alerts.keys() - rules.keys())
    assert not missing, f"{server.url} has no rule of the name {', '.join(missing)}"
    courses = [
        course(alert, fault_windows.get(alert.fault), provoke)
        for alert in declared(profile.alerts, rules, server)
    ]
    evidence.record("alerts", [asdict(one) for one in courses])

    wrong = [one.wrong for one in courses if one.wrong]
    assert not wrong, "; ".join(wrong)
    # Negative control: without the fault none of them fired.
    noisy = [one.alert for one in courses if one.before]
    if noisy:
        raise HarnessError(f"{', '.join(noisy)} fired before the fault, which shows nothing")
